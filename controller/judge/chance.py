"""Counts the keeps that chance alone gives: those of a policy where no edit does anything, by simulation.

A reader who sees five keeps of forty should know that two of them come for nothing. The figures are means over 60
campaigns (20 from 160 experiments on; greedy 200) of the world `nothing`, one slot, default settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

KEEPS: Mapping[str, tuple[tuple[int, float], ...]] = {
    "ledger": ((0, 0.0), (5, 0.3), (10, 0.7), (20, 1.0), (40, 1.9), (80, 3.6), (160, 6.8), (320, 13.2)),
    "gauss": ((0, 0.0), (5, 0.8), (10, 1.2), (20, 1.8), (40, 2.8), (80, 4.7), (160, 8.0), (320, 15.4)),
    "confirm": ((0, 0.0), (5, 1.2), (10, 1.9), (20, 2.7), (40, 4.3), (80, 6.6), (160, 11.4), (320, 22.7)),
    "greedy": ((0, 0.0), (5, 1.4), (10, 1.9), (20, 2.5), (40, 3.2), (80, 3.8), (160, 5.2), (320, 6.2)),
}
"""For each policy: judged experiments, and the mean number of keeps among them though no edit does anything."""


def expect_chance_keeps(policy: str, experiments: int) -> float:
    """Mean number of keeps after so many judged experiments if no edit does anything; straight between the figures."""
    figures = KEEPS[policy]
    rate = 0.0
    for (fewer, low), (more, high) in pairwise(figures):
        rate = (high - low) / (more - fewer)
        if experiments <= more:
            return low + rate * (experiments - fewer)
    most, high = figures[-1]
    return high + rate * (experiments - most)
