"""Reads from diffs what each experiment changed, and finds experiments by words, by lines of code and by likeness.

Pure, except that diffs are read from the notebook; they never change once committed, so each is read once.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from controller.domain import BASELINE, Experiment, Verdict, find_undone
from controller.text.safe_text import visible_code

SIMILAR = 0.6
"""Share of changed lines in common from which two edits count as near-duplicates."""

VALUE_CHARACTERS = 40
"""Most characters of an assigned value that are shown."""

ASSIGNMENT = re.compile(r"^([A-Za-z_][\w.]*)\s*(?::[^=]+)?=\s*([^=].*)$")
"""A line that assigns to one name, with or without a type; groups: name, value."""


@dataclass(frozen=True, slots=True)
class ChangedLines:
    """An edit as two sets of lines, stripped of indentation and comments; order and place do not count."""

    added: frozenset[str]
    removed: frozenset[str]

    @property
    def constants(self) -> tuple[str, ...]:
        """`NAME old→new` for every constant that has a value on both sides, in the order of names."""
        return tuple(f"{name} {_cut(old)}→{_cut(new)}" for name, (old, new) in sorted(self._changes().items()))

    @property
    def names(self) -> frozenset[str]:
        """Names of these constants."""
        return frozenset(self._changes())

    def _changes(self) -> dict[str, tuple[str, str]]:
        """Old and new value of each constant: an upper-case name, or one that is a plain value on both sides."""
        old, new = _find_assignments(self.removed), _find_assignments(self.added)
        changes = {}
        for name in old.keys() & new.keys():
            upper = name.rpartition(".")[2].isupper()
            if old[name] != new[name] and (upper or (_is_literal(old[name]) and _is_literal(new[name]))):
                changes[name] = (old[name], new[name])
        return changes


@dataclass(frozen=True, slots=True)
class Tried:
    """An experiment with its edit."""

    experiment: Experiment
    edit: ChangedLines

    diff: str
    """Unified diff against its base."""

    undone_by: int | None = None
    """Number of the experiment that took a kept edit out of the branch again; None if none did."""


def read_edit(diff: str) -> ChangedLines:
    """The edit in a unified diff."""
    added, removed = set(), set()
    for line in diff.splitlines():
        # These begin the header of a file.
        if line.startswith(("+++", "---")):
            continue
        text = _normalise_line(line[1:])
        if not text:
            continue
        if line.startswith("+"):
            added.add(text)
        elif line.startswith("-"):
            removed.add(text)
    return ChangedLines(added=frozenset(added), removed=frozenset(removed))


def measure_likeness(one: ChangedLines, other: ChangedLines) -> float:
    """Share of changed lines in common (Jaccard index), additions and removals told apart; 0 if either has none."""
    ours = {("+", line) for line in one.added} | {("-", line) for line in one.removed}
    theirs = {("+", line) for line in other.added} | {("-", line) for line in other.removed}
    if not ours or not theirs:
        return 0.0
    return len(ours & theirs) / len(ours | theirs)


def never_ran(experiment: Experiment) -> bool:
    """True if it was discarded without an attempt: it conflicted with a newer incumbent, so its idea is still open."""
    judgement = experiment.judgement
    if judgement is None or experiment.doubts is not None:
        return False
    return judgement.verdict is Verdict.DISCARD and not experiment.attempts


def find_similar(edit: ChangedLines, history: Iterable[Tried], *, limit: int = 5) -> list[tuple[float, Tried]]:
    """Likeness and experiment of the edits that are like this one, the most alike first, then the newest."""
    similar = []
    for tried in history:
        if never_ran(tried.experiment):
            continue
        likeness = measure_likeness(edit, tried.edit)
        if likeness >= SIMILAR:
            similar.append((likeness, tried))
    similar.sort(key=lambda pair: (-pair[0], -pair[1].experiment.number))
    return similar[:limit]


def search_history(history: Sequence[Tried], *, words: str = "", code: str = "", limit: int = 20) -> list[Tried]:
    """Experiments with every word in title, hypothesis or reason, and with the fragment in a line of their diff.

    The newest comes first.
    """
    wanted = words.lower().split()
    fragment = " ".join(code.split()).lower()
    found: list[Tried] = []
    for tried in reversed(history):
        if len(found) == limit:
            break
        if _has_words(tried, wanted) and _has_code(tried, fragment):
            found.append(tried)
    return found


def group_by_constant(history: Iterable[Tried], *, least: int = 3) -> dict[str, list[Tried]]:
    """Experiments by the constant that they changed, for constants changed at least `least` times; most often first."""
    groups: dict[str, list[Tried]] = {}
    for tried in history:
        for name in tried.edit.names:
            groups.setdefault(name, []).append(tried)
    chosen = {name: group for name, group in groups.items() if len(group) >= least}
    return dict(sorted(chosen.items(), key=lambda item: (-len(item[1]), item[0])))


class Diffs:
    """Edits by commit, read once each; safe to share between threads."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[ChangedLines, str]] = {}
        self._lock = Lock()

    def tried(self, experiments: Sequence[Experiment], read: Callable[[Experiment], str]) -> list[Tried]:
        """Every experiment but the baseline, with its edit, in the order of numbers."""
        ordered = sorted((e for e in experiments if e.number != BASELINE), key=lambda e: e.number)
        undone = find_undone(ordered)
        return [Tried(each, *self._read_once(each, read), undone_by=undone.get(each.number)) for each in ordered]

    def _read_once(self, experiment: Experiment, read: Callable[[Experiment], str]) -> tuple[ChangedLines, str]:
        with self._lock:
            known = self._known.get(experiment.commit)
        if known is None:
            # Outside of the lock, because reading takes time. Two threads may read the same diff, which does no harm.
            diff = visible_code(read(experiment))
            known = (read_edit(diff), diff)
            with self._lock:
                self._known[experiment.commit] = known
        return known


def _normalise_line(line: str) -> str:
    """A line without indentation, comment and repeated blanks."""
    return " ".join(line.partition("#")[0].split())


def _find_assignments(lines: Iterable[str]) -> Mapping[str, str]:
    found = (ASSIGNMENT.match(line) for line in sorted(lines))
    return {match[1]: match[2] for match in found if match}


def _is_literal(value: str) -> bool:
    """True for a number, a text, or a sum, product or tuple of those."""
    try:
        tree = ast.parse(value, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    plain = (ast.Expression, ast.Constant, ast.UnaryOp, ast.BinOp, ast.Tuple, ast.List, ast.operator, ast.unaryop)
    return all(isinstance(node, (*plain, ast.expr_context)) for node in ast.walk(tree))


def _cut(value: str) -> str:
    return value if len(value) <= VALUE_CHARACTERS else f"{value[: VALUE_CHARACTERS - 1]}…"


def _has_words(tried: Tried, wanted: Sequence[str]) -> bool:
    experiment = tried.experiment
    reason = experiment.judgement.reason if experiment.judgement else ""
    text = f"#{experiment.number} {experiment.title} {experiment.hypothesis} {experiment.strategy} {reason}".lower()
    return all(word in text for word in wanted)


def _has_code(tried: Tried, fragment: str) -> bool:
    return not fragment or any(fragment in " ".join(line.split()).lower() for line in tried.diff.splitlines())
