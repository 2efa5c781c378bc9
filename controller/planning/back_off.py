"""When to ask an agent again that asked for a pause, or that cannot work until an operator helps. Pure.

A refused key or an empty account is repaired without any message to us. So one request tries the agent again from
time to time, at growing intervals.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FIRST_OUTAGE_SECONDS = 5.0
"""Seconds to the first try after a refusal: short, as it may have been a hiccup."""

LONGEST_OUTAGE_SECONDS = 300.0
"""Most seconds between two tries: the longest that an operator waits to see that the repair worked."""

MOST_DOUBLINGS = 10
"""Most doublings of a wait (a factor of 1,024), so that the power stays within a float. Every cap is far below."""


def double_wait(first_seconds: float, *, times: int, longest_seconds: float) -> float:
    """Seconds to wait after `times` doublings of the first wait, at most `longest_seconds`."""
    return min(longest_seconds, first_seconds * 2.0 ** min(times, MOST_DOUBLINGS))


@dataclass(frozen=True, slots=True, kw_only=True)
class BackOff:
    """Two reasons to leave an agent alone: a pause that it asked for, and an outage that an operator must end.

    All times are seconds of the caller's clock.
    """

    paused_until: float = 0.0
    """End of the pause; in the past if there is none."""

    pause_reason: str = ""
    """One sentence: the reason that the agent gave for its latest pause."""

    outage: str = ""
    """One sentence that says what the operator must do; empty if there is no outage."""

    refused_at: float = 0.0
    """Time of the latest refusal."""

    next_request_at: float = 0.0
    """During an outage: the earliest time of the request that finds out whether it is over."""

    refusals: int = 0
    """Refusals one after another; each doubles the wait."""

    @property
    def may_ask_from(self) -> float:
        """The time from which the agent may be asked."""
        return max(self.paused_until, self.next_request_at)

    def pause(self, seconds: float, *, reason: str, now: float) -> BackOff:
        """The agent asked for a pause. Of several pauses the one that ends last counts."""
        return replace(self, paused_until=max(self.paused_until, now + seconds), pause_reason=reason)

    def refuse(self, reason: str, *, asked: float, now: float) -> BackOff:
        """A request made at `asked` was refused. Of several requests under way only the first refusal counts."""
        if self.outage and asked <= self.refused_at:
            return self
        wait = double_wait(FIRST_OUTAGE_SECONDS, times=self.refusals, longest_seconds=LONGEST_OUTAGE_SECONDS)
        return replace(self, outage=reason, refused_at=now, next_request_at=now + wait, refusals=self.refusals + 1)

    def answer(self, *, asked: float) -> BackOff:
        """A request made at `asked` was answered. It ends the outage only if it was made after the refusal."""
        if asked <= self.refused_at:
            return self
        return BackOff(paused_until=self.paused_until, pause_reason=self.pause_reason)

    def begin_request(self, *, now: float) -> BackOff:
        """A request begins. During an outage no other is made until it ends or the longest wait is over."""
        if not self.outage:
            return self
        return replace(self, next_request_at=now + LONGEST_OUTAGE_SECONDS)
