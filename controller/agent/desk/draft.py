"""The edit in the making: files in memory, changed by exact replacement or as a whole. Pure.

A replacement that does not match exactly once is an error, which shows the lines that nearly match. If it were skipped,
an unchanged program would be trained and scored as if it were an edit.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

Merge = Callable[[str, str, str], str | None]
"""Two edits of one text in one: base, ours, theirs; None if they conflict."""

READ_CHARACTERS = 24_000
"""Most characters of one answer of the tool `read`, about 8,000 tokens; the model asks for the rest by line."""

FILE_CHARACTERS = 400_000
"""Most characters of one file; all files together have a limit of their own (`novelty.MAX_BYTES`)."""


class ToolError(Exception):
    """A tool call that cannot be carried out; the text goes back to the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The editable files before and after the edit."""

    base: Mapping[str, str]
    """Path to text, as in the incumbent."""

    files: Mapping[str, str]
    """Path to text, as edited so far."""

    commit: str = ""
    """The incumbent's commit; empty for that of the request."""

    told: frozenset[int | str] = frozenset()
    """Doubts that the model has been shown, so that it submits knowingly.

    Similar experiments by number, submissions of others by fingerprint, places that seem to crash by their sentence.
    """

    @classmethod
    def of(cls, files: Mapping[str, str]) -> Draft:
        """An untouched draft."""
        return cls(base=dict(files), files=dict(files))

    @property
    def changed(self) -> dict[str, str]:
        """Whole new text of the files that differ."""
        return {path: text for path, text in self.files.items() if text != self.base.get(path)}

    @property
    def diff(self) -> str:
        """Unified diff against the base."""
        return "".join(self._diff_of(path) for path in sorted(self.changed))

    def move_onto(self, commit: str, files: Mapping[str, str], *, merge: Merge) -> Draft | None:
        """The same edit of a newer incumbent; None if the two conflict."""
        merged = {}
        for path, text in self.files.items():
            together = merge(self.base[path], files.get(path, ""), text)
            if together is None:
                return None
            merged[path] = together
        return replace(self, base=dict(files), files=merged, commit=commit)

    def _diff_of(self, path: str) -> str:
        old, new = self.base[path].splitlines(keepends=True), self.files[path].splitlines(keepends=True)
        lines = difflib.unified_diff(old, new, f"a/{path}", f"b/{path}")
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def read_lines(text: str, *, first: int, last: int | None) -> str:
    """Numbered lines `first` to `last`, counted from 1, both included. Raises ToolError outside of the file."""
    lines = text.splitlines()
    end = len(lines) if last is None else min(last, len(lines))
    if first < 1 or first > max(end, 1):
        raise ToolError(f"lines {first} to {last or 'the end'} are outside the file, which has {len(lines)} lines")
    numbered = "\n".join(f"{number:5d} {line}" for number, line in enumerate(lines[first - 1 : end], start=first))
    if len(numbered) > READ_CHARACTERS:
        cut = numbered.rindex("\n", 0, READ_CHARACTERS)
        return f"{numbered[:cut]}\n(cut: ask for the rest from line {first + numbered.count(chr(10), 0, cut) + 1} on)"
    return numbered


def replace_once(draft: Draft, *, path: str, old: str, new: str) -> Draft:
    """The draft with the one occurrence of `old` replaced. Raises ToolError if there is none, or more than one."""
    text = draft.files[path]
    if not old:
        raise ToolError("old is empty: give the exact text to replace")
    if old == new:
        raise ToolError("old and new are the same text: nothing would change")
    places = _find_places(text, old)
    if not places:
        raise ToolError(_explain_absence(text, old))
    if len(places) > 1:
        lines = ", ".join(str(text.count("\n", 0, place) + 1) for place in places[:10])
        raise ToolError(f"old occurs {len(places)} times (lines {lines}): add neighbouring lines until it is unique")
    return write_file(draft, path=path, text=f"{text[: places[0]]}{new}{text[places[0] + len(old) :]}")


def write_file(draft: Draft, *, path: str, text: str) -> Draft:
    """The draft with a file's whole text replaced; similar edits must be shown again for the new text."""
    if not text.strip():
        raise ToolError(f"{path} would be empty")
    if len(text) > FILE_CHARACTERS or "\x00" in text:
        raise ToolError(f"{path} must be text of at most {FILE_CHARACTERS} characters")
    return replace(draft, files={**draft.files, path: text}, told=frozenset())


def _find_places(text: str, old: str) -> list[int]:
    """Every place at which `old` begins, overlapping ones included."""
    places, start = [], text.find(old)
    while start >= 0:
        places.append(start)
        start = text.find(old, start + 1)
    return places


def _explain_absence(text: str, old: str) -> str:
    """One sentence for a text that does not occur, with up to five lines that are close to its first line."""
    lines = text.splitlines()
    wanted = next((line for line in old.splitlines() if line.strip()), old)
    close = difflib.get_close_matches(wanted.strip(), [line.strip() for line in lines], n=3, cutoff=0.6)
    shown: list[str] = []
    for number, line in enumerate(lines, start=1):
        if line.strip() in close and len(shown) < 5:
            shown.append(f"{number:5d} {line}")
    advice = "old does not occur: copy it exactly, indentation included, without line numbers"
    if not shown:
        return advice
    return "\n".join([advice, "lines that are close to its first line:", *shown])
