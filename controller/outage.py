"""What an agent cannot do until an operator helps: why, and when to ask again. Pure.

A refused key or an empty account mends while nobody tells us, so it is tried again, ever more rarely.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FIRST_SECONDS = 5.0
LONGEST_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Outage:
    """reason: one sentence, empty where all is well. since, until: clock seconds of the last refusal and the next go.

    times: refusals one after another, so that each rest doubles.
    """

    reason: str = ""
    since: float = 0.0
    until: float = 0.0
    times: int = 0

    def met(self, reason: str, *, asked: float, now: float) -> Outage:
        """A question asked at `asked` was refused; of many that were under way together only the first counts."""
        if self.reason and asked <= self.since:
            return self
        rest = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(self.times, 10))
        return Outage(reason=reason, since=now, until=now + rest, times=self.times + 1)

    def answered(self, *, asked: float) -> Outage:
        """A question was answered; only one that was asked after the refusal shows that it is over."""
        return Outage() if asked > self.since else self

    def trying(self, *, now: float) -> Outage:
        """One question is on its way to find out; others need not ask meanwhile."""
        return replace(self, until=now + LONGEST_SECONDS) if self.reason else self
