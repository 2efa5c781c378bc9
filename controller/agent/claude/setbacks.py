"""Decides what follows a call without a reply: wait and ask again, or end the proposal. Holds a proposal's limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from random import Random

from controller.agent.claude.answers import Busy, Interrupted
from controller.agent.claude.transcript import Transcript
from controller.agent.claude.warming import Warming
from controller.planning.back_off import double_wait
from controller.ports import Waiting, WaitReason
from controller.text.safe_text import one_line

MOST_INTERRUPTIONS = 3
"""Broken replies in a row that are asked for again; more of them are no accident, and each is paid for."""

BROKEN_REST_SECONDS = 30.0
"""Seconds to the next request after too many broken replies: the fault rarely passes sooner."""

LONGEST_TOLD_SECONDS = 300.0
"""Most seconds of a wait that the API asks for: a rate limit may say days, and then the slot is better freed."""

LONGEST_OWN_SECONDS = 60.0
"""Most seconds of a wait that we choose, if the API names none: an overload passes within minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalLimits:
    """Limits of one proposal."""

    calls: int
    """Whole replies."""

    seconds: float
    """Seconds from the first call to the submission."""

    waiting_seconds: float = inf
    """Seconds of waiting in a row; limited if another agent proposes while this one waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """The effects that a conversation has on the world, so that tests can replace them."""

    clock: Callable[[], float]

    wait: Callable[[float], bool]
    """Sleeps for so many seconds; returns true at once when the campaign stops."""

    stopped: Callable[[], bool]
    random: Random
    warming: Warming

    notice: Callable[[Waiting | None], None] = lambda _: None
    """Told what the proposal waits for, and None when it goes on."""


@dataclass(frozen=True, slots=True)
class NoSubmission:
    """The end of a conversation without a submission."""

    reason: str
    """One sentence for people."""

    retry_after: float = 0.0
    """Seconds for which the agent should be left alone; 0 for none."""

    short_of_money: bool = False
    """True if not even the first call could be paid."""

    fruitless: bool = True
    """True if it ended by what the model said or failed to say, so that the next conversation may end alike."""

    refused: bool = False
    """True if the model refused to go on."""

    category: str = ""
    """The API's category of a refusal."""

    too_long: bool = False
    """True if the conversation did not fit into the model's context."""


class Setbacks:
    """The limits of one proposal, and its calls in a row that brought no reply."""

    def __init__(self, limits: ProposalLimits, effects: Effects, transcript: Transcript) -> None:
        self._limits = limits
        self._effects = effects
        self._transcript = transcript
        self.begin_proposal()
        # All three in a row, since the last whole reply.
        self._interruptions = 0
        self._failures = 0
        self._waited_seconds = 0.0

    def begin_proposal(self) -> None:
        """Count the time anew, for the first proposal or one after a submission."""
        self._deadline = self._effects.clock() + self._limits.seconds

    def is_over(self) -> bool:
        """True if the campaign stops, or the proposal's time is used up."""
        return self._effects.stopped() or self._effects.clock() >= self._deadline

    def find_end(self, *, replies: int) -> NoSubmission | None:
        """The limit that is reached; None if another call may begin. replies: whole replies so far."""
        if self._effects.stopped():
            return NoSubmission("the campaign is stopping", fruitless=False)
        if self._effects.clock() >= self._deadline:
            return NoSubmission(f"no submission within {self._limits.seconds:.0f} seconds")
        if replies >= self._limits.calls:
            return NoSubmission(f"no submission within {self._limits.calls} calls")
        return None

    def end_row(self) -> None:
        """Note a whole reply: the next setback is the first of a new row."""
        self._interruptions = self._failures = 0
        self._waited_seconds = 0.0

    def wait_after(self, answer: Interrupted | Busy) -> NoSubmission | None:
        """Wait before the same question is asked again; returns the end instead if that fits no limit."""
        if isinstance(answer, Busy):
            return self._wait(answer.reason, answer.kind, answer.retry_after)
        self._interruptions += 1
        if self._interruptions > MOST_INTERRUPTIONS:
            reason = f"the reply broke off {self._interruptions} times ({answer.reason})"
            return NoSubmission(reason, retry_after=BROKEN_REST_SECONDS)
        return self._wait(answer.reason, WaitReason.BROKEN_STREAM, None)

    def _wait(self, reason: str, kind: WaitReason, retry_after: float | None) -> NoSubmission | None:
        effects = self._effects
        self._failures += 1
        seconds = choose_wait_seconds(failures=self._failures, retry_after=retry_after, random=effects.random)
        self._transcript.add("wait", seconds=round(seconds, 1), reason=reason)
        if effects.clock() + seconds >= self._deadline:
            return NoSubmission(f"waiting would outlast the proposal ({reason})", retry_after=seconds, fruitless=False)
        self._waited_seconds += seconds
        if self._waited_seconds > self._limits.waiting_seconds:
            return NoSubmission(
                f"another stands in, for waiting would take too long ({reason})", retry_after=seconds, fruitless=False
            )
        effects.notice(Waiting(reason=kind, text=one_line(reason), until=effects.clock() + seconds))
        stopped = effects.wait(seconds)
        effects.notice(None)
        return NoSubmission("the campaign is stopping", fruitless=False) if stopped else None


def choose_wait_seconds(*, failures: int, retry_after: float | None, random: Random) -> float:
    """Seconds to wait after so many failures in a row (1, 2, ...).

    The API's Retry-After is obeyed up to a cap. Without one the wait doubles. Both are jittered, so that proposals
    which failed together do not come back together.
    """
    if retry_after is not None:
        return min(retry_after, LONGEST_TOLD_SECONDS) * (1 + random.uniform(0, 0.1))
    return double_wait(1.0, times=failures, longest_seconds=LONGEST_OWN_SECONDS) * random.uniform(0.5, 1.0)
