"""The questions to the agent that have no answer yet, and how many proposals each may still bring.

Only the loop's thread may use it.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.ports import ProposalRequest


@dataclass(slots=True)
class _Question:
    asked: float
    """Clock seconds at which it was asked."""

    left: int
    """Proposals that it may still bring."""


class Questions:
    """Questions under way, by the number of their requests."""

    def __init__(self) -> None:
        self._open: dict[int, _Question] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, request: ProposalRequest, *, now: float) -> None:
        """A question is asked."""
        self._open[request.number] = _Question(asked=now, left=request.count)

    def note_offer(self, number: int) -> float:
        """A question has brought a proposal and may bring another; returns when it was asked."""
        question = self._open[number]
        question.left = max(1, question.left - 1)
        return question.asked

    def close(self, number: int) -> float:
        """A question is answered, whatever is left of it; returns when it was asked."""
        return self._open.pop(number).asked

    @property
    def more(self) -> int:
        """Proposals that they may bring beyond one each."""
        return sum(question.left - 1 for question in self._open.values())

    @property
    def asked_at(self) -> tuple[float, ...]:
        """When each was asked, the oldest first."""
        return tuple(sorted(question.asked for question in self._open.values()))
