"""Gives each try a slice of the reserve that no candidate of this lab was ever asked, as long as there are any.

A slice is written to the lab with its try, before the try is launched, and counts as used from then on: after a crash
nobody knows how much of it the try saw. Two campaigns of one lab share the reserve of the data folder that both use.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from controller.domain import BaselineNoise, Experiment


class Reserve:
    """The slices that are left. used: those that are not; slices: how many the data folder has."""

    def __init__(self, used: Iterable[int], *, slices: int, draw: random.Random) -> None:
        self._unused = sorted(set(range(slices)) - set(used))
        self._slices = slices
        self._draw = draw

    @property
    def left(self) -> int | None:
        """Number of slices that are left; None for a task without a reserve."""
        return len(self._unused) if self._slices else None

    def take(self) -> int | None:
        """Use up a slice, drawn at random; None if none is left. Its exam then goes without the freshness test."""
        if not self._unused:
            return None
        # At random, so that two labs with copies of the same data do not ask the same slices in the same order.
        return self._unused.pop(self._draw.randrange(len(self._unused)))


def used_slices(campaign: Sequence[Experiment], others: Iterable[Sequence[Experiment]]) -> frozenset[int]:
    """The slices that tries of a campaign were given, and those of other campaigns unless on other data for certain."""
    data = _data_of(campaign)
    used = _slices_of(campaign)
    for other in others:
        theirs = _data_of(other)
        if not data or not theirs or data & theirs:
            used |= _slices_of(other)
    return frozenset(used)


def _slices_of(campaign: Sequence[Experiment]) -> set[int]:
    used = set()
    for experiment in campaign:
        for attempt in experiment.attempts:
            used |= {each.reserve for each in attempt.tries if each.reserve is not None}
    return used


def _data_of(campaign: Sequence[Experiment]) -> set[str]:
    """Fingerprints of the data that its exams named: usually one, none before the first exam."""
    found = set()
    for experiment in campaign:
        found |= {exam.data for exam in experiment.exams if exam.data}
    return found


def measure_noise(baseline: Experiment) -> BaselineNoise | None:
    """The largest noise that the exams of the baseline have measured; None before the first exam."""
    exams = [exam for exam in baseline.exams if exam.spread is not None]
    if not exams:
        return None
    return BaselineNoise(
        spread=max(exam.spread or 0.0 for exam in exams),
        inflation_error=max(exam.inflation_error or 0.0 for exam in exams),
        restart_error=max(exam.restart_error or 0.0 for exam in exams),
    )
