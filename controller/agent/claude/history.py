"""What each experiment changed, read from its diff, and how to find it again.

Pure but for the diffs themselves, which come from the notebook and never change once committed. It finds by
words, by lines of code and by likeness; it does not judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from controller.domain import BASELINE, Experiment

NEAR = 0.6
"""Share of changed lines in common from which two edits count as near-duplicates."""

CONSTANT = re.compile(r"^([A-Za-z_][\w.]*)\s*(?::[^=]+)?=\s*([^=].*)$")


@dataclass(frozen=True, slots=True)
class Edit:
    """An edit as two sets of lines, stripped of indentation and comments; order and place do not count."""

    added: frozenset[str]
    removed: frozenset[str]

    @property
    def constants(self) -> tuple[str, ...]:
        """`NAME old→new` for every assignment on both sides, in the order of names."""
        old, new = _assignments(self.removed), _assignments(self.added)
        return tuple(f"{name} {old[name]}→{new[name]}" for name in sorted(old.keys() & new.keys()))

    @property
    def names(self) -> frozenset[str]:
        """Names assigned on both sides."""
        return frozenset(_assignments(self.removed).keys() & _assignments(self.added).keys())


@dataclass(frozen=True, slots=True)
class Tried:
    """An experiment together with what it changed."""

    experiment: Experiment
    edit: Edit
    diff: str


def edit_of(diff: str) -> Edit:
    """The edit in a unified diff."""
    lines = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return Edit(
        added=frozenset(filter(None, (_normal(line[1:]) for line in lines if line[0] == "+"))),
        removed=frozenset(filter(None, (_normal(line[1:]) for line in lines if line[0] == "-"))),
    )


def likeness(one: Edit, other: Edit) -> float:
    """Jaccard index of changed lines, additions and removals told apart; 0 where either changes nothing."""
    ours = {("+", line) for line in one.added} | {("-", line) for line in one.removed}
    theirs = {("+", line) for line in other.added} | {("-", line) for line in other.removed}
    return len(ours & theirs) / len(ours | theirs) if ours and theirs else 0.0


def near(edit: Edit, history: Iterable[Tried], *, limit: int = 5) -> list[tuple[float, Tried]]:
    """Experiments whose edit is like this one, the most alike first."""
    scored = [(likeness(edit, tried.edit), tried) for tried in history]
    return sorted(
        (pair for pair in scored if pair[0] >= NEAR), key=lambda pair: (-pair[0], -pair[1].experiment.number)
    )[:limit]


def search(history: Sequence[Tried], *, words: str = "", code: str = "", limit: int = 20) -> list[Tried]:
    """Experiments with every word in title, hypothesis or reason, and the fragment in a line of their diff."""
    wanted = words.lower().split()
    fragment = " ".join(code.split()).lower()
    found = (t for t in reversed(history) if _has_words(t, wanted) and _has_code(t, fragment))
    return [tried for tried, _ in zip(found, range(limit), strict=False)]


def repeated(history: Iterable[Tried], *, least: int = 3) -> dict[str, list[Tried]]:
    """Experiments by the constant they changed, for constants changed at least `least` times."""
    groups: dict[str, list[Tried]] = {}
    for tried in history:
        for name in tried.edit.names:
            groups.setdefault(name, []).append(tried)
    chosen = {name: group for name, group in groups.items() if len(group) >= least}
    return dict(sorted(chosen.items(), key=lambda item: (-len(item[1]), item[0])))


class Diffs:
    """Edits by commit, read once each; safe to share between threads."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Edit, str]] = {}
        self._lock = Lock()

    def tried(self, experiments: Sequence[Experiment], read: Callable[[Experiment], str]) -> list[Tried]:
        """Every experiment but the baseline, with its edit, in the order of numbers."""
        ordered = sorted((e for e in experiments if e.number != BASELINE), key=lambda e: e.number)
        return [Tried(experiment, *self._of(experiment, read)) for experiment in ordered]

    def _of(self, experiment: Experiment, read: Callable[[Experiment], str]) -> tuple[Edit, str]:
        with self._lock:
            known = self._known.get(experiment.commit)
        if known is None:
            diff = read(experiment)
            known = (edit_of(diff), diff)
            with self._lock:
                self._known[experiment.commit] = known
        return known


def _normal(line: str) -> str:
    return " ".join(line.partition("#")[0].split())


def _assignments(lines: Iterable[str]) -> Mapping[str, str]:
    found = (CONSTANT.match(line) for line in sorted(lines))
    return {match[1]: match[2][:40] for match in found if match}


def _has_words(tried: Tried, wanted: Sequence[str]) -> bool:
    experiment = tried.experiment
    reason = experiment.judgement.reason if experiment.judgement else ""
    text = f"#{experiment.number} {experiment.title} {experiment.hypothesis} {experiment.strategy} {reason}".lower()
    return all(word in text for word in wanted)


def _has_code(tried: Tried, fragment: str) -> bool:
    return not fragment or any(fragment in " ".join(line.split()).lower() for line in tried.diff.splitlines())
