"""Merges two edits of one text line by line: edits of neighbouring lines merge, edits of the same line conflict.

Git treats neighbouring lines as a conflict too, because it expects a person to look at the result. Here a training
checks the result: a bad merge costs one attempt and is judged, while a conflict throws a whole proposal away.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pygit2
from pygit2.enums import DiffOption


@dataclass(frozen=True, slots=True, order=True)
class LineEdit:
    """One replaced range of lines of the base text."""

    start: int
    """First line that is replaced, counted from 0."""

    end: int
    """Line after the last one that is replaced; equal to `start` for an insertion."""

    lines: tuple[str, ...]
    """New lines with their line ends; empty for a removal."""

    def conflicts_with(self, other: LineEdit) -> bool:
        """True if both touch the same line, or both insert at one place, where no order is the right one."""
        if self.start == self.end == other.start == other.end:
            return True
        return self.start < other.end and other.start < self.end


def merge_texts(base: str, ours: str, theirs: str, *, prefer_theirs: bool = False) -> str | None:
    """`base` with the edits of both sides; None if they conflict. An edit that both sides made counts once.

    prefer_theirs: leave out each edit of ours that conflicts with one of theirs.
    """
    our_edits, their_edits = _find_edits(base, ours), _find_edits(base, theirs)
    if prefer_theirs:
        our_edits = [edit for edit in our_edits if not any(edit.conflicts_with(other) for other in their_edits)]
    edits = sorted({*our_edits, *their_edits})
    for place, edit in enumerate(edits):
        for later in edits[place + 1 :]:
            if edit.conflicts_with(later):
                return None
    lines = _split_lines(base)
    # From the end, so that the line numbers of the edits before stay valid.
    for edit in reversed(edits):
        lines[edit.start : edit.end] = edit.lines
    return "".join(lines)


def _find_edits(base: str, changed: str) -> list[LineEdit]:
    new_lines = _split_lines(changed)
    # Without context lines, git gives each range of changed lines a hunk of its own.
    patch = pygit2.Patch.create_from(base.encode(), changed.encode(), flag=DiffOption.FORCE_TEXT, context_lines=0)
    return [_edit_of_hunk(hunk, new_lines) for hunk in patch.hunks]


def _edit_of_hunk(hunk: pygit2.DiffHunk, new_lines: list[str]) -> LineEdit:
    # Git counts lines from 1. For an empty side it gives the line *before* the place, which as an index from 0 is the
    # place itself.
    start = hunk.old_start - 1 if hunk.old_lines else hunk.old_start
    first = hunk.new_start - 1
    lines = tuple(new_lines[first : first + hunk.new_lines]) if hunk.new_lines else ()
    return LineEdit(start=start, end=start + hunk.old_lines, lines=lines)


def _split_lines(text: str) -> list[str]:
    """Lines with their ends as git counts them: only at LF. Python's splitlines also splits at CR, FF and others."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)
