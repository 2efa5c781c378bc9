"""Makes a proposal of what a program left in its folder, or says why there is none. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from controller.agent.command.folder import PROPOSAL
from controller.executor.workshop import SessionCause, SessionEnd
from controller.text.safe_text import LINE, SENTENCE, one_line

FILE_BYTES = 2**20
"""Most bytes of an edited file (1 MiB)."""

PROPOSAL_BYTES = 2**16
"""Most bytes of proposal.json (64 KiB)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A proposal as the program has written it down."""

    files: Mapping[str, str]
    """Whole new text of each changed file."""

    title: str
    hypothesis: str
    expected_effect: str
    notes: str | None


class _Written(BaseModel):
    """The content of proposal.json."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    title: str = Field(min_length=1)
    hypothesis: str = ""
    expected_effect: str = ""
    notes: str | None = None


def read_submission(end: SessionEnd, files: Mapping[str, str]) -> Submission | str:
    """The submission, or the reason why there is none. files: text of the editable files before."""
    if fault := _fault_of_end(end):
        return fault
    changed: dict[str, str] = {}
    for path, before in sorted(files.items()):
        if path in end.faults:
            return f"the program left no usable {path}: it {end.faults[path]}"
        try:
            text = end.files[path].decode()
        except UnicodeDecodeError:
            return f"the program made {path} something other than UTF-8 text"
        if text != before:
            changed[path] = text
    if not changed:
        return f"the program changed nothing in {', '.join(sorted(files))}{_last_words(end)}"
    if PROPOSAL in end.faults:
        return f"the program left no usable {PROPOSAL}: it {end.faults[PROPOSAL]}"
    try:
        written = _Written.model_validate_json(end.files[PROPOSAL])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return one_line(f"{PROPOSAL}: {where}{': ' if where else ''}{first['msg']}", SENTENCE)
    return Submission(
        files=changed,
        title=one_line(written.title, LINE),
        hypothesis=written.hypothesis,
        expected_effect=one_line(written.expected_effect, SENTENCE),
        notes=written.notes,
    )


def _fault_of_end(end: SessionEnd) -> str:
    if end.cause is not SessionCause.EXITED:
        detail = f" ({one_line(end.detail)})" if end.detail else ""
        return f"the program gave no proposal: {end.cause}{detail} after {end.seconds:.0f} s"
    return f"the program failed with exit code {end.code}{_last_words(end)}" if end.code else ""


def _last_words(end: SessionEnd) -> str:
    last = next((line for line in reversed(end.output.splitlines()) if line.strip()), "")
    return f"; its last words: {one_line(last)}" if last else ""
