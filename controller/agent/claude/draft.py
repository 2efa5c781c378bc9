"""The edit in the making: files in memory, changed by exact replacement or as a whole.

Pure: nothing here reaches a disk. A replacement that does not match exactly once is an error that shows
where it nearly matches, never skipped: a silently empty edit would be trained and scored as if it were one.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace

READ_CHARACTERS = 24_000
FILE_CHARACTERS = 400_000


class Misfit(Exception):
    """A tool was asked for something that cannot be done; its text goes back to the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Editable files as they were and as they are.

    told: experiments (by number) and submissions of others (by program) whose likeness to this edit the model has
    been shown, so that it repeats them knowingly.
    """

    base: Mapping[str, str]
    files: Mapping[str, str]
    told: frozenset[int | str] = frozenset()

    @classmethod
    def of(cls, files: Mapping[str, str]) -> Draft:
        """An untouched draft."""
        return cls(base=dict(files), files=dict(files))

    @property
    def changed(self) -> dict[str, str]:
        """New text of the files that differ."""
        return {path: text for path, text in self.files.items() if text != self.base.get(path)}

    @property
    def diff(self) -> str:
        """Unified diff against the base."""
        return "".join(self._diff_of(path) for path in sorted(self.changed))

    def _diff_of(self, path: str) -> str:
        old, new = self.base[path].splitlines(keepends=True), self.files[path].splitlines(keepends=True)
        lines = difflib.unified_diff(old, new, f"a/{path}", f"b/{path}")
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def read(text: str, *, first: int, last: int | None) -> str:
    """Numbered lines `first` to `last`, counted from 1, both included. Raises Misfit outside the file."""
    lines = text.splitlines()
    end = len(lines) if last is None else min(last, len(lines))
    if first < 1 or first > max(end, 1):
        raise Misfit(f"lines {first} to {last or 'the end'} are outside the file, which has {len(lines)} lines")
    numbered = "\n".join(f"{number:5d} {line}" for number, line in enumerate(lines[first - 1 : end], start=first))
    if len(numbered) > READ_CHARACTERS:
        cut = numbered.rindex("\n", 0, READ_CHARACTERS)
        return f"{numbered[:cut]}\n(cut: ask for the rest from line {first + numbered.count(chr(10), 0, cut) + 1} on)"
    return numbered


def replace_once(draft: Draft, *, path: str, old: str, new: str) -> Draft:
    """The draft with the one occurrence of `old` replaced. Raises Misfit where there is none, or more than one."""
    text = draft.files[path]
    if not old:
        raise Misfit("old is empty: give the exact text to replace")
    if old == new:
        raise Misfit("old and new are the same text: nothing would change")
    places = _places(text, old)
    if not places:
        raise Misfit(_absent(text, old))
    if len(places) > 1:
        lines = ", ".join(str(text.count("\n", 0, place) + 1) for place in places[:10])
        raise Misfit(f"old occurs {len(places)} times (lines {lines}): add neighbouring lines until it is unique")
    return write(draft, path=path, text=f"{text[: places[0]]}{new}{text[places[0] + len(old) :]}")


def write(draft: Draft, *, path: str, text: str) -> Draft:
    """The draft with a file's whole text replaced; what was shown about the former edit no longer counts."""
    if not text.strip():
        raise Misfit(f"{path} would be empty")
    if len(text) > FILE_CHARACTERS or "\x00" in text:
        raise Misfit(f"{path} must be text of at most {FILE_CHARACTERS} characters")
    return replace(draft, files={**draft.files, path: text}, told=frozenset())


def _places(text: str, old: str) -> list[int]:
    """Where `old` begins, overlapping places included."""
    places, start = [], text.find(old)
    while start >= 0:
        places.append(start)
        start = text.find(old, start + 1)
    return places


def _absent(text: str, old: str) -> str:
    lines = text.splitlines()
    wanted = next((line for line in old.splitlines() if line.strip()), old)
    close = set(difflib.get_close_matches(wanted.strip(), [line.strip() for line in lines], n=3, cutoff=0.6))
    shown = [f"{number:5d} {line}" for number, line in enumerate(lines, start=1) if line.strip() in close][:5]
    hint = "\nlines that are close to its first line:\n" + "\n".join(shown) if shown else ""
    return f"old does not occur: copy it exactly, indentation included, without line numbers{hint}"
