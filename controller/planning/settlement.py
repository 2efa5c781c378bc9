"""Puts what was kept since an edit's base onto the edit's own program, as far as the two do not conflict. Pure.

Two edits of one line cannot be merged, and the better of the two programs stands. Other edits that were kept while it
ran have no part in that conflict, so they are carried over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from controller.domain import Experiment

P = TypeVar("P")


def carry_over(
    program: P, edits: Iterable[Experiment], merge: Callable[[P, Experiment], P | None]
) -> tuple[P, tuple[int, ...]]:
    """The program with all these edits that merge onto it, in their order, and the numbers of those that do.

    merge: a program with an experiment's edit on top; None if they conflict.
    """
    carried: list[int] = []
    for edit in edits:
        merged = merge(program, edit)
        if merged is not None:
            program = merged
            carried.append(edit.number)
    return program, tuple(carried)
