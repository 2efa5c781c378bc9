"""An agent that asks a second one once the first has nothing left, so that a script of patches is not the end."""

from __future__ import annotations

from controller.domain import Proposal
from controller.ports import Abandoned, Agent, ProposalRequest, Waiting


class SuccessionAgent:
    """Asks the first agent at each request, and the second if the first is exhausted; safe in several threads.

    The first is asked again each time, because it may have something new: patches can be added while it runs.
    """

    def __init__(self, first: Agent, second: Agent) -> None:
        self.name = first.name
        self._first = first
        self._second = second

    def check(self) -> list[str]:
        """Warnings of both agents. Raises AgentError if the first cannot work from the start."""
        return [*self._first.check(), *self._second.check()]

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        """Return the first agent's answer, or the second's where the first has nothing left."""
        answer = self._first.propose(request)
        if isinstance(answer, Abandoned) and answer.exhausted:
            return self._second.propose(request)
        return answer

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """The waits of both agents."""
        return (*self._first.waiting, *self._second.waiting)

    def stop(self) -> None:
        """Stop both agents."""
        self._first.stop()
        self._second.stop()
