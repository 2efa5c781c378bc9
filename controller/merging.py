"""Three-way merge of one text, line by line: edits of neighbouring lines merge, edits of the same line conflict.

Git calls neighbouring lines a conflict too, since a person will look at it. Here a training does: an edit that was
merged wrongly costs a run and is judged, one that is thrown away has cost its proposal for nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pygit2
from pygit2.enums import DiffOption


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """Lines `start` to `end` (counted from 0, `end` not included) of the base become `lines`; none are an insertion."""

    start: int
    end: int
    lines: tuple[str, ...]

    def excludes(self, other: Edit) -> bool:
        """Whether both touch the same line, or are insertions at one place, whose order nobody knows."""
        if self.start == self.end == other.start == other.end:
            return True
        return self.start < other.end and other.start < self.end


def merged(base: str, ours: str, theirs: str) -> str | None:
    """`base` with the edits of both; None where one touches a line that the other touches. Same edits count once."""
    edits = sorted({*_edits(base, ours), *_edits(base, theirs)})
    if any(one.excludes(other) for place, one in enumerate(edits) for other in edits[place + 1 :]):
        return None
    lines = _lines(base)
    for edit in reversed(edits):
        lines[edit.start : edit.end] = edit.lines
    return "".join(lines)


def _edits(base: str, changed: str) -> list[Edit]:
    lines = _lines(changed)
    old, new = base.encode(), changed.encode()
    patch = pygit2.Patch.create_from(old, new, flag=DiffOption.FORCE_TEXT, context_lines=0)
    return [
        Edit(
            start=hunk.old_start - 1 if hunk.old_lines else hunk.old_start,
            end=hunk.old_start - 1 + hunk.old_lines if hunk.old_lines else hunk.old_start,
            lines=tuple(lines[hunk.new_start - 1 : hunk.new_start - 1 + hunk.new_lines]) if hunk.new_lines else (),
        )
        for hunk in patch.hunks
    ]


def _lines(text: str) -> list[str]:
    """Lines with their ends as git counts them; Python's own splitlines knows more ends than that."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)
