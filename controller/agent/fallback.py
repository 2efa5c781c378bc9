"""An agent that stands in while another rests: the GPUs work on, and who proposed what stays visible.

It stands in for waiting only (rate limits, overload). What only a human can mend still stops the campaign.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from threading import Lock

from controller.domain import Proposal
from controller.ports import Abandoned, Agent, ProposalRequest, Waiting, WaitReason


class FallbackAgent:
    """Asks `first`; while that rests, asks `second`. clock: monotonic seconds."""

    def __init__(self, first: Agent, second: Agent, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = first.name
        self._first = first
        self._second = second
        self._clock = clock
        self._lock = Lock()
        self._rests_until = 0.0
        self._rests_for = ""

    def check(self) -> list[str]:
        """Warnings of both."""
        return [*self._first.check(), *self._second.check()]

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        """The first agent's proposal, or the second's while the first rests; what the first cost is charged."""
        if self._resting():
            return self._second.propose(request)
        answer = self._first.propose(request)
        if isinstance(answer, Proposal) or not answer.retry_after:
            return answer
        with self._lock:
            self._rests_until = self._clock() + answer.retry_after
            self._rests_for = answer.reason
        return replace(self._second.propose(request), cost=answer.cost)

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """What the first one's proposals wait for, and its own rest."""
        with self._lock:
            seconds, reason = self._rests_until - self._clock(), self._rests_for
        if seconds <= 0:
            return self._first.waiting
        text = f"{reason}; {self._second.name} stands in for {self._first.name}, asking again in {seconds:.0f} s"
        return (*self._first.waiting, Waiting(reason=WaitReason.REST, text=text))

    def stop(self) -> None:
        """Stop both."""
        self._first.stop()
        self._second.stop()

    def _resting(self) -> bool:
        with self._lock:
            return self._clock() < self._rests_until
