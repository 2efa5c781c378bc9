"""Carries out a client's calls on the campaign as it is now. Whatever the client sends, the fault is told to it.

Covered: it reads what every agent reads, and it changes nothing but the box of submissions. A base is one of the
campaign's own programs, so that no other commit of the lab can be read. Not covered: what the client does elsewhere.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from threading import Lock

from controller.agent.desk import history, strategy
from controller.agent.desk.desk import Desk
from controller.agent.desk.draft import Draft, ToolError
from controller.agent.desk.experiment_text import show_experiment
from controller.agent.desk.submissions import Submissions, Submitted
from controller.agent.desk.tools import ToolResult, run_tool
from controller.agent.desk.toolset import Input
from controller.agent.mcp import briefing, client_tools, fates
from controller.agent.mcp.box import BoxFull, Submission, SubmissionBox, new_ticket
from controller.agent.mcp.drafts import make_draft, parse_call
from controller.edits import novelty
from controller.errors import AutoresearchError
from controller.ports import Incumbent, ProposalRequest
from controller.settings import McpSettings
from controller.text.safe_text import PARAGRAPHS, SENTENCE, one_line, safe_text

log = logging.getLogger(__name__)

PLATEAU_AFTER = 10
"""Verdicts without a keep before the strategy changes, as for Claude by default."""

REMEMBERED_DRAFTS = 256
"""Drafts whose doubts were told: the same draft, submitted once more, is meant."""

NOT_YET = "the campaign has only just begun and asks for no proposal yet: try again in a few seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a client is answered."""

    parts: tuple[str, ...]

    failed: bool = False
    """True if the client is told that the call went wrong."""


