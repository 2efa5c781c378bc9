"""Asks the agent for proposals, each in a thread of its own, and admits or sends back what it answers.

The planner decides when to ask. An agent's thread only hands its answer over; the loop's thread looks at it, because
only that thread may write to the lab.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from types import TracebackType
from typing import Self, assert_never

from controller.campaign.questions import Questions
from controller.campaign.recorder import Recorder
from controller.campaign.requests import build_request
from controller.campaign.safe_answers import make_safe
from controller.campaign.smoke import SmokeTests
from controller.domain import BASELINE, Experiment, Proposal
from controller.edits import novelty
from controller.errors import AutoresearchError
from controller.lab.attachments import NOTES, abandoned_path
from controller.notices import Admitted, Observer, Refused
from controller.planning.back_off import BackOff
from controller.planning.pacing import NEWEST, Pace, most_in_flight
from controller.ports import (
    Abandoned,
    Agent,
    Incumbent,
    ProposalRequest,
    SmokeCrash,
    SmokeTest,
    WaitReason,
)
from controller.settings import Settings
from controller.text.faults import fault_line
from controller.text.safe_text import SENTENCE, one_line

log = logging.getLogger(__name__)

REFUSALS_IN_A_ROW = 25
"""Number of proposals sent back one after another after which the agent counts as having nothing left. An agent that
searches on finds a new program much earlier."""

MOST_SENT_BACK = 1_000
"""Proposals of which the reason is kept for whoever holds the ticket: he asks within minutes."""

TWIN = "another proposal that was thought of at the same time has made this very program"


@dataclass(frozen=True, slots=True)
class AgentAnswered:
    """An agent's thread has ended, or offers a proposal and goes on."""

    request: ProposalRequest
    """The question."""

    answer: Proposal | Abandoned | BaseException
    """The answer, or the error that the agent raised."""

    crash: SmokeCrash | None = None
    """The crash of the proposal in its smoke test; None if it did not, or was not tested."""

    goes_on: bool = False
    """True if the same question may bring another proposal."""


@dataclass(frozen=True, slots=True)
class DoubtAsked:
    """An agent wants to know what a kept edit is worth by now."""

    number: int
    """Number of the kept experiment."""

    reason: str


@dataclass(frozen=True, slots=True)
class _AnswerTime:
    """The time that one answer took."""

    seconds: float
    """Seconds from the question to the answer."""

    admitted: bool
    """True if the answer became an experiment."""


