"""Compares two sets of runs: difference, interval, and one of three words. Pure.

Welch's test (Welch 1947) with Satterthwaite's degrees of freedom (1946), because two programs need not be equally
noisy. Positive effects are better, whatever the metric's direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import comb, inf, sqrt
from statistics import fmean

from controller.judge.interface import sum_squared_deviations
from controller.studies import student


class Word(StrEnum):
    """The three answers of a comparison."""

    BETTER = "better"
    NOT_SHOWN = "not shown"
    WORSE = "worse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The lead of one side over the other, in the metric's unit."""

    effect: float
    """Difference of the means; positive is better."""

    low: float
    high: float
    """Ends of the interval that belongs to the word; infinite where the runs bound nothing."""

    sigma: float
    """Standard deviation of one run, pooled over both sides; 0 if no two runs of a side differed."""

    runs: tuple[int, int]
    """Scored runs of both sides."""

    @property
    def word(self) -> Word:
        """The word that follows from the interval: an effect above zero, below it, or not shown."""
        if self.low > 0.0:
            return Word.BETTER
        return Word.WORSE if self.high < 0.0 else Word.NOT_SHOWN

    @property
    def effect_in_sigma(self) -> float | None:
        """The effect in standard deviations of one run; None where sigma is not known."""
        return self.effect / self.sigma if self.sigma > 0.0 else None


def compare(one: Sequence[float], other: Sequence[float], *, sign: float, tail: float) -> Comparison | None:
    """The lead of `one` over `other`; None if a side has no run.

    sign: -1 if a lower score is better, else 1. tail: how often the word may be wrong in each direction where the two
    are equal.
    """
    if not one or not other:
        return None
    effect = sign * (fmean(one) - fmean(other))
    reach = _reach(one, other, tail=tail)
    sigma = _pool_sigma(one, other)
    return Comparison(effect=effect, low=effect - reach, high=effect + reach, sigma=sigma, runs=(len(one), len(other)))


def _reach(one: Sequence[float], other: Sequence[float], *, tail: float) -> float:
    """Half the length of the interval; infinite where the runs bound nothing."""
    if min(len(one), len(other)) < 2:
        return inf
    first, second = squares(one) / (len(one) - 1) / len(one), squares(other) / (len(other) - 1) / len(other)
    if first == 0.0 or second == 0.0:
        # A side whose runs all agree may be exact, or it may be coarse and lucky: sigma measured from it is worth
        # nothing. What is left is the order. If both sides come from one program, every order of the runs is equally
        # likely, and one side is wholly above the other in one of these many.
        if 1.0 / comb(len(one) + len(other), len(one)) > tail or not _are_apart(one, other):
            return inf
        if first == second:
            return 0.0
    # By their shares, as squares of very small variances are zero.
    share = first / (first + second)
    freedom = 1.0 / (share**2 / (len(one) - 1) + (1.0 - share) ** 2 / (len(other) - 1))
    # Rounded down, as readers of printed tables do: the interval grows a little, and quantiles are computed once.
    return student.quantile(tail, int(freedom + 1e-9)) * sqrt(first + second)


def squares(scores: Sequence[float]) -> float:
    """Sum of squared deviations from the mean; exactly 0 where all scores are equal, whose mean may be rounded."""
    return 0.0 if min(scores) == max(scores) else sum_squared_deviations(scores)


def _are_apart(one: Sequence[float], other: Sequence[float]) -> bool:
    return min(one) > max(other) or max(one) < min(other)


def _pool_sigma(one: Sequence[float], other: Sequence[float]) -> float:
    total = freedom = 0.0
    for side in (one, other):
        if len(side) > 1:
            total += squares(side)
            freedom += len(side) - 1
    return sqrt(total / freedom) if freedom else 0.0


def interval_of_mean(scores: Sequence[float], *, tail: float) -> tuple[float, float]:
    """The interval of the mean of one side's runs; infinite where one run, or equal ones, bound nothing."""
    mean = fmean(scores)
    if len(scores) < 2 or squares(scores) == 0.0:
        return -inf, inf
    reach = student.quantile(tail, len(scores) - 1) * sqrt(squares(scores) / (len(scores) - 1) / len(scores))
    return mean - reach, mean + reach
