"""Programs as a simulation sees them: the newest edit of each place, and what each place adds to the score.

Edits of different places merge and their effects add up; edits of one place conflict, as two edits of one line do in
git. So every program of a campaign has a true level, merged and partly undone ones included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.simulation.worlds import Edit


@dataclass(frozen=True, slots=True)
class Mark:
    """The state of one place of a program after the edits that it has had."""

    version: int
    """Number of the newest edit there."""

    worth: float
    """True worth of everything that was done there, in sigma."""


@dataclass(frozen=True, slots=True)
class Program:
    """The edited places by number; the unchanged program has none."""

    marks: Mapping[int, Mark] = field(default_factory=dict)

    @property
    def worth(self) -> float:
        """True gain over the unchanged program, in sigma."""
        return sum(mark.worth for mark in self.marks.values())

    def edit(self, edit: Edit, *, version: int) -> Program:
        """The program with one more edit. A crashing edit is worth nothing here: its score is never seen."""
        before = self.marks.get(edit.place)
        worth = (before.worth if before else 0.0) + (edit.effect or 0.0)
        return Program({**self.marks, edit.place: Mark(version, worth)})


def merge(base: Program, ours: Program, theirs: Program, *, prefer_theirs: bool = False) -> Program | None:
    """Ours with what theirs changed since the base; None if both changed one place, unless theirs is preferred."""
    merged = dict(ours.marks)
    for place in base.marks.keys() | theirs.marks.keys():
        mark = theirs.marks.get(place)
        if mark == base.marks.get(place):
            continue
        changed = ours.marks.get(place) not in (base.marks.get(place), mark)
        if changed and not prefer_theirs:
            return None
        if mark is None:
            merged.pop(place, None)
        else:
            merged[place] = mark
    return Program(merged)
