"""Carries out the researcher's tool calls: read, edit a draft, search the history, check, submit.

All tools work on values in memory. There is no shell, no network and no path outside the files that the request names.
A name or an argument that is not in the `toolset` is answered with an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from controller.agent.desk import history, toolset
from controller.agent.desk.desk import Desk
from controller.agent.desk.draft import Draft, ToolError, read_lines, replace_once, write_file
from controller.agent.desk.draft_checks import find_doubts, find_refusal, find_twin
from controller.agent.desk.experiment_text import (
    SHORT_LOG_CHARACTERS,
    cut_diff,
    fence_log,
    format_line,
    show_experiment,
)
from controller.agent.desk.fencing import fence
from controller.agent.desk.submissions import Submitted
from controller.domain import find_undone
from controller.edits import novelty
from controller.ports import NOTES_CHARACTERS, Incumbent
from controller.text.safe_text import one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """The result of one tool call."""

    draft: Draft
    """The draft after the call."""

    text: str
    """The answer for the model."""

    failed: bool = False
    """True if the model is told that the call went wrong."""

    refused: bool = False
    """True if the call was a submission with a fault: the conversation ends after a few of these."""

    submitted: toolset.Submit | None = None
    """The submission, if the call was one and was accepted."""

    notes: str | None = None
    """The new notes for later proposals, if the call wrote them."""


def run_tool(name: str, arguments: object, *, draft: Draft, desk: Desk) -> ToolResult:
    """Carry out one tool call. Whatever the model sends, the fault is told to it and not raised."""
    try:
        return _dispatch(toolset.parse_call(name, arguments), draft, desk)
    except ToolError as error:
        return ToolResult(draft=draft, text=str(error), failed=True, refused=name == "submit")


def _dispatch(call: toolset.Input, draft: Draft, desk: Desk) -> ToolResult:
    match call:
        case toolset.Read():
            text = _find_text(call.path, draft, desk)
            shown = read_lines(text, first=call.first_line or 1, last=call.last_line)
            return ToolResult(draft=draft, text=fence("file", shown))
        case toolset.Replace():
            path = _require_editable(call.path, draft)
            return _report_edit(draft, replace_once(draft, path=path, old=call.old, new=call.new))
        case toolset.ReplaceSeveral():
            path = _require_editable(call.path, draft)
            return _report_edit(draft, _replace_several(call, draft, path=path))
        case toolset.Write():
            path = _require_editable(call.path, draft)
            return _report_edit(draft, write_file(draft, path=path, text=call.text))
        case toolset.Adopt():
            return _report_edit(draft, _adopt_edit(call.number, draft, desk))
        case toolset.SearchHistory():
            return ToolResult(draft=draft, text=_search_history(call, desk))
        case toolset.ShowExperiment():
            return ToolResult(draft=draft, text=show_experiment(call.number, desk, from_line=call.from_line))
        case toolset.Doubt():
            return ToolResult(draft=draft, text=_ask_doubt(call, desk))
        case toolset.Remember():
            return _write_notes(call.text, draft)
        case toolset.Restore():
            return _report_edit(draft, _restore_program(call.number, draft, desk))
        case toolset.Check():
            return _on_newest(draft, desk, _check_draft)
        case toolset.Submit():
            return _on_newest(draft, desk, partial(_submit_draft, call))
        case _:
            raise ToolError(f"there is no tool for {type(call).__name__}")


def _replace_several(call: toolset.ReplaceSeveral, draft: Draft, *, path: str) -> Draft:
    """The draft with every replacement made. Raises ToolError, which names the one that does not fit."""
    if not call.replacements:
        raise ToolError("replacements is empty: give at least one")
    edited = draft
    for number, pair in enumerate(call.replacements, start=1):
        try:
            edited = replace_once(edited, path=path, old=pair.old, new=pair.new)
        except ToolError as error:
            raise ToolError(f"nothing was replaced; replacement {number}: {error}") from error
    return edited


def _report_edit(before: Draft, after: Draft) -> ToolResult:
    """The edit that was just made, alone: the whole draft in every answer would grow with each of them."""
    made = Draft(base=before.files, files=after.files).diff
    whole = after.diff
    total = f"{_count_lines(whole, '+')} lines added and {_count_lines(whole, '-')} removed in all"
    return ToolResult(draft=after, text=f"done; {total}; this edit:\n{fence('diff', cut_diff(made) or '(nothing)')}")


def _ask_doubt(call: toolset.Doubt, desk: Desk) -> str:
    """Hand the wish to the judge. Raises ToolError if there is nothing that could be left out."""
    request = desk.request
    if request.doubt is None:
        raise ToolError("this campaign's judge leaves no kept edit out (judge.doubt, judge.policy)")
    if not call.why.strip():
        raise ToolError("say in `why` what makes it doubtful")
    experiment = next((e for e in request.experiments if e.number == call.number), None)
    kept = experiment is not None and experiment.judgement is not None and bool(experiment.judgement.kept_as)
    if experiment is None or not kept or experiment.leaves_out is not None:
        raise ToolError(f"#{call.number} is no kept edit: only what is in the incumbent can be left out of it")
    if call.number in find_undone(request.experiments):
        raise ToolError(f"#{call.number} was undone already")
    if any(e.doubts == call.number and e.judgement is None for e in request.experiments):
        raise ToolError(f"#{call.number} is left out and tested right now")
    request.doubt(call.number, call.why)
    return f"the judge will run the incumbent without #{call.number}, once on each incumbent; go on with your proposal"


def _write_notes(text: str, draft: Draft) -> ToolResult:
    notes = text.strip()
    if len(notes) > NOTES_CHARACTERS:
        raise ToolError(f"the notes have {len(notes)} characters, {NOTES_CHARACTERS} at most: shorten them")
    return ToolResult(draft=draft, text="the next proposals will be shown these notes", notes=notes)


def _on_newest(draft: Draft, desk: Desk, then: Callable[[Draft, Desk], ToolResult]) -> ToolResult:
    """Do something with the draft on the incumbent of now; or tell of a conflict, and leave the draft to be made again.

    The conflict would be met after a submission as well, and then the edit would never run.
    """
    newest = _find_newer(draft, desk)
    if newest is None:
        return then(draft, desk)
    moved = draft.move_onto(newest.commit, newest.files, merge=desk.request.notebook.merge_texts)
    if moved is not None:
        result = then(moved, desk)
        return replace(result, text=f"another edit was kept meanwhile, and your draft stands on it now\n{result.text}")
    kept = Draft(base=draft.base, files=newest.files)
    text = "\n".join(
        [
            "not done: another edit was kept meanwhile, and yours conflicts with it. The draft is the new incumbent "
            "now, without your edit: make it again there if it still makes sense. What was kept:",
            fence("diff", cut_diff(kept.diff)),
            "Your edit was:",
            fence("diff", cut_diff(draft.diff)),
        ]
    )
    return ToolResult(draft=replace(Draft.of(newest.files), commit=newest.commit), text=text, failed=True)


def _find_newer(draft: Draft, desk: Desk) -> Incumbent | None:
    """The incumbent of now, if it is another one than the draft's."""
    newest = desk.request.newest()
    return None if newest is None or newest.commit == (draft.commit or desk.request.base) else newest


