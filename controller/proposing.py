"""Proposals: questions to the agent, each in a thread of its own, and what becomes of the answers.

When to ask is the planner's business. An answer is looked at by the loop's own thread, through the queue it hands in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import inf
from types import TracebackType
from typing import Self, assert_never

from controller import novelty
from controller.domain import BASELINE, Proposal
from controller.errors import AutoresearchError
from controller.journal import Journal
from controller.notices import Admitted, Observer, Refused
from controller.outage import Outage
from controller.pipeline import NEWEST, Pace, most_in_flight
from controller.ports import Abandoned, Agent, ProposalRequest, WaitReason
from controller.settings import Settings

REFUSALS_IN_A_ROW = 25
"""Proposals sent back one after another until the agent counts as having nothing left."""

TWIN = "another proposal that was thought of at the same time has made this very program"


@dataclass(frozen=True, slots=True)
class Thought:
    """An agent's thread has come back with an answer, or with an error that is raised where the loop takes it in."""

    request: ProposalRequest
    answer: Proposal | Abandoned | BaseException


class Proposing:
    """Proposals under way; a context that waits for its threads. answered: takes each answer to the loop's thread.

    exhausted: the agent has nothing left. dollars_limit: see `ProposalRequest`; the loop keeps it current.
    """

    def __init__(
        self,
        agent: Agent,
        journal: Journal,
        *,
        settings: Settings,
        brief: str,
        clock: Callable[[], float],
        observe: Observer,
        answered: Callable[[Thought], None],
    ) -> None:
        self._agent = agent
        self._journal = journal
        self._settings = settings
        self._brief = brief
        self._clock = clock
        self._observe = observe
        self._answered = answered
        self._threads = ThreadPoolExecutor(most_in_flight(settings), thread_name_prefix="propose")
        self._asked = 0
        self._asked_at: dict[int, float] = {}
        self._answers: deque[tuple[float, bool]] = deque(maxlen=NEWEST)
        self._refused: tuple[str, ...] = ()
        self._rest_until = 0.0
        self._outage = Outage()
        self.exhausted = False
        self.dollars_limit = inf

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown()

    @property
    def in_flight(self) -> int:
        """Questions without an answer yet."""
        return len(self._asked_at)

    @property
    def trouble(self) -> str:
        """What only an operator can mend, as a sentence; empty when there is nothing."""
        if self._outage.reason:
            return f"agent {self._agent.name}: {self._outage.reason}"
        waiting = (w.text for w in self._agent.waiting if w.reason is WaitReason.OPERATOR)
        return next((f"agent {self._agent.name}: {text}" for text in waiting), "")

    @property
    def unable(self) -> bool:
        """Whether the agent cannot propose at all until an operator helps."""
        return bool(self._outage.reason)

    def resting(self, now: float) -> bool:
        """Whether the agent is to be left alone for a while."""
        return now < max(self._rest_until, self._outage.until)

    def pace(self, now: float) -> Pace:
        """How fast proposals come and are used up."""
        return Pace(
            thinking=tuple(seconds for seconds, _ in self._answers),
            admitted=tuple(admitted for _, admitted in self._answers),
            uses=tuple(self._journal.memory.uses),
            ages=tuple(max(0.0, now - asked) for asked in self._asked_at.values()),
        )

    def ask(self) -> None:
        """Ask for one more proposal."""
        request = self._request()
        self._asked += 1
        self._asked_at[request.number] = self._clock()
        self._threads.submit(self._think, request)

    def take_in(self, thought: Thought) -> None:
        """Admit a proposal or send it back. What an operator can mend is waited for; a fault of ours is raised here."""
        asked, now = self._asked_at.pop(thought.request.number), self._clock()
        match thought.answer:
            case Proposal():
                self._outage = self._outage.answered(asked=asked)
                self._answers.append((now - asked, self._consider(thought.answer, thought.request)))
            case Abandoned():
                self._outage = self._outage.answered(asked=asked)
                self._abandoned(thought.answer, thought.request)
                # One that was sent away to come back later says nothing about how long thinking takes.
                if not thought.answer.retry_after:
                    self._answers.append((now - asked, False))
            case AutoresearchError():
                self._outage = self._outage.met(str(thought.answer), asked=asked, now=now)
            case BaseException():
                raise thought.answer
            case _:
                assert_never(thought.answer)

    def _think(self, request: ProposalRequest) -> None:
        try:
            answer: Proposal | Abandoned | BaseException = self._agent.propose(request)
        except BaseException as error:  # noqa: BLE001 - carried over, and raised again by the loop's thread
            answer = error
        self._answered(Thought(request, answer))

    def _request(self) -> ProposalRequest:
        task, memory, incumbent = self._settings.task, self._journal.memory, self._journal.incumbent
        state, experiments = memory.state, tuple(memory.experiments.values())
        return ProposalRequest(
            tag=self._settings.tag,
            number=len(experiments) + self._asked,
            brief=self._brief,
            base=incumbent,
            files=self._journal.editable(incumbent),
            readable=self._journal.readable(incumbent),
            experiments=experiments,
            fingerprints=frozenset(memory.fingerprints),
            notebook=self._journal.notebook(),
            metric=task.metric,
            minimize=task.direction == "minimize",
            sigma=state.sigma if state else None,
            incumbent_level=state.level if state else None,
            refused=self._refused,
            pending=tuple(e.title for e in memory.open.values() if e.number != BASELINE),
            dollars_limit=lambda: self.dollars_limit,
        )

    def _consider(self, proposal: Proposal, request: ProposalRequest) -> bool:
        """Admit a proposal, or send it back and return False; not to be new is no fault where a twin came first."""
        base, known = self._journal.editable(proposal.base), self._journal.memory.fingerprints
        refusal = novelty.refusal(
            base=base,
            proposed=proposal.files,
            tried=frozenset(known),
            needs_load_model=self._settings.task.score == "exam",
        )
        if not refusal:
            self._refused = ()
            self._observe(Admitted(self._journal.admit(proposal)))
            return True
        if novelty.fingerprint({**base, **proposal.files}) in known - request.fingerprints:
            refusal = TWIN
        else:
            self._refused = (*self._refused, refusal)
            self.exhausted = self.exhausted or len(self._refused) >= REFUSALS_IN_A_ROW
        self._observe(Refused(refusal, proposal.cost))
        return False

    def _abandoned(self, answer: Abandoned, request: ProposalRequest) -> None:
        now = self._clock()
        self._rest_until = max(self._rest_until, now + answer.retry_after)
        self.exhausted = self.exhausted or answer.exhausted
        if answer.transcript:
            # A conversation that led to nothing was paid for all the same.
            self._journal.attach(f"abandoned/{now:.0f}-{request.number:06d}.jsonl", answer.transcript)
        self._observe(Refused(answer.reason, answer.cost))
