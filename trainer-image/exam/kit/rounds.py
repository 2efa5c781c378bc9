"""Draw the order in which an exam's questions are asked: a long round, and a short one of a fresh process. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

REPEATS = 512
"""Most questions of the short round, M: a language model's mean r is held to a limit of 0.0005 nats (docs/exam.md)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The two rounds of questions. Each is answered by a process of its own."""

    order: npt.NDArray[np.int64]
    """The long round: every question of the pool once, as indices into it, (S,)."""
    repeats: npt.NDArray[np.int64]
    """The short round: the questions that are asked twice, (M,)."""
    short_first: bool
    """True if the short round comes first. Both begin alike, so that a process cannot tell which one it is in."""


def draw_plan(total: int, generator: np.random.Generator) -> Plan:
    """Draw the plan for a pool of `total` questions, all kinds mixed.

    The short round is at most a quarter of the pool. In a longer one a model with a memory would learn as much as in
    the long round, and the two would not differ.
    """
    repeats = generator.permutation(total)[: max(2, min(REPEATS, total // 4))]
    return Plan(generator.permutation(total), repeats, bool(generator.integers(2)))