def _restore_program(number: int, draft: Draft, desk: Desk) -> Draft:
    experiment = next((e for e in desk.request.experiments if e.number == number), None)
    if experiment is None:
        raise ToolError(f"there is no experiment {number}")
    restored = draft
    for path, text in draft.files.items():
        earlier = desk.request.notebook.source(experiment.commit, path)
        if earlier != text:
            restored = write_file(restored, path=path, text=earlier)
    if restored.files == draft.files:
        raise ToolError(f"the draft is the program of #{number} already")
    return restored


def _adopt_edit(number: int, draft: Draft, desk: Desk) -> Draft:
    tried = next((t for t in desk.tried if t.experiment.number == number), None)
    if tried is None:
        raise ToolError(f"there is no experiment {number} with an edit; there are {len(desk.tried)} of them")
    adopted = draft
    for path, text in draft.files.items():
        merged = desk.request.notebook.merge(tried.experiment, path, text)
        if merged is None:
            raise ToolError(f"the edit of #{number} conflicts with {path} as it is now: see its diff, and edit by hand")
        if merged != text:
            adopted = write_file(adopted, path=path, text=merged)
    if adopted.files == draft.files:
        raise ToolError(f"the draft holds everything that #{number} changed already")
    return adopted


def _search_history(call: toolset.SearchHistory, desk: Desk) -> str:
    if not call.words.strip() and not call.code.strip():
        raise ToolError("give words, or a fragment of code")
    found = history.search_history(desk.tried, words=call.words, code=call.code)
    lines = [format_line(tried) for tried in found]
    return fence("history", "\n".join(lines)) if lines else "no experiment matches"


