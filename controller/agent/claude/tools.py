"""What a researcher's tools do, and nothing else: read, edit a draft, look into the history, check, submit.

Everything works on values in memory. There is no shell, no network, no path outside the files that the
request names; a name or an argument that is not in the `toolset` is answered with an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from controller import novelty
from controller.agent.claude import digest, history, toolset
from controller.agent.claude.board import Board, Submitted
from controller.agent.claude.draft import Draft, Misfit, read, replace_once, write
from controller.agent.claude.untrusted import fenced_log, one_line
from controller.ports import ProposalRequest

DIFF_CHARACTERS = 8_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What lies before the researcher: the request, its history with diffs, and what others submit meanwhile."""

    request: ProposalRequest
    tried: Sequence[history.Tried]
    needs_load_model: bool
    board: Board


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a tool did: the draft after it, the text for the model, and a submission where one was accepted.

    failed: the model is told that the call went wrong. refused: it was a submission, and it was turned down.
    """

    draft: Draft
    text: str
    failed: bool = False
    refused: bool = False
    submitted: toolset.Submit | None = None


def run(name: str, arguments: object, *, draft: Draft, desk: Desk) -> Step:
    """Carry out one tool call. Never raises for what a model may send."""
    try:
        return _run(toolset.parse(name, arguments), draft, desk)
    except Misfit as misfit:
        return Step(draft=draft, text=str(misfit), failed=True, refused=name == "submit")


def _run(call: toolset.Input, draft: Draft, desk: Desk) -> Step:
    match call:
        case toolset.Read():
            text = _text_of(call.path, draft, desk)
            return Step(draft=draft, text=read(text, first=call.first_line or 1, last=call.last_line))
        case toolset.Replace():
            return _edited(replace_once(draft, path=_editable(call.path, draft), old=call.old, new=call.new))
        case toolset.Write():
            return _edited(write(draft, path=_editable(call.path, draft), text=call.text))
        case toolset.SearchHistory():
            return Step(draft=draft, text=_search(call, desk))
        case toolset.ShowExperiment():
            return Step(draft=draft, text=_show(call.number, desk))
        case toolset.Check():
            return _check(draft, desk)
        case toolset.Submit():
            return _submit(call, draft, desk)
        case _:
            raise Misfit(f"there is no tool for {type(call).__name__}")


def _edited(draft: Draft) -> Step:
    return Step(draft=draft, text=f"done; the draft now differs by\n{_cut(draft.diff) or '(nothing)'}")


def _search(call: toolset.SearchHistory, desk: Desk) -> str:
    if not call.words.strip() and not call.code.strip():
        raise Misfit("give words, or a fragment of code")
    found = history.search(desk.tried, words=call.words, code=call.code)
    lines = [digest.line(tried) for tried in found]
    return "\n".join(lines) or "no experiment matches"


def _show(number: int, desk: Desk) -> str:
    tried = next((t for t in desk.tried if t.experiment.number == number), None)
    if tried is None:
        raise Misfit(f"there is no experiment {number}; the history has {len(desk.tried)} of them")
    experiment = tried.experiment
    reason = experiment.judgement.reason if experiment.judgement else "no verdict yet"
    parts = [
        digest.line(tried),
        f"hypothesis: {one_line(experiment.hypothesis, limit=1000) or '(none)'}",
        f"expected: {one_line(experiment.expected_effect, limit=300) or '(none)'}",
        f"judged: {one_line(reason, limit=400)}",
        _cut(tried.diff),
    ]
    log = [fenced_log(desk.request.notebook.log_tail(experiment))] if digest.failed(experiment) else []
    return "\n".join([*parts, *log])


def _check(draft: Draft, desk: Desk) -> Step:
    changed = draft.diff
    if not changed:
        return Step(draft=draft, text="the draft changes nothing yet")
    close = _close(draft, desk)
    verdict = _refusal(draft, desk) or _taken(draft, desk)
    lines = [
        f"cannot be submitted: {verdict}" if verdict else "can be submitted",
        f"lines: {_count(changed, '+')} added, {_count(changed, '-')} removed",
        *close.values(),
        _cut(changed),
    ]
    return Step(draft=replace(draft, told=draft.told | close.keys()), text="\n".join(lines))


def _submit(call: toolset.Submit, draft: Draft, desk: Desk) -> Step:
    if not call.title.strip() or not call.hypothesis.strip():
        raise Misfit("a submission needs a title and a hypothesis")
    if not draft.changed:
        raise Misfit("the draft changes nothing: edit a file first")
    if verdict := _refusal(draft, desk):
        raise Misfit(f"refused: {verdict}")
    if taken := _taken(draft, desk):
        # Nothing is wrong with it, so it does not count as a submission that was turned down.
        return Step(draft=draft, text=f"refused: {taken}", failed=True)
    if close := {key: line for key, line in _close(draft, desk).items() if key not in draft.told}:
        text = "\n".join(["not submitted yet:", *close.values(), "submit again if you mean to repeat it"])
        return Step(draft=replace(draft, told=draft.told | close.keys()), text=text)
    submission = Submitted(program=novelty.fingerprint(draft.files), title=call.title, edit=history.edit_of(draft.diff))
    if not desk.board.submit(submission):
        return Step(draft=draft, text="refused: another submits this very program right now", failed=True)
    return Step(draft=draft, text="submitted", submitted=call)


def _refusal(draft: Draft, desk: Desk) -> str | None:
    return novelty.refusal(
        base=draft.base,
        proposed=draft.changed,
        tried=desk.request.fingerprints,
        needs_load_model=desk.needs_load_model,
    )


def _taken(draft: Draft, desk: Desk) -> str | None:
    """That this very edit is under way, on whatever incumbent, so that its verdict is worth waiting for.

    Another has submitted it since the history was told, or it waits or runs.
    """
    known, program, edit = desk.request.fingerprints, novelty.fingerprint(draft.files), history.edit_of(draft.diff)
    news = [other for other in desk.board.submitted if other.program not in known]
    if any(other.program == program or other.edit == edit for other in news):
        titles = "; ".join(one_line(other.title, limit=90) for other in news)
        return f"another researcher has submitted this very edit meanwhile. Submitted so far: {titles}"
    under_way = (t.experiment for t in desk.tried if t.experiment.judgement is None and t.edit == edit)
    return next((f"#{e.number} is this very edit and has no verdict yet: propose another" for e in under_way), None)


def _close(draft: Draft, desk: Desk) -> dict[int | str, str]:
    """What the draft is like, in words: experiments by number, and what others submitted meanwhile by program."""
    edit, known = history.edit_of(draft.diff), desk.request.fingerprints
    close: dict[int | str, str] = {
        tried.experiment.number: f"{share:.0%} the same lines as {digest.line(tried)}"
        for share, tried in history.near(edit, desk.tried)
    }
    for other in desk.board.submitted:
        share = history.likeness(edit, other.edit)
        if share >= history.NEAR and other.program not in known:
            close[other.program] = f"{share:.0%} the same lines as one submitted meanwhile: {one_line(other.title)}"
    return close


def _text_of(path: str, draft: Draft, desk: Desk) -> str:
    known = {**desk.request.readable, **draft.files}
    if path not in known:
        raise Misfit(f"there is no file {one_line(path, limit=80)!r}; the files are {', '.join(known)}")
    return known[path]


def _editable(path: str, draft: Draft) -> str:
    if path not in draft.files:
        raise Misfit(f"{one_line(path, limit=80)!r} cannot be changed; you may change {', '.join(draft.files)}")
    return path


def _count(diff: str, sign: str) -> int:
    return sum(line.startswith(sign) and not line.startswith(sign * 3) for line in diff.splitlines())


def _cut(text: str) -> str:
    return (
        text if len(text) <= DIFF_CHARACTERS else f"{text[:DIFF_CHARACTERS]}\n(cut after {DIFF_CHARACTERS} characters)"
    )
