"""The set of tools that a researcher has, as the API is told of it: names, what they are for, their arguments.

Whatever is not in this table is an error that goes back to the model. What a tool does is said in `tools`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from controller.agent.claude.digest import Category
from controller.agent.claude.draft import Misfit
from controller.agent.claude.untrusted import one_line


class Input(BaseModel):
    """Arguments of a tool; unknown ones are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Read(Input):
    """Read a file of the task, or a range of its lines (counted from 1). Editable files show your current draft."""

    path: str
    first_line: int | None = None
    last_line: int | None = None


class Replace(Input):
    """Replace text in an editable file. `old` must occur exactly once, copied exactly, without line numbers."""

    path: str
    old: str
    new: str


class Write(Input):
    """Replace an editable file as a whole. For rewrites only; prefer `replace`."""

    path: str
    text: str


class SearchHistory(Input):
    """Find experiments: `words` must all occur in title, hypothesis or reason; `code` must occur in a line of the diff.
    Leave one of them empty to search by the other. Newest first."""

    words: str
    code: str


class ShowExperiment(Input):
    """Show one experiment: hypothesis, scores, why it was kept or not, its diff, and the log tail where it failed."""

    number: int


class Check(Input):
    """Check your draft: does it parse, what changed, was it tried before, what is it close to."""


class Submit(Input):
    """Submit the draft as an experiment. It is committed and trained; you are not asked again.
    title: what is done, imperative, at most 72 characters. hypothesis: why it should help, with the experiments
    it builds on. expected_effect: direction and rough size."""

    category: Category
    title: str
    hypothesis: str
    expected_effect: str


TOOLS: Mapping[str, type[Input]] = {
    "read": Read,
    "replace": Replace,
    "write": Write,
    "search_history": SearchHistory,
    "show_experiment": ShowExperiment,
    "check": Check,
    "submit": Submit,
}


def definitions() -> list[dict[str, Any]]:
    """The tools as the API wants them, byte-stable, since they begin every cached prefix."""
    return [_definition(name, arguments) for name, arguments in TOOLS.items()]


def parse(name: str, arguments: object) -> Input:
    """One call, checked. Raises Misfit where there is no such tool, or where its arguments do not fit."""
    if name not in TOOLS:
        raise Misfit(f"there is no tool {one_line(name, limit=60)!r}; the tools are {', '.join(TOOLS)}")
    try:
        return TOOLS[name].model_validate(arguments)
    except ValidationError as error:
        raise Misfit(_invalid(error)) from error


def _definition(name: str, arguments: type[Input]) -> dict[str, Any]:
    schema = arguments.model_json_schema()
    properties = {key: _plain(value) for key, value in schema.get("properties", {}).items()}
    return {
        "name": name,
        "description": " ".join((arguments.__doc__ or "").split()),
        "strict": True,
        "input_schema": {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        },
    }


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Titles and defaults are pydantic's, and of no use to the model."""
    return {key: value for key, value in schema.items() if key not in ("title", "default")}


def _invalid(error: ValidationError) -> str:
    problems = [f"{'.'.join(map(str, p['loc'])) or 'arguments'}: {p['msg']}" for p in error.errors()[:5]]
    return "the arguments do not fit: " + "; ".join(problems)
