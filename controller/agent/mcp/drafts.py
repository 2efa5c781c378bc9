"""Makes a draft of the edits that a client sends, on a program of the campaign. Pure but for the notebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from controller.agent.desk.draft import Draft, ToolError, replace_once, write_file
from controller.agent.desk.toolset import Input, parse_call_of
from controller.agent.mcp import client_tools
from controller.ports import ProposalRequest
from controller.text.safe_text import one_line


def parse_call(name: str, arguments: Mapping[str, object] | None) -> Input:
    """A client's call, checked. Raises ToolError."""
    return parse_call_of(client_tools.TOOLS, name, dict(arguments or {}))


def make_draft(call: client_tools.Check | client_tools.Submit, request: ProposalRequest) -> Draft:
    """The client's edits made on its base. Raises ToolError, which names the edit that does not fit."""
    draft = replace(Draft.of(read_program(call.base, request)), commit=call.base)
    for number, edit in enumerate(call.edits, start=1):
        try:
            draft = _make_edit(draft, edit)
        except ToolError as error:
            raise ToolError(f"edit {number} does not fit {call.base[:7]}: {error}") from error
    return draft


def read_program(commit: str, request: ProposalRequest) -> dict[str, str]:
    """The editable files of a program of the campaign. Raises ToolError for any other commit, and LabError."""
    newest = request.newest()
    if newest is not None and commit == newest.commit:
        return dict(newest.files)
    if commit == request.base:
        return dict(request.files)
    known = {e.base for e in request.experiments} | {e.commit for e in request.experiments}
    if commit not in known:
        raise ToolError("base is no program of this campaign: take the commit that incumbent gives")
    return {path: request.notebook.source(commit, path) for path in request.files}


def _make_edit(draft: Draft, edit: client_tools.Edit) -> Draft:
    if edit.path not in draft.files:
        name = one_line(edit.path, limit=80)
        raise ToolError(f"{name!r} cannot be changed; you may change {', '.join(sorted(draft.files))}")
    if edit.text is not None and edit.old is None and edit.new is None:
        return write_file(draft, path=edit.path, text=edit.text)
    if edit.text is None and edit.old is not None and edit.new is not None:
        return replace_once(draft, path=edit.path, old=edit.old, new=edit.new)
    raise ToolError("give old and new, or text alone")
