"""An agent that asks a second one while the first cannot propose, so that the slots stay busy.

The first cannot propose while it waits (rate limit, overload), rests, or needs an operator (key, credit), and no more
once it has used up its own dollars. Each proposal names the agent that made it, and an outage of the first is reported
until an operator ends it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from threading import Lock

from controller.domain import Proposal
from controller.errors import AutoresearchError
from controller.planning.back_off import BackOff
from controller.ports import Abandoned, Agent, ProposalRequest, Waiting, WaitReason
from controller.text.faults import fault_line

log = logging.getLogger(__name__)

OUT_OF_IDEAS_SECONDS = 30.0
"""Least seconds to the next request if the second agent has nothing left: only the first can add something then."""


class FallbackAgent:
    """Asks the first agent, and the second while the first cannot answer; safe to call from several threads."""

    def __init__(
        self,
        first: Agent,
        second: Agent,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.name = first.name
        self._first = first
        self._second = second
        # Seconds that only grow: the monotonic clock does not jump when the machine's time is set.
        self._clock = clock
        # Unix time, for the moment that people are told.
        self._wall = wall
        self._lock = Lock()
        self._back_off = BackOff()
        self._paused_until = 0.0
        # The reason why the first agent has nothing more to propose; empty while it may.
        self._exhausted = ""

    def check(self) -> list[str]:
        """Warnings of both agents. Raises AgentError if the first cannot work from the start."""
        return [*self._first.check(), *self._second.check()]

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        """Return the first agent's answer, or the second's if the first cannot propose now.

        If the first agent asks for a pause, the second's proposal carries what the first one's calls cost: the second
        is an agent without costs of its own.
        """
        asked = self._clock()
        if not self._may_ask_first(asked):
            return self._ask_second(request)
        try:
            answer = self._first.propose(request)
        except AutoresearchError as error:
            return self._stand_in(request, str(error), asked=asked)
        except Exception as error:
            # A fault of the first agent's program is no reason to leave the slots idle until somebody has mended it.
            log.exception("the agent failed")
            return self._stand_in(request, f"a fault of its program ({fault_line(error)})", asked=asked)
        with self._lock:
            self._back_off = self._back_off.answer(asked=asked)
            if isinstance(answer, Proposal) or not (answer.retry_after or answer.exhausted):
                return answer
            if answer.exhausted:
                self._exhausted = answer.reason
            else:
                self._back_off = self._back_off.pause(answer.retry_after, reason=answer.reason, now=self._clock())
                self._paused_until = self._wall() + self._back_off.paused_until - self._clock()
        return replace(self._ask_second(request), cost=answer.cost)

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """The waits of the first agent's proposals, its pause, and its outage."""
        with self._lock:
            back_off, until, exhausted = self._back_off, self._paused_until, self._exhausted
        waiting = list(self._first.waiting)
        substitute = f"{self._second.name} stands in for {self._first.name}"
        if exhausted:
            return (*waiting, Waiting(reason=WaitReason.MONEY, text=f"{exhausted}; {substitute}"))
        if self._clock() < back_off.paused_until:
            text = f"{back_off.pause_reason}; {substitute}"
            waiting.append(Waiting(reason=WaitReason.REST, text=text, until=until))
        if back_off.outage:
            waiting.append(Waiting(reason=WaitReason.OPERATOR, text=f"{back_off.outage}; {substitute}"))
        return tuple(waiting)

    def stop(self) -> None:
        """Stop both agents."""
        self._first.stop()
        self._second.stop()

    def _stand_in(self, request: ProposalRequest, outage: str, *, asked: float) -> Proposal | Abandoned:
        """Note the outage of the first agent, and ask the second."""
        with self._lock:
            self._back_off = self._back_off.refuse(outage, asked=asked, now=self._clock())
        return self._ask_second(request)

    def _may_ask_first(self, now: float) -> bool:
        """True if the first agent may be asked now; in an outage only one request at a time goes to it."""
        with self._lock:
            if self._exhausted or now < self._back_off.may_ask_from:
                return False
            self._back_off = self._back_off.begin_request(now=now)
            return True

    def _ask_second(self, request: ProposalRequest) -> Proposal | Abandoned:
        """The second agent's answer. If it has nothing left the campaign goes on as long as the first may be back."""
        answer = self._second.propose(request)
        with self._lock:
            comes_back = not self._exhausted
        if isinstance(answer, Abandoned) and answer.exhausted and comes_back:
            return replace(answer, exhausted=False, retry_after=max(answer.retry_after, OUT_OF_IDEAS_SECONDS))
        return answer
