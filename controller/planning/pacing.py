"""The number of proposals to have under way, so that no slot waits for the agent and none is made too early. Pure.

The number follows from this campaign's own durations by Little's law: the mean number under way is the rate at which
they are used times the time that each one takes. It is never more than needed, because a proposal that is ready long
before its slot stands on an old incumbent, costs a rebase and was paid early.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum, pi, sqrt
from statistics import fmean, median

from controller.domain import BASELINE, Experiment
from controller.settings import AgentSettings

NEWEST = 32
"""Durations remembered: enough to smooth, few enough to follow a change within a round or two."""

FEW = 4
"""Judged proposals from which their durations are trusted; missing ones count as one attempt of expected length."""

LEAST_YIELD = 0.25
"""Least share of admitted proposals reckoned with: below it, still more requests at once would not help."""

DEVIATIONS = 2.0
"""Standard deviations of the number under way that the ready proposals cover: about 98 of 100 cases if normal."""

DEFAULT_MOST = 16
"""Requests to the agent at once, if the settings name no limit and there are not more slots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Recent durations of proposals: how fast they come and are used up, the newest last."""

    thinking: tuple[float, ...] = ()
    """Seconds from request to answer."""

    admitted: tuple[bool, ...] = ()
    """For each of these answers: true if it became an experiment."""

    uses: tuple[float, ...] = ()
    """Slot seconds of each judged proposal, all its attempts together; 0 if it had none."""

    ages: tuple[float, ...] = ()
    """Seconds since each request that has no answer yet."""


def count_ready(experiments: Iterable[Experiment]) -> int:
    """Number of these open experiments that wait for their first attempt."""
    return sum(1 for e in experiments if e.number != BASELINE and not e.attempts)


def most_in_flight(agent: AgentSettings, *, slots: int) -> int:
    """Most requests to the agent at once."""
    if agent.max_in_flight is not None:
        return agent.max_in_flight
    # Requests that wait for a client from outside all go to the fallback when it stays away: no more than are needed.
    return slots + 1 if agent.kind == "mcp" else max(DEFAULT_MOST, slots)


def most_of_one_question(agent: AgentSettings, *, slots: int) -> int:
    """Most proposals that one question to the agent may bring: with one slot one, so that it never thinks ahead."""
    return min(agent.claude.submissions, slots) if agent.kind == "claude" else 1


def expect_thinking_seconds(pace: Pace) -> float:
    """Seconds from request to answer that the next request is expected to take.

    Before the first answer: at least as long as the oldest request has waited. Later the mean of the answers, or the
    median age of the requests under way if that is longer: the agent has become slower then.
    """
    if not pace.thinking:
        return max(pace.ages, default=0.0)
    mean = fmean(pace.thinking)
    if not pace.ages:
        return mean
    return max(mean, median(pace.ages))


def find_depth(pace: Pace, *, slots: int, attempt_seconds: float) -> int:
    """Number of proposals to have under way or ready.

    attempt_seconds: expected slot seconds of one attempt, for durations that are not measured yet.

    By Little's law, slots / (slot seconds of a proposal) proposals are used per second, and each is under way for as
    long as the agent thinks. To these comes one ready proposal per slot, or more if both durations vary so much that
    the ready ones would run out.
    """
    admitted_share = 1.0
    if pace.admitted:
        admitted_share = max(LEAST_YIELD, fmean(pace.admitted))
    missing = FEW - len(pace.uses)
    uses = (*pace.uses, *(attempt_seconds,) * missing)
    # At least one second, so that proposals that never ran cannot divide by zero.
    slot_seconds = max(1.0, admitted_share * fmean(uses))
    in_flight = slots * expect_thinking_seconds(pace) / slot_seconds
    deviation = sqrt(in_flight * _relative_variance(pace, uses=uses, admitted_share=admitted_share))
    return round(in_flight + max(slots, DEVIATIONS * deviation))


def _relative_variance(pace: Pace, *, uses: tuple[float, ...], admitted_share: float) -> float:
    """Variance of the number of proposals under way, divided by that number.

    Requests made at an even rate: the number under way varies by rate x half the mean difference of two thinking
    times, and for normal durations half the mean difference is sd / sqrt(pi). Slots do not come free at an even rate,
    which adds the squared relative spread of the slot seconds per proposal; only `admitted_share` of the proposals
    occupy a slot at all.
    """
    thinking = 0.0
    if pace.thinking:
        thinking = _relative_spread(pace.thinking) / sqrt(pi)
    return thinking + (1 + _relative_spread(uses) ** 2) / admitted_share - 1


def _relative_spread(values: Sequence[float]) -> float:
    """Standard deviation divided by the mean; 0 if that is 0.

    In floating point: `statistics.pstdev` computes with fractions, which took half of the planner's time.
    """
    mean = fmean(values)
    if not mean:
        return 0.0
    return sqrt(fsum((value - mean) ** 2 for value in values) / len(values)) / mean
