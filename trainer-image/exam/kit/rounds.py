"""Draw the order in which an exam's questions are asked: a long round, and short ones of fresh processes. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

REPEATS = 512
"""Most questions of a short round, M: a language model's mean r is held to a limit of 0.0005 nats (docs/exam.md)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The two rounds of whole questions. Each is answered by a process of its own.

    What the label is withheld from is asked after them, by a third process: what tells which places are compared must
    not reach a process that could look ahead in the others.
    """

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
    return Plan(generator.permutation(total), draw_some(total, generator), bool(generator.integers(2)))


def draw_some(total: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw the questions of a short round, as indices into a pool of `total`, (M,)."""
    return generator.permutation(total)[: max(2, min(REPEATS, total // 4))]
