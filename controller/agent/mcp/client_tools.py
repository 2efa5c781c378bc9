"""The tools of a client from outside: names, purposes and arguments. The docstrings are what the client is told.

A client holds its own draft and sends it whole, so that nothing is kept for it between two calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from controller.agent.desk.draft import FILE_CHARACTERS
from controller.agent.desk.experiment_text import Category
from controller.agent.desk.toolset import Input
from controller.ports import NOTES_CHARACTERS

LONGEST_WAIT_SECONDS = 50.0
"""Most seconds that one call of `wait` takes: clients give up on calls after a minute."""

MOST_EDITS = 200
"""Most edits of one draft."""

DECLARED_DOLLARS = 10_000.0
"""Most dollars that one submission can be said to have cost; more is a slip of the pen."""


class Brief(Input):
    """What the research is about: the brief of the operator and what he said since, what each training gets, how the
    score is judged, which files may be changed, how to submit, and what is asked for now. Read this first."""


class ReadIncumbent(Input):
    """The best program so far, on which an edit is made: its commit, which `check` and `submit` want as `base`, and its
    editable files. path: null for all of them as they are, or one file of the task, also one that can only be read,
    with its lines numbered from 1; first_line and last_line: null, or a range of them."""

    path: str | None = Field(None, max_length=1_000)
    first_line: int | None = None
    last_line: int | None = None


class History(Input):
    """What was tried: one line for each experiment with its verdict, gain and score, then the news. `words` must all
    occur in title, hypothesis or reason, and `code` in a line of the diff; without both, the newest experiments in full
    and a summary of the older ones."""

    words: str = Field("", max_length=500)
    code: str = Field("", max_length=500)


class Show(Input):
    """Show one experiment: hypothesis, scores, why it was kept or not, what its runs measured, the curve of the loss,
    its diff, and the end of its log. 0 is the unchanged code. from_line: null, or the line of a long diff from which to
    go on."""

    number: int
    from_line: int | None = None


class Edit(Input):
    """One change of a file: `old` and `new`, where `old` occurs exactly once and is copied exactly; or `text`, the
    whole new file."""

    path: str = Field(max_length=1_000)
    old: str | None = Field(None, max_length=FILE_CHARACTERS)
    new: str | None = Field(None, max_length=FILE_CHARACTERS)
    text: str | None = Field(None, max_length=FILE_CHARACTERS)


class Check(Input):
    """Check a draft before it is submitted: does it parse, does it use names that do not exist, was it tried before,
    what is it close to. base: the commit that `incumbent` gave. edits: made in their order."""

    base: str = Field(max_length=64)
    edits: list[Edit] = Field(max_length=MOST_EDITS)


class Submit(Input):
    """Submit a draft as an experiment: it is committed, trained, scored and judged. The answer holds a ticket for
    `wait`. base: the commit that `incumbent` gave. edits: made in their order. title: what is done, imperative, at most
    72 characters. hypothesis: why it should help, with the experiments it builds on. expected_effect: direction and
    rough size. notes: null, or what later proposals should know; it takes the place of the notes in the news. model:
    name of the model that thought of it, or empty. declared_dollars: what the thinking has cost, 0 if nobody knows."""

    base: str = Field(max_length=64)
    edits: list[Edit] = Field(max_length=MOST_EDITS)
    category: Category
    title: str = Field(max_length=300)
    hypothesis: str = Field(max_length=4_000)
    expected_effect: str = Field("", max_length=300)
    notes: str | None = Field(None, max_length=NOTES_CHARACTERS)
    model: str = Field("", max_length=60, pattern=r"^[A-Za-z0-9._:@-]*$")
    declared_dollars: float = Field(0.0, ge=0, le=DECLARED_DOLLARS)


class Wait(Input):
    """Wait for the verdict of a submission, and tell how far it is if there is none yet: call again then. Give its
    ticket, or the number of an experiment. seconds: the longest wait, 50 at most; 0 tells at once."""

    ticket: str | None = Field(None, max_length=64)
    number: int | None = None
    seconds: float = Field(25.0, ge=0, le=LONGEST_WAIT_SECONDS)


TOOLS: Mapping[str, type[Input]] = {
    "brief": Brief,
    "incumbent": ReadIncumbent,
    "history": History,
    "show": Show,
    "check": Check,
    "submit": Submit,
    "wait": Wait,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTool:
    """A tool as a client is told of it."""

    name: str
    description: str

    schema: dict[str, Any]
    """JSON schema of its arguments; those with a default may be left out."""

    changes_nothing: bool


def list_client_tools() -> list[ClientTool]:
    """All tools, always the same and in the same order."""
    return [
        ClientTool(
            name=name,
            description=" ".join((arguments.__doc__ or "").split()),
            schema=arguments.model_json_schema(),
            changes_nothing=name != "submit",
        )
        for name, arguments in TOOLS.items()
    ]
