"""An agent that stands in while another cannot propose: the GPUs work on, and who proposed what stays visible.

It covers waiting (rate limits, overload) and what only a human can mend (key, credit); of the latter it tells, so
that somebody does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from threading import Lock

from controller.domain import Proposal
from controller.errors import AgentError
from controller.outage import Outage
from controller.ports import Abandoned, Agent, ProposalRequest, Waiting, WaitReason

OUT_OF_IDEAS_SECONDS = 30.0


class FallbackAgent:
    """Asks `first`; while that cannot answer, asks `second`. clock: monotonic seconds."""

    def __init__(self, first: Agent, second: Agent, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = first.name
        self._first = first
        self._second = second
        self._clock = clock
        self._lock = Lock()
        self._rests_until = 0.0
        self._rests_for = ""
        self._outage = Outage()

    def check(self) -> list[str]:
        """Warnings of both. Raises AgentError where the first could not work from the start."""
        return [*self._first.check(), *self._second.check()]

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        """The first agent's proposal, or the second's while the first cannot; what the first cost is charged."""
        asked = self._clock()
        if not self._turn_of_first(asked):
            return self._stand_in(request)
        try:
            answer = self._first.propose(request)
        except AgentError as error:
            with self._lock:
                self._outage = self._outage.met(str(error), asked=asked, now=self._clock())
            return self._stand_in(request)
        with self._lock:
            self._outage = self._outage.answered(asked=asked)
        if isinstance(answer, Proposal) or not answer.retry_after:
            return answer
        with self._lock:
            self._rests_until = max(self._rests_until, self._clock() + answer.retry_after)
            self._rests_for = answer.reason
        return replace(self._stand_in(request), cost=answer.cost)

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """What the first one's proposals wait for, its own rest, and what an operator must mend for it."""
        with self._lock:
            seconds, reason, outage = self._rests_until - self._clock(), self._rests_for, self._outage.reason
        waiting = self._first.waiting
        stands_in = f"{self._second.name} stands in for {self._first.name}"
        if seconds > 0:
            text = f"{reason}; {stands_in}, asking again in {seconds:.0f} s"
            waiting = (*waiting, Waiting(reason=WaitReason.REST, text=text))
        if outage:
            waiting = (*waiting, Waiting(reason=WaitReason.OPERATOR, text=f"{outage}; {stands_in}"))
        return waiting

    def stop(self) -> None:
        """Stop both."""
        self._first.stop()
        self._second.stop()

    def _turn_of_first(self, now: float) -> bool:
        """In an outage one question finds out whether it is over; the others are the second agent's."""
        with self._lock:
            if now < max(self._rests_until, self._outage.until):
                return False
            self._outage = self._outage.trying(now=now)
            return True

    def _stand_in(self, request: ProposalRequest) -> Proposal | Abandoned:
        """The second agent out of ideas does not end a campaign whose first agent will be back."""
        answer = self._second.propose(request)
        if isinstance(answer, Abandoned) and answer.exhausted:
            return replace(answer, exhausted=False, retry_after=max(answer.retry_after, OUT_OF_IDEAS_SECONDS))
        return answer
