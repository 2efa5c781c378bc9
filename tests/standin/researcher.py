"""A scripted researcher: reads the file through the tools, changes one constant that was not tried from its value,
checks and submits. It remembers nothing: like a model, it knows only the conversation it is sent.

It climbs one constant at a time, which finds real improvements wherever the presets are not at their best.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

CONSTANT = re.compile(r"^(\s*)([A-Z][A-Z0-9_]*) = (-?[\d._]+)(\s*#.*)?$")

EDITS: tuple[tuple[str, str, float, float], ...] = (
    ("optimizer", "EMBEDDING_LR", 1.5, 0.0),
    ("schedule", "WARMDOWN_RATIO", 1.25, 0.0),
    ("optimizer", "MATRIX_LR", 1.5, 0.0),
    ("optimizer", "UNEMBEDDING_LR", 1.5, 0.0),
    ("architecture", "WIDTH", 1.25, 32),
    ("optimizer", "MUON_MOMENTUM", 1.03, 0.0),
    ("optimizer", "ADAM_BETA2", 1.02, 0.0),
    ("architecture", "MLP_RATIO", 1.5, 0.25),
    ("optimizer", "SCALAR_LR", 2.0, 0.0),
    ("throughput", "NEWTON_SCHULZ_STEPS", 1.3, 1),
    ("throughput", "TOTAL_BATCH_SIZE", 2.0, 2048),
    ("schedule", "WARMUP_RATIO", 2.0, 0.0),
    ("architecture", "DEPTH", 1.34, 1),
    ("optimizer", "ADAM_BETA1", 1.06, 0.0),
    ("architecture", "ROPE_BASE", 4.0, 0.0),
)
"""Category, constant, the factor of one step, and the multiple that the value must be of (0: any)."""

STEPS = (1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 0.25, -0.25, 0.75, -0.75)
"""Powers of the factor to try, in order."""

GOES_ON = "wanted now"
"""Words of the answer to a submission after which the conversation goes on."""

RANGE = re.compile(r"(\d[\d._e]*) to (\d[\d._e]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """An answer of a model: blocks without ids, and the reason why it stopped."""

    content: list[dict[str, Any]] = field(default_factory=list)
    stop_reason: str = "end_turn"
    stop_details: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """A tool call of the conversation, with its result."""

    name: str
    input: Mapping[str, Any]
    result: str
    failed: bool


@dataclass(frozen=True, slots=True)
class Change:
    """One constant at a new value; `old` and `new` are the lines to replace."""

    category: str
    name: str
    before: str
    after: str
    old: str
    new: str

    @property
    def title(self) -> str:
        """One line about the change."""
        return f"set {self.name} to {self.after}"


def say(text: str) -> Turn:
    """A reply without a tool."""
    return Turn(content=[{"type": "text", "text": text}])


def call(*uses: tuple[str, Mapping[str, Any]], thought: str = "Let me see.") -> Turn:
    """A reply that thinks and uses tools."""
    tools = [{"type": "tool_use", "name": name, "input": dict(arguments)} for name, arguments in uses]
    return Turn(content=[{"type": "thinking", "thinking": thought}, *tools], stop_reason="tool_use")


class Researcher:
    """Answers a request as a model would; `path` is the file it edits. It goes on while more is wanted."""

    def __init__(self, path: str = "train.py", *, last_line: int = 130) -> None:
        self._path = path
        self._last_line = last_line

    def __call__(self, request: Mapping[str, Any]) -> Turn:
        done = list(calls(request["messages"]))
        reads = [d for d in done if d.name == "read" and not d.failed]
        if not reads:
            look = {"path": self._path, "first_line": 1, "last_line": self._last_line}
            return call(("read", look), thought="First the constants as they are.")
        accepted = [place for place, d in enumerate(done) if d.name == "submit" and GOES_ON in d.result]
        mine = " ".join(str(done[place].input["title"]) for place in accepted)
        changes = list(untried(unnumbered(reads[-1].result), told=f"{told(request)} {mine}"))
        return self._go_on(done[accepted[-1] + 1 :] if accepted else done, changes)

    def _go_on(self, done: Sequence[Done], changes: Sequence[Change]) -> Turn:
        edits = [d for d in done if d.name == "replace" and not d.failed]
        turned_down = sum(d.name == "submit" and d.failed for d in done)
        place = min(turned_down, len(changes) - 1)
        if not changes:
            return say("Everything I know has been tried.")
        change = changes[place]
        last = done[-1] if done else None
        if last is not None and last.name == "submit" and last.failed:
            back = changes[place - 1]
            undo = {"path": self._path, "old": back.new, "new": back.old}
            return call(("replace", undo), ("replace", self._edit(change)), thought="That one is taken; the next.")
        if not edits:
            return call(
                ("search_history", {"words": change.name, "code": ""}),
                ("replace", self._edit(change)),
                thought=f"{change.name} has not been tried at {change.after}.",
            )
        assert last is not None
        if last.name != "check" and last.name != "submit":
            return call(("check", {}), thought="Check it.")
        return call(("submit", submission(change)), thought="It is fit to be trained.")

    def _edit(self, change: Change) -> dict[str, Any]:
        return {"path": self._path, "old": change.old, "new": change.new}


def submission(change: Change) -> dict[str, Any]:
    """The arguments of a submission of a change."""
    return {
        "category": change.category,
        "title": change.title,
        "hypothesis": f"{change.name} at {change.before} may not be at its best within this budget.",
        "expected_effect": "a small gain in either direction",
    }


def untried(source: str, *, told: str) -> Iterator[Change]:
    """Changes of the last block of constants in `source` that no line of the conversation has told of."""
    lines = source.splitlines()
    found = {m[2]: number for number, line in enumerate(lines) if (m := CONSTANT.match(line))}
    for power in STEPS:
        for category, name, factor, multiple in EDITS:
            if name in found:
                change = _change(lines, found[name], category=category, factor=factor**power, multiple=multiple)
                mark = f"{change.name} {change.before}→{change.after}"
                if change.after != change.before and mark not in told and change.title not in told:
                    yield change


def calls(messages: Sequence[Mapping[str, Any]]) -> Iterator[Done]:
    """Tool calls of a conversation with their results, in order."""
    results: dict[str, Mapping[str, Any]] = {}
    for message in messages:
        if message["role"] == "user" and isinstance(message["content"], list):
            results |= {b["tool_use_id"]: b for b in message["content"] if b["type"] == "tool_result"}
    for message in messages:
        for block in message["content"] if message["role"] == "assistant" else ():
            if block["type"] == "tool_use":
                result = results[block["id"]]
                yield Done(block["name"], block["input"], str(result.get("content", "")), bool(result.get("is_error")))


def told(request: Mapping[str, Any]) -> str:
    """Everything the opening says."""
    return json.dumps(request["messages"][0], ensure_ascii=False)


def unnumbered(listing: str) -> str:
    """The text of a numbered listing."""
    return "\n".join(line[6:] for line in listing.splitlines())


def _change(lines: Sequence[str], number: int, *, category: str, factor: float, multiple: float) -> Change:
    match = CONSTANT.match(lines[number])
    assert match
    indent, name, before, comment = match.groups()
    after = _scaled(before, factor, multiple=multiple, told=comment or "")
    start = number
    text = "\n".join(lines)
    while start and text.count("\n".join(lines[start : number + 1])) > 1:
        start -= 1
    line = f"{indent}{name} = {after}{comment or ''}"
    old = "\n".join(lines[start : number + 1])
    return Change(category, name, before, after, old, "\n".join([*lines[start:number], line]))


def _scaled(before: str, factor: float, *, multiple: float, told: str) -> str:
    """The value times the factor, within the range that its comment tells, written like the old one."""
    value = float(before.replace("_", "")) * factor
    if bounds := RANGE.search(told):
        value = min(max(value, float(bounds[1])), float(bounds[2]))
    if multiple:
        value = max(multiple, round(value / multiple) * multiple)
    return repr(float(f"{value:.3g}")) if "." in before else str(round(value))