def _check_draft(draft: Draft, desk: Desk) -> ToolResult:
    changed = draft.diff
    if not changed:
        return ToolResult(draft=draft, text="the draft changes nothing yet")
    doubts = find_doubts(draft, desk)
    refusal = find_refusal(draft, desk) or find_twin(draft, desk)
    lines = [
        f"cannot be submitted: {refusal}" if refusal else "can be submitted",
        f"lines: {_count_lines(changed, '+')} added, {_count_lines(changed, '-')} removed",
        *([fence("doubts", "\n".join(doubts.values()))] if doubts else []),
        fence("diff", cut_diff(changed)),
    ]
    return ToolResult(draft=replace(draft, told=draft.told | doubts.keys()), text="\n".join(lines))


def _submit_draft(call: toolset.Submit, draft: Draft, desk: Desk) -> ToolResult:
    if not call.title.strip() or not call.hypothesis.strip():
        raise ToolError("a submission needs a title and a hypothesis")
    if not draft.changed:
        raise ToolError("the draft changes nothing: edit a file first")
    if refusal := find_refusal(draft, desk):
        raise ToolError(f"refused: {refusal}")
    if twin := find_twin(draft, desk):
        # The submission has no fault, so it does not count as a refused one.
        return ToolResult(draft=draft, text=f"refused: {twin}", failed=True)
    if untold := {key: line for key, line in find_doubts(draft, desk).items() if key not in draft.told}:
        text = "\n".join(
            ["not submitted yet:", fence("doubts", "\n".join(untold.values())), "submit again if you mean it"]
        )
        return ToolResult(draft=replace(draft, told=draft.told | untold.keys()), text=text)
    if crash := desk.request.smoke(draft.files):
        # A failed call and no refused submission: whoever mends it has used up none of the few that he has.
        told = fence("crash", one_line(crash.reason, limit=400))
        log = fence_log(crash.log, limit=SHORT_LOG_CHARACTERS)
        text = f"not submitted: it crashed in its smoke test, one step on the CPU without an accelerator\n{told}\n{log}"
        return ToolResult(draft=draft, text=text, failed=True)
    submission = Submitted(
        program=novelty.fingerprint(draft.files), title=call.title, edit=history.read_edit(draft.diff)
    )
    if not desk.submissions.submit(submission):
        return ToolResult(draft=draft, text="refused: another submits this very program right now", failed=True)
    return ToolResult(draft=draft, text="submitted", submitted=call)


def _find_text(path: str, draft: Draft, desk: Desk) -> str:
    known = {**desk.request.readable, **draft.files}
    if path not in known:
        raise ToolError(f"there is no file {one_line(path, limit=80)!r}; the files are {', '.join(known)}")
    return known[path]


def _require_editable(path: str, draft: Draft) -> str:
    if path not in draft.files:
        raise ToolError(f"{one_line(path, limit=80)!r} cannot be changed; you may change {', '.join(draft.files)}")
    return path


def _count_lines(diff: str, sign: str) -> int:
    """Number of added (+) or removed (-) lines; +++ and --- begin the header of a file."""
    count = 0
    for line in diff.splitlines():
        if line.startswith(sign) and not line.startswith(sign * 3):
            count += 1
    return count
