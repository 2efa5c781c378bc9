"""How many proposals to have under way, so that no slot waits for the agent and none is made too early.

Pure: Little's law over this campaign's own durations. A proposal that is ready long before its slot stands on an old
incumbent, costs a rebase and was paid early, so the answer is never more than is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import pi, sqrt
from statistics import fmean, median, pstdev

from controller.domain import BASELINE, Experiment
from controller.settings import Settings

NEWEST = 32
"""So many durations are remembered: enough to smooth, few enough to follow a change within a round or two."""

FEW = 4
"""Until so many experiments ended, a run's expected length fills up for those that are missing."""

LEAST_YIELD = 0.25
"""Where fewer proposals than this come to a run, still more of them at once would not help."""

DEVIATIONS = 2.0
"""Standard deviations of the proposals under way that stay covered by those that are ready."""

DEFAULT_MOST = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast proposals come and are used up, the newest last.

    thinking: seconds from question to answer. admitted: whether each of these answers became an experiment.
    uses: slot seconds of each proposal that was judged, reruns included, 0 where it never ran.
    ages: seconds since each question that has no answer yet.
    """

    thinking: tuple[float, ...] = ()
    admitted: tuple[bool, ...] = ()
    uses: tuple[float, ...] = ()
    ages: tuple[float, ...] = ()


def ready(experiments: Iterable[Experiment]) -> int:
    """How many of these open experiments wait for their first run."""
    return sum(1 for e in experiments if e.number != BASELINE and not e.attempts)


def most_in_flight(settings: Settings) -> int:
    """Proposals that may be thought about at once."""
    return settings.agent.max_in_flight or max(DEFAULT_MOST, settings.executor.slots)


def thinking_seconds(pace: Pace) -> float:
    """What a proposal takes; until the first answer at least as long as the oldest question has waited.

    Later the questions under way count where half of them are older than that: the agent has become slower.
    """
    if not pace.thinking:
        return max(pace.ages, default=0.0)
    return max(fmean(pace.thinking), median(pace.ages) if pace.ages else 0.0)


def depth(pace: Pace, *, slots: int, run_seconds: float) -> int:
    """Proposals to have under way or ready. run_seconds: of one run, for what has not been measured yet.

    In flight by Little's law: slots / slot seconds of a proposal come per second, each for as long as one takes.
    With them one ready per slot, or more where both durations vary so much that these would run out.
    """
    yielded = max(LEAST_YIELD, fmean(pace.admitted)) if pace.admitted else 1.0
    uses = (*pace.uses, *(run_seconds,) * (FEW - len(pace.uses)))
    occupied = max(1.0, yielded * fmean(uses))
    in_flight = slots * thinking_seconds(pace) / occupied
    return round(in_flight + max(slots, DEVIATIONS * sqrt(in_flight * _variation(pace, uses=uses, yielded=yielded))))


def _variation(pace: Pace, *, uses: tuple[float, ...], yielded: float) -> float:
    """Variance of the number under way, per proposal under way.

    Asked at an even rate, those still under way vary by rate x half the mean difference of two durations, which is
    sd / sqrt(pi) where they are normal; that slots do not come free at an even rate adds the squared relative
    spread of what a proposal occupies, a share `yielded` of them at all.
    """
    mean = fmean(pace.thinking) if pace.thinking else 0.0
    thinking = pstdev(pace.thinking) / mean / sqrt(pi) if mean else 0.0
    used = fmean(uses)
    spread = (pstdev(uses) / used) ** 2 if used else 0.0
    return thinking + (1 + spread) / yielded - 1