class ClientCalls:
    """The calls of all clients of one campaign; safe to share between threads."""

    def __init__(
        self,
        settings: McpSettings,
        box: SubmissionBox,
        *,
        request: Callable[[], ProposalRequest | None],
        needs_load_model: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """request: the loop's newest question, brought up to date; None before the first."""
        self._settings, self._box = settings, box
        self._request, self._needs_load_model, self._clock = request, needs_load_model, clock
        self._diffs = history.Diffs()
        self._turns = strategy.StrategyTurns()
        self._lock = Lock()
        # The strategy that was told last, until a submission uses it up; empty if none was.
        self._way = ""
        self._told: OrderedDict[str, frozenset[int | str]] = OrderedDict()

    def answer(self, name: str, arguments: Mapping[str, object] | None) -> Answer:
        """Carry out one call. `wait` does not wait here: whoever calls it asks `has_ended` first."""
        try:
            return self._dispatch(parse_call(name, arguments))
        except ToolError as error:
            return Answer(parts=(str(error),), failed=True)
        except AutoresearchError as error:
            log.warning("a call of %s by a client failed: %s", name, error)
            return Answer(parts=(f"the lab cannot be read now: {one_line(str(error), SENTENCE)}",), failed=True)
        except OSError as error:
            log.warning("a submission of a client could not be kept: %s", error)
            text = f"not submitted: it cannot be written to disk ({error.strerror}); tell the operator, and try again"
            return Answer(parts=(text,), failed=True)

    def has_ended(self, call: client_tools.Wait) -> bool:
        """True if what is waited for has a verdict or was sent back, or if nothing is known of it."""
        request = self._request()
        return request is None or fates.has_ended(call, request, self._box)

    def settle(self) -> None:
        """Forget the submissions whose fate is known."""
        if request := self._request():
            fates.settle(request, self._box)

    def _dispatch(self, call: Input) -> Answer:
        request = self._require_request()
        match call:
            case client_tools.Brief():
                return Answer(parts=self._write_brief(request))
            case client_tools.ReadIncumbent():
                return self._read_incumbent(call, request)
            case client_tools.History():
                return self._tell_history(call, self._desk(request))
            case client_tools.Show():
                return Answer(parts=(show_experiment(call.number, self._desk(request), from_line=call.from_line),))
            case client_tools.Check():
                desk = self._desk(request)
                draft = self._draft(call, request)
                result = run_tool("check", {}, draft=draft, desk=desk)
                self._remember_told(draft, result)
                return Answer(parts=_tell_result(result, draft), failed=result.failed)
            case client_tools.Submit():
                return self._submit(call, request)
            case client_tools.Wait():
                return Answer(parts=fates.tell_fate(call, self._desk(request), self._box))
            case _:
                raise ToolError(f"there is no answer to {type(call).__name__}")

    def _require_request(self) -> ProposalRequest:
        request = self._request()
        if request is None:
            raise ToolError(NOT_YET)
        return request

    def _desk(self, request: ProposalRequest) -> Desk:
        """The desk as of now, with the submissions that wait as those of others."""
        known = {experiment.ticket for experiment in request.experiments}
        submissions = Submissions()
        for each in self._box.waiting:
            if each.ticket not in known:
                edit = history.read_edit(each.diff)
                submissions.submit(Submitted(program=each.program, title=each.title, edit=edit))
        return Desk(
            request=request,
            tried=self._diffs.tried(request.experiments, request.notebook.diff),
            needs_load_model=self._needs_load_model,
            submissions=submissions,
        )

    def _write_brief(self, request: ProposalRequest) -> tuple[str, ...]:
        return briefing.write_brief(
            request,
            way=self._choose_way(request),
            patience=self._settings.patience,
            fallback=self._settings.fallback != "none",
            most_waiting=self._settings.most_waiting,
        )

    def _choose_way(self, request: ProposalRequest) -> str:
        with self._lock:
            if not self._way:
                self._way = self._turns.choose(request.experiments, plateau_after=PLATEAU_AFTER, other_model=False)
            return self._way

    def _read_incumbent(self, call: client_tools.ReadIncumbent, request: ProposalRequest) -> Answer:
        incumbent = request.newest() or Incumbent(commit=request.base, files=request.files)
        if call.path is None:
            return Answer(parts=briefing.write_incumbent(request, incumbent))
        draft = replace(Draft.of(incumbent.files), commit=incumbent.commit)
        arguments = {"path": call.path, "first_line": call.first_line, "last_line": call.last_line}
        result = run_tool("read", arguments, draft=draft, desk=self._desk(request))
        return Answer(parts=(f"base: {incumbent.commit}", result.text), failed=result.failed)

    def _tell_history(self, call: client_tools.History, desk: Desk) -> Answer:
        if not call.words.strip() and not call.code.strip():
            return Answer(parts=briefing.write_history(desk.request, desk.tried))
        result = run_tool("search_history", {"words": call.words, "code": call.code}, draft=Draft.of({}), desk=desk)
        return Answer(parts=(result.text,), failed=result.failed)

    def _draft(self, call: client_tools.Check | client_tools.Submit, request: ProposalRequest) -> Draft:
        """The client's draft, with the doubts that it was told of before. Raises ToolError."""
        draft = make_draft(call, request)
        with self._lock:
            told = self._told.get(novelty.fingerprint(draft.files), frozenset())
        return replace(draft, told=told)

    def _remember_told(self, draft: Draft, result: ToolResult) -> None:
        with self._lock:
            self._told[novelty.fingerprint(draft.files)] = result.draft.told
            while len(self._told) > REMEMBERED_DRAFTS:
                self._told.popitem(last=False)

    def _submit(self, call: client_tools.Submit, request: ProposalRequest) -> Answer:
        self.settle()
        draft = self._draft(call, request)
        program = novelty.fingerprint(draft.files)
        if known := next((each for each in self._box.waiting if each.program == program), None):
            return _tell_ticket(known, again=True)
        words = call.model_dump(include={"category", "title", "hypothesis", "expected_effect"})
        result = run_tool("submit", words, draft=draft, desk=self._desk(request))
        self._remember_told(draft, result)
        if result.submitted is None:
            return Answer(parts=_tell_result(result, draft), failed=True)
        # Another edit may have been kept meanwhile, and then the draft was moved onto it.
        moved = result.draft
        submission = Submission(
            ticket=new_ticket(self._clock()),
            base=moved.commit or request.base,
            files=moved.changed,
            program=novelty.fingerprint(moved.files),
            diff=moved.diff,
            title=f"{call.category}: {one_line(call.title, limit=90)}",
            hypothesis=safe_text(call.hypothesis, limit=PARAGRAPHS),
            expected_effect=one_line(call.expected_effect),
            notes=None if call.notes is None else safe_text(call.notes),
            agent="/".join(filter(None, ("mcp", self._settings.name, call.model))),
            strategy=self._choose_way(request),
            declared_dollars=call.declared_dollars,
        )
        try:
            kept = self._box.put(submission)
        except BoxFull:
            count = self._settings.most_waiting
            raise ToolError(f"not submitted: {count} submissions wait already; wait for one of them first") from None
        with self._lock:
            self._way = ""
        return _tell_ticket(kept, again=kept is not submission)


def _tell_result(result: ToolResult, draft: Draft) -> tuple[str, ...]:
    """The text of a result, with the base of now if the draft met another one."""
    moved = result.draft.commit != draft.commit
    return (result.text, f"base: {result.draft.commit}") if moved else (result.text,)


def _tell_ticket(submission: Submission, *, again: bool) -> Answer:
    said = "submitted before, and accepted then" if again else "submitted"
    return Answer(parts=(f"{said}\nticket: {submission.ticket}\n`wait` with this ticket tells its verdict",))
