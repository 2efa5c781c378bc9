"""The tools of a researcher: names, purposes and arguments.

A call of any other tool is an error that goes back to the model. `tools` carries the calls out. The docstrings of the
argument classes are what a model is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from controller.agent.desk.draft import ToolError
from controller.agent.desk.experiment_text import Category
from controller.text.safe_text import one_line


class Input(BaseModel):
    """Arguments of a tool; unknown arguments are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


InputT = TypeVar("InputT", bound=Input)


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


class Pair(Input):
    """One replacement."""

    old: str
    new: str


class ReplaceSeveral(Input):
    """Make several replacements in one editable file, in their order: all of them, or none if one does not fit. Each
    `old` must occur exactly once, in the file as the replacements before it left it."""

    path: str
    replacements: list[Pair]


class Write(Input):
    """Replace an editable file as a whole. For rewrites only; prefer `replace`."""

    path: str
    text: str


class Adopt(Input):
    """Put the edit of an earlier experiment onto your draft, as it stands, beside what you have changed already."""

    number: int


class Restore(Input):
    """Make the draft the whole program of an earlier experiment, as it ran; 0 is the unchanged code. A program that was
    the incumbent once may be submitted again, to take back what was kept after it."""

    number: int


class SearchHistory(Input):
    """Find experiments: `words` must all occur in title, hypothesis or reason; `code` must occur in a line of the diff.
    Leave one of them empty to search by the other. Newest first."""

    words: str
    code: str


class ShowExperiment(Input):
    """Show one experiment: hypothesis, scores, why it was kept or not, what its runs measured, the curve of the loss,
    its diff, and the end of its log. 0 is the unchanged code. from_line: null, or the line of a long diff from which to
    go on."""

    number: int
    from_line: int | None = None


class Doubt(Input):
    """Ask the judge to leave a kept edit out of the incumbent, to learn what it is worth by now: that program is run,
    and the edit is taken back if it fails. It costs a run, as a proposal does. why: what makes it doubtful, in one
    sentence."""

    number: int
    why: str


class Remember(Input):
    """Rewrite the notes that later proposals are shown: what was learnt and no single experiment tells, such as which
    ideas are spent and why, and what to try next. `text` takes the place of the old notes; at most 4,000 characters."""

    text: str


class Check(Input):
    """Check your draft: does it parse, does it use names or arguments that do not exist, what changed, was it tried
    before, what is it close to."""


class Submit(Input):
    """Submit the draft as an experiment. It is committed and trained; you are not asked about it again.
    title: what is done, imperative, at most 72 characters. hypothesis: why it should help, with the experiments
    it builds on, at most 2,000 characters. expected_effect: direction and rough size, at most 36 characters."""

    category: Category
    title: str
    hypothesis: str
    expected_effect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDefinition:
    """A tool as a model is told of it."""

    name: str

    description: str
    """What it does and what its arguments mean."""

    schema: dict[str, Any]
    """JSON schema of its arguments."""


TOOLS: Mapping[str, type[Input]] = {
    "read": Read,
    "replace": Replace,
    "write": Write,
    "replace_several": ReplaceSeveral,
    "adopt": Adopt,
    "restore": Restore,
    "search_history": SearchHistory,
    "show_experiment": ShowExperiment,
    "doubt": Doubt,
    "remember": Remember,
    "check": Check,
    "submit": Submit,
}


def list_tools() -> list[ToolDefinition]:
    """All tools, always the same and in the same order: a model's prompt cache begins with them."""
    return [_define_tool(name, arguments) for name, arguments in TOOLS.items()]


def parse_call(name: str, arguments: object) -> Input:
    """One call, checked. Raises ToolError if there is no such tool, or if its arguments do not fit."""
    return parse_call_of(TOOLS, name, arguments)


def parse_call_of(tools: Mapping[str, type[InputT]], name: str, arguments: object) -> InputT:
    """One call of these tools, checked. Raises ToolError as `parse_call` does."""
    if name not in tools:
        raise ToolError(f"there is no tool {one_line(name, limit=60)!r}; the tools are {', '.join(tools)}")
    try:
        return tools[name].model_validate(arguments)
    except ValidationError as error:
        raise ToolError(_explain_invalid(error)) from error


def _define_tool(name: str, arguments: type[Input]) -> ToolDefinition:
    schema = arguments.model_json_schema()
    return ToolDefinition(
        name=name,
        description=" ".join((arguments.__doc__ or "").split()),
        schema=_strip_schema(schema, schema.get("$defs", {})),
    )


def _strip_schema(schema: Mapping[str, Any], defined: Mapping[str, Any]) -> dict[str, Any]:
    """A schema in which every argument is required, and nothing but the arguments is allowed.

    Titles, defaults and descriptions that pydantic adds are left out, and references replaced by what they mean.
    """
    if "$ref" in schema:
        return _strip_schema(defined[schema["$ref"].rpartition("/")[2]], defined)
    if schema.get("type") == "object":
        properties = {key: _strip_schema(value, defined) for key, value in schema.get("properties", {}).items()}
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
    kept = {key: value for key, value in schema.items() if key not in ("title", "default")}
    if "items" in kept:
        kept["items"] = _strip_schema(kept["items"], defined)
    return kept


def _explain_invalid(error: ValidationError) -> str:
    """One sentence that names the first five problems, each with the argument that has it."""
    problems = []
    for problem in error.errors()[:5]:
        place = ".".join(map(str, problem["loc"])) or "arguments"
        problems.append(f"{place}: {problem['msg']}")
    return "the arguments do not fit: " + "; ".join(problems)
