"""A researcher with a plan: ideas that someone wrote down, proposed in order through the same tools as any other.

It remembers nothing, like a model: which of its ideas was tried it learns from the conversation it is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.standin.researcher import Turn, call, calls, say, told


@dataclass(frozen=True, slots=True, kw_only=True)
class Idea:
    """One experiment; `edits` are pairs of text to replace, each of which occurs once, and what takes its place."""

    category: str
    title: str
    hypothesis: str
    expected_effect: str
    edits: tuple[tuple[str, str], ...]


class PlannedResearcher:
    """Answers a request as a model would: reads, searches, edits, checks, submits. path: the file it edits."""

    def __init__(self, plan: Sequence[Idea], *, path: str = "train.py") -> None:
        self._plan = plan
        self._path = path

    def __call__(self, request: Mapping[str, Any]) -> Turn:
        history = told(request)
        idea = next((idea for idea in self._plan if idea.title not in history), None)
        if idea is None:
            return say("Everything that was planned has been tried.")
        made = list(calls(request["messages"]))
        failed = [d for d in made if d.failed]
        if failed:
            return say(f"This does not go as planned: {failed[-1].name} says {failed[-1].result}")
        done = {d.name for d in made}
        if "read" not in done:
            return call(("read", {"path": self._path, "first_line": 1, "last_line": 130}), thought="First the file.")
        if "replace" not in done:
            edits = [("replace", {"path": self._path, "old": old, "new": new}) for old, new in idea.edits]
            return call(("search_history", {"words": idea.title, "code": ""}), *edits, thought=idea.hypothesis)
        if "check" not in done:
            return call(("check", {}), thought="Check it.")
        submission = {
            "category": idea.category,
            "title": idea.title,
            "hypothesis": idea.hypothesis,
            "expected_effect": idea.expected_effect,
        }
        return call(("submit", submission), thought="It is fit to be trained.")
