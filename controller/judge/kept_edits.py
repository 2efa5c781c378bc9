"""Follows what later runs tell about the edits that were kept, and values a run without one of them (lines 5 and 6).

A keep rests on one to five runs, and part of it is luck. Every later run tells about the incumbent's level, and where
the level turns out worse than it was taken to be after a keep, the edit was worth less. This module follows that by
Kalman's rule, so that an edit comes into doubt without a run of its own. Pure arithmetic.

Gains are in the metric's unit, positive is better, because sigma is learned meanwhile; variances are in squared sigmas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

from controller.judge.belief import value_attempt

MOST_MISS = 3.0
"""Standard deviations by which a run may miss its forecast; what is beyond counts as an outlier of this size."""

LEAST_COVARIANCE = 1e-4
"""Squared sigmas. Below it the level tells nothing more about an edit, and a long campaign need not look at it."""

MOST_EDITS = 60
"""The newest kept edits are followed. Older ones stay: the level tells nothing more about them."""

LEAST_VARIANCE = 1e-6
"""Squared sigmas. Rounding may not make the variance of a difference negative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEdit:
    """One kept edit as believed now."""

    number: int
    """Number of its experiment."""

    gain: float
    """Its expected gain, in the metric's unit."""

    variance: float
    """Variance of the gain, in squared sigmas."""

    covariance: float
    """Covariance of the gain with the incumbent's level, in squared sigmas."""

    credited: float
    """The gain that it was kept with and that State.gain contains, in the metric's unit."""

    line_change: int
    """Lines that it added minus those that it removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WithoutEdit:
    """What is believed about the incumbent without one kept edit, in sigmas from the incumbent's level."""

    gain: float
    """Expected gain of leaving the edit out."""

    spread: float
    """Standard deviation, in sigma, of the change that one more run would make to that gain."""

    level: float
    """Level of the program without the edit."""

    level_variance: float

    base: float
    """Level of the incumbent with the edit, which these runs tell about too."""

    base_variance: float

    edit: KeptEdit
    """The edit as it is believed after these runs."""


def follow_level(
    edits: Sequence[KeptEdit], *, moved: float, sigma: float, before: float, after: float, carried: float = 1.0
) -> tuple[KeptEdit, ...]:
    """The kept edits after new evidence has moved the incumbent's level.

    Args:
        moved: change of the level for the better, in sigmas.
        sigma: standard deviation of one run, in the metric's unit.
        before: variance of the level before the evidence, in squared sigmas.
        after: variance of the same level after it.
        carried: share of the level's variance that a new incumbent has taken over; 1 where the incumbent stayed.
    """
    # After a jump the level may have lagged by many times its error, and no kept edit is to blame for that.
    most = MOST_MISS * sqrt(before)
    moved = max(-most, min(most, moved))
    followed = []
    for edit in edits:
        if abs(edit.covariance) < LEAST_COVARIANCE:
            followed.append(edit)
            continue
        slope = edit.covariance / before
        followed.append(
            replace(
                edit,
                gain=edit.gain + slope * moved * sigma,
                variance=max(0.0, edit.variance - slope * slope * (before - after)),
                covariance=slope * after * carried,
            )
        )
    return tuple(followed)


def weigh_without(
    edit: KeptEdit, *, level_variance: float, sigma: float, lead: float = 0.0, runs: int = 0
) -> WithoutEdit:
    """Belief about the incumbent without an edit, after so many runs of it whose mean leads the level by `lead` sigmas.

    Level and gain are taken as jointly normal.
    """
    expected = -edit.gain / sigma
    # The program without the edit scores the level minus the gain.
    variance = max(LEAST_VARIANCE, edit.variance + level_variance - 2.0 * edit.covariance)
    gain_slope, base_slope = edit.variance - edit.covariance, level_variance - edit.covariance
    level, left = expected, variance
    gain, base = expected, 0.0
    gain_variance, base_variance, covariance = edit.variance, level_variance, edit.covariance
    if runs:
        total = variance + 1.0 / runs
        most = MOST_MISS * sqrt(total)
        miss = max(-most, min(most, lead - expected)) / total
        # Runs far worse than forecast say plainly that the edit is needed, so that this side has no bound.
        needed = min(miss, (lead - expected) / total)
        level, left = expected + variance * needed, variance / (runs * total)
        gain, base = expected + gain_slope * needed, base_slope * miss
        gain_variance = max(0.0, gain_variance - gain_slope * gain_slope / total)
        base_variance = max(LEAST_VARIANCE, base_variance - base_slope * base_slope / total)
        covariance += gain_slope * base_slope / total
    return WithoutEdit(
        gain=gain,
        spread=max(0.0, gain_variance - covariance) / sqrt(left + 1.0),
        level=level,
        level_variance=left,
        base=base,
        base_variance=base_variance,
        edit=replace(edit, gain=-gain * sigma, variance=gain_variance, covariance=covariance),
    )


def value_leaving_out(gain: float, spread: float) -> float:
    """Expected profit, in sigma, of one run without an edit, after which it is undone if that is better.

    Until that run the edit stays, whatever is believed. So a gain that leaving it out promises already counts whole.
    """
    return value_attempt(gain, spread) + max(0.0, gain)