class Proposals:
    """The questions under way and their answers. Used as a context manager, whose exit waits for the agent's threads.

    answered: called on an agent's thread with each answer and each wish to doubt; it hands them to the loop's thread.
    """

    def __init__(
        self,
        agent: Agent,
        recorder: Recorder,
        *,
        settings: Settings,
        brief: str,
        clock: Callable[[], float],
        observe: Observer,
        answered: Callable[[AgentAnswered | DoubtAsked], None],
        facts: tuple[str, ...] = (),
        importable: frozenset[str] | None = None,
        smoke: SmokeTest | None = None,
    ) -> None:
        self._agent = agent
        self._recorder = recorder
        self._settings = settings
        self._brief = brief
        self._clock = clock
        self._observe = observe
        self._answered = answered
        self._facts = facts
        self._importable = importable
        self._smoke_tests = smoke and SmokeTests(
            smoke,
            baseline=recorder.editable_files(recorder.campaign_state.experiments[BASELINE].commit),
            needs_load_model=settings.task.needs_load_model,
        )
        self._notes = recorder.read_notes()
        self._newest = self._read_incumbent()
        self._experiments = self._read_experiments()
        self._sent_back: dict[str, str] = {}
        """Reasons of the newest proposals with a ticket that were sent back, by their tickets."""
        self._threads = ThreadPoolExecutor(
            most_in_flight(settings.agent, slots=settings.executor.slots), thread_name_prefix="propose"
        )
        self._asked = 0
        self._questions = Questions()
        self._answers: deque[_AnswerTime] = deque(maxlen=NEWEST)
        self._refused: tuple[str, ...] = ()
        """Reasons of the proposals sent back since the last admitted one; the agent reads them."""
        self._back_off = BackOff()
        self.exhausted = False
        """True once the agent has nothing left to propose."""
        self.dollars_limit = inf
        """What the campaign's model calls may cost in all, in dollars. The loop keeps it current."""
        self.dollars_free = inf
        """Dollars that model calls may still take: nothing under way needs them. The loop keeps it current."""
        self.surplus = 0
        """Proposals under way that are wanted no more. The loop keeps it current."""
        self._too_few_dollars: float | None = None
        """Most free dollars at which the agent could not pay a call; None if it can, as far as is known."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown()

    @property
    def in_flight(self) -> int:
        """Number of questions without an answer yet."""
        return len(self._questions)

    @property
    def more(self) -> int:
        """Proposals that these questions may bring beyond one each."""
        return self._questions.more

    @property
    def trouble(self) -> str:
        """One sentence on a trouble of the agent that only an operator can mend; empty if there is none."""
        if self._back_off.outage:
            return f"agent {self._agent.name}: {self._back_off.outage}"
        for waiting in self._agent.waiting:
            if waiting.reason is WaitReason.OPERATOR:
                return f"agent {self._agent.name}: {one_line(waiting.text, SENTENCE)}"
        return ""

    @property
    def unable(self) -> bool:
        """True if the agent cannot propose at all until an operator helps."""
        return bool(self._back_off.outage)

    @property
    def short_of_money(self) -> bool:
        """True if the agent could not pay a call, and no more dollars have become free since.

        They do when a run ends for less than was set aside for it.
        """
        return self._too_few_dollars is not None and self.dollars_free <= self._too_few_dollars

    def resting(self, now: float) -> bool:
        """True if the agent must not be asked yet: it asked to be left alone, or it just failed."""
        return now < self.rests_until

    @property
    def rests_until(self) -> float:
        """Clock seconds at which the agent may be asked again; in the past if it may be asked now."""
        return self._back_off.may_ask_from

    @property
    def asked_at(self) -> float | None:
        """Clock seconds of the oldest question that has no answer yet; None if there is none."""
        return next(iter(self._questions.asked_at), None)

    def pace(self, now: float) -> Pace:
        """The pace at which proposals come and are used up."""
        return Pace(
            thinking=tuple(answer.seconds for answer in self._answers),
            admitted=tuple(answer.admitted for answer in self._answers),
            uses=tuple(self._recorder.campaign_state.uses),
            ages=tuple(max(0.0, now - asked) for asked in self._questions.asked_at),
        )

    def note_news(self) -> None:
        """Let agents at work see the experiments and the incumbent of now; the loop calls this in every turn."""
        self._experiments = self._read_experiments()
        if self._newest.commit != self._recorder.incumbent:
            # One assignment of a frozen value: another thread sees the old one or the new one, and never a mixture.
            self._newest = self._read_incumbent()

    def _read_incumbent(self) -> Incumbent:
        commit = self._recorder.incumbent
        return Incumbent(commit=commit, files=self._recorder.editable_files(commit))

    def _read_experiments(self) -> tuple[Experiment, ...]:
        return tuple(self._recorder.campaign_state.experiments.values())

    def ask_agent(self, count: int = 1) -> None:
        """Ask once more, in a thread of its own. count: proposals that may come of it."""
        self.note_news()
        question = build_request(
            self._recorder,
            self._settings,
            asked=self._asked,
            brief=self._brief,
            facts=self._facts,
            importable=self._importable,
            notes=self._notes,
            refused=self._refused,
            incumbent=self._newest,
            newest=lambda: self._newest,
            newest_experiments=lambda: self._experiments,
            refusal_of=self._sent_back.get,
            smoke=partial(self._find_smoke_crash, base=self._newest.files),
            doubt=self._ask_doubt if self._recorder.campaign_state.leaves_out else None,
            dollars_limit=lambda: self.dollars_limit,
        )
        request = replace(
            question, count=count, offer=partial(self._offer_in_thread, question), surplus=lambda: self.surplus
        )
        self._asked += 1
        self._questions.open(request, now=self._clock())
        self._threads.submit(self._propose_in_thread, request)

    def take_in_answer(self, event: AgentAnswered) -> None:
        """Admit a proposal or send it back. An error of the agent begins an outage, whatever its kind.

        Nobody looks after the loop, so that a fault of the agent's program must not end it: runs under way go on, and
        the agent is asked again from time to time. Only what ends a program, such as SystemExit, is raised.
        """
        answer, now = make_safe(event.answer), self._clock()
        number = event.request.number
        asked = self._questions.note_offer(number) if event.goes_on else self._questions.close(number)
        if isinstance(answer, Proposal | Abandoned) and answer.notes is not None:
            self._notes = answer.notes
            self._recorder.attach(NOTES, answer.notes)
        match answer:
            case Proposal():
                self._back_off = self._back_off.answer(asked=asked)
                admitted = self._admit_or_refuse(answer, event.request, crash=event.crash)
                self._answers.append(_AnswerTime(now - asked, admitted))
            case Abandoned():
                self._back_off = self._back_off.answer(asked=asked)
                self._take_in_abandoned(answer, event.request)
                # An agent that wants to be asked later has not thought, so its time says nothing about thinking. Nor
                # does the end of one whose proposals have come already.
                if not answer.retry_after and not answer.brought:
                    self._answers.append(_AnswerTime(now - asked, admitted=False))
            case AutoresearchError():
                self._back_off = self._back_off.refuse(one_line(str(answer), SENTENCE), asked=asked, now=now)
            case Exception():
                log.error("the agent failed", exc_info=answer)
                self._back_off = self._back_off.refuse(tell_fault(answer), asked=asked, now=now)
            case BaseException():
                raise answer
            case _:
                assert_never(answer)

    def _propose_in_thread(self, request: ProposalRequest) -> None:
        crash = None
        try:
            answer: Proposal | Abandoned | BaseException = self._agent.propose(request)
            if isinstance(answer, Proposal):
                crash = _find_crash(answer, request)
        except BaseException as error:  # noqa: BLE001 - handed to the loop's thread, which deals with it
            answer = error
        self._answered(AgentAnswered(request, answer, crash))

    def _offer_in_thread(self, request: ProposalRequest, proposal: Proposal) -> None:
        self._answered(AgentAnswered(request, proposal, _find_crash(proposal, request), goes_on=True))

    def _ask_doubt(self, number: int, reason: str) -> None:
        self._answered(DoubtAsked(number, one_line(reason, SENTENCE)))

    def _find_smoke_crash(self, files: Mapping[str, str], *, base: Mapping[str, str]) -> SmokeCrash | None:
        """Called from the agents' threads."""
        return self._smoke_tests.find_crash(files, base=base) if self._smoke_tests else None

    def _admit_or_refuse(self, proposal: Proposal, request: ProposalRequest, *, crash: SmokeCrash | None) -> bool:
        """Make a proposal an experiment and return True, or send it back and return False.

        crash: how it crashed in its smoke test, which is its verdict then; None if it did not.

        A proposal is no fault of the agent's if a twin, asked for at the same time, made the same program first.
        """
        base, campaign_state = self._recorder.editable_files(proposal.base), self._recorder.campaign_state
        known = campaign_state.fingerprints - campaign_state.find_revivable()
        refusal = novelty.find_refusal(
            base=base,
            proposed=proposal.files,
            tried=frozenset(known),
            needs_load_model=self._settings.task.needs_load_model,
            max_lines=self._settings.task.line_limit,
        )
        if not refusal:
            self._refused = ()
            experiment = self._recorder.admit(proposal)
            self._observe(Admitted(experiment))
            # Before the baseline is judged there are no verdicts; the attempt then tells the same.
            if crash and campaign_state.state is not None:
                self._recorder.conclude_smoke_crash(experiment, crash)
            return True
        if novelty.fingerprint({**base, **proposal.files}) in known - request.fingerprints:
            refusal = TWIN
        else:
            self._refused = (*self._refused, refusal)
            self.exhausted = self.exhausted or len(self._refused) >= REFUSALS_IN_A_ROW
        self._note_sent_back(proposal.ticket, refusal)
        self._observe(Refused(refusal, proposal.cost))
        return False

    def _note_sent_back(self, ticket: str, reason: str) -> None:
        """Keep the reason for whoever holds the ticket."""
        if not ticket:
            return
        self._sent_back[ticket] = reason
        if len(self._sent_back) > MOST_SENT_BACK:
            del self._sent_back[next(iter(self._sent_back))]

    def _take_in_abandoned(self, answer: Abandoned, request: ProposalRequest) -> None:
        now = self._clock()
        self._back_off = self._back_off.pause(answer.retry_after, reason=answer.reason, now=now)
        self.exhausted = self.exhausted or answer.exhausted
        if answer.short_of_money:
            self._too_few_dollars = max(self.dollars_free, self._too_few_dollars or 0.0)
        if answer.transcript:
            # Kept although it led to nothing: its model calls were paid for, and somebody may want to know for what.
            self._recorder.attach(abandoned_path(request.number, at=now), answer.transcript)
        self._observe(Refused(answer.reason, answer.cost))


def _find_crash(proposal: Proposal, request: ProposalRequest) -> SmokeCrash | None:
    """Called from the agents' threads."""
    if proposal.base != request.base:
        return None
    return request.smoke({**request.files, **proposal.files})


def tell_fault(error: Exception) -> str:
    """One sentence for the operator about an exception that no part of the agent expects."""
    fault = one_line(fault_line(error), SENTENCE)
    return f"a fault of the agent's program ({fault}): its log has the traceback; report it"
