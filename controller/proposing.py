"""Proposals: questions to the agent, each in a thread of its own, and what becomes of the answers.

When to ask is the planner's business. An answer is looked at by the loop's own thread, through the queue it hands in.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self, assert_never

from controller import novelty
from controller.domain import BASELINE, Proposal
from controller.errors import AgentError
from controller.journal import Journal
from controller.notices import Admitted, Observer, Refused
from controller.ports import Abandoned, Agent, ProposalRequest
from controller.settings import Settings

REFUSALS_IN_A_ROW = 25
"""Proposals sent back one after another until the agent counts as having nothing left."""


@dataclass(frozen=True, slots=True)
class Thought:
    """An agent's thread has come back."""

    answer: Proposal | Abandoned | AgentError


class Proposing:
    """Proposals under way; a context that waits for its threads. answered: takes each answer to the loop's thread."""

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
        self._threads = ThreadPoolExecutor(settings.executor.slots, thread_name_prefix="propose")
        self._asked = 0
        self._refused: tuple[str, ...] = ()
        self._rest_until = 0.0
        self.in_flight = 0
        self.exhausted = False
        self.trouble = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown()

    def resting(self, now: float) -> bool:
        """Whether the agent has asked to be left alone for a while."""
        return now < self._rest_until

    def ask(self, *, dollars_left: float | None) -> None:
        """Ask for one more proposal."""
        request = self._request(dollars_left)
        self._asked += 1
        self.in_flight += 1
        self._threads.submit(self._think, request)

    def take_in(self, thought: Thought) -> None:
        """Admit a proposal or send it back."""
        self.in_flight -= 1
        match thought.answer:
            case Proposal():
                self._consider(thought.answer)
            case Abandoned():
                self._abandoned(thought.answer)
            case AgentError():
                self.trouble = str(thought.answer)
                self.exhausted = True
            case _:
                assert_never(thought.answer)

    def _think(self, request: ProposalRequest) -> None:
        answer: Proposal | Abandoned | AgentError = Abandoned(reason="the agent's thread died")
        try:
            answer = self._agent.propose(request)
        except AgentError as error:
            answer = error
        finally:
            self._answered(Thought(answer))

    def _request(self, dollars_left: float | None) -> ProposalRequest:
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
            dollars_left=dollars_left,
        )

    def _consider(self, proposal: Proposal) -> None:
        refusal = novelty.refusal(
            base=self._journal.editable(proposal.base),
            proposed=proposal.files,
            tried=frozenset(self._journal.memory.fingerprints),
            needs_load_model=self._settings.task.score == "exam",
        )
        if refusal:
            self._refused = (*self._refused, refusal)
            self.exhausted = self.exhausted or len(self._refused) >= REFUSALS_IN_A_ROW
            self._observe(Refused(refusal, proposal.cost))
            return
        self._refused = ()
        self._observe(Admitted(self._journal.admit(proposal)))

    def _abandoned(self, answer: Abandoned) -> None:
        self._rest_until = self._clock() + answer.retry_after
        self.exhausted = self.exhausted or answer.exhausted
        if answer.transcript:
            # A conversation that led to nothing was paid for all the same.
            self._journal.attach(f"abandoned/{self._clock():.0f}-{self._asked:06d}.jsonl", answer.transcript)
        self._observe(Refused(answer.reason, answer.cost))
