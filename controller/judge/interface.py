"""The values that go in and out of a judge, and the protocol that every policy implements.

No I/O, no clock, no randomness: the same finished experiments give the same state on any machine.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from math import ceil, fsum, log10, sqrt
from statistics import fmean
from typing import Protocol

from controller.domain import LARGEST_SCORE, Experiment, Verdict
from controller.judge.kept_edits import KeptEdit
from controller.judge.levels import Levels, begin_levels

LEAST_SIGMA_SHARE = 1e-6
"""Least sigma, as a share of the level. Upstream prints six decimals, so for a score near 1 this is the last digit."""

LEAST_SIGMA = 1.0 / LARGEST_SCORE
"""Least sigma in the metric's unit. Below it, a score near zero would be an infinite number of sigmas away."""

MOST_VALUES = 20
"""A metric that has shown more different values than this is not coarse."""

STEP_TOLERANCE = 0.02
"""Share of a step by which a difference of two values may miss a whole number of steps: scores are printed rounded."""

BELIEVED_FREEDOM = 8
"""Repeated runs after which sigma is believed as it was measured, equal scores included.

Three baseline scores make sigma less than half of its true value in 22 campaigns of 100, and of a success rate over ten
episodes they are equal in 7 to 20 of 100.
"""

MOST_SIGMAS = 1e100
"""Sigmas. A larger gain counts as this one, because its square must be a double."""


class Decision(StrEnum):
    """The judge's answer about one candidate."""

    RERUN = "rerun"
    KEEP = "keep"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One experiment as the judge sees it."""

    scores: tuple[float, ...]
    """Scores of its scored attempts in order, in the metric's unit, all finite; empty if no attempt was scored."""

    line_change: int
    """Lines added minus lines removed against its base; negative is simpler."""

    number: int = 0
    """Number of its experiment, by which the judge remembers a kept edit."""

    doubts: int | None = None
    """See Experiment.doubts."""

    base: str = ""
    """The commit that it was made on; empty for today's incumbent."""

    replaces: bool = False
    """True if its own program is to take the incumbent's place, because the two cannot be merged."""

    leaves: str = ""
    """For a keep, the incumbent that the branch moves on from."""

    gain_since: float = 0.0
    """Sum of the expected gains kept since its base was the incumbent, in the metric's unit, positive is better.

    For a program that replaces the incumbent, the gains of the edits that are carried over to it.

    With several slots the incumbent may have moved on meanwhile; this puts the scores back on a common level.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """A decision with its reason and numbers. A number is None if the policy does not compute it."""

    decision: Decision

    reason: str
    """One sentence for people."""

    expected_gain: float | None = None
    """The worth of the edit as believed now, in sigma, positive is better."""

    spread: float | None = None
    """Standard deviation, in sigma, of the change that one more attempt would make to the expected gain."""

    price: float | None = None
    """The least worth, in sigma, at which one more attempt is bought."""

    level: float | None = None
    """The incumbent's estimated score after this decision, in the metric's unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that a judge remembers of a campaign. It is rebuilt from the lab, never stored."""

    level: float
    """The incumbent's estimated score, in the metric's unit."""

    attempts: int
    """Attempts counted so far, those of the baseline and the crashed ones included."""

    floor: float
    """The least sigma that is believed, in the metric's unit."""

    squares: float
    """Sum of squared deviations of repeated attempts from the mean of their commit, in the metric's unit squared."""

    freedom: int
    """Degrees of freedom behind `squares`; 0 if sigma was never measured."""

    level_variance: float
    """Variance of the level in squared sigmas, so that the level's error follows when sigma is learned better."""

    values: tuple[float, ...] = ()
    """Different scores seen so far, rising; at most one more than MOST_VALUES."""

    seen: int = 0
    """Scores seen so far."""

    gain: float = 0.0
    """Sum of the expected gains of all kept edits, in the metric's unit, positive is better."""

    followed: Levels | None = None
    """Levels of former incumbents together with today's; None if only today's is known."""

    kept: tuple[KeptEdit, ...] = ()
    """The ledger's belief about each kept edit that it has not undone; empty for the other policies."""

    effect_counts: tuple[float, ...] = ()
    """The ledger's pseudo-count for each effect of its grid; empty for the other policies."""

    @property
    def levels(self) -> Levels:
        """The levels that are followed; the incumbent's is the last."""
        return self.followed or begin_levels(self.level, self.level_variance)

    @property
    def sigma(self) -> float:
        """Standard deviation of one attempt in the metric's unit, pooled over baseline and repeated attempts."""
        measured = sqrt(self.squares / self.freedom) if self.freedom else 0.0
        # On a coarse scale a few repeats that differ seldom make sigma a fraction of a step by chance.
        return self.floor if measured <= self.floor else max(measured, self.step)

    @property
    def step(self) -> float:
        """Distance of two neighbouring values of a coarse metric, in its unit; 0 if it does not look coarse.

        Coarse: at least three values that all lie whole steps apart, each of them seen twice on average.
        """
        if not 3 <= len(self.values) <= MOST_VALUES or self.seen < 2 * len(self.values):
            return 0.0
        gaps = [later - earlier for earlier, later in pairwise(self.values)]
        step = min(gaps)
        if step <= self.floor:
            return 0.0
        whole = all(abs(gap / step - round(gap / step)) <= STEP_TOLERANCE for gap in gaps)
        return step if whole else 0.0

    @property
    def noise(self) -> float | None:
        """Sigma as it was measured; None if repeated attempts gave the same score, or there was only one."""
        return None if self.is_exact else self.sigma

    @property
    def is_exact(self) -> bool:
        """True if repeated attempts gave the same score every time. One that differs ends it."""
        return self.sigma <= self.floor

    @property
    def level_error(self) -> float:
        """Standard error of the level in the metric's unit."""
        return self.sigma * sqrt(self.level_variance)

    @property
    def told_level(self) -> float:
        """The level without digits as small as the least sigma that is believed: they are left over from arithmetic."""
        return round(self.level, -ceil(log10(self.floor))) + 0.0  # zero has no sign

    def in_sigmas(self, difference: float) -> float:
        """Convert a difference of scores to sigmas of one attempt."""
        return max(-MOST_SIGMAS, min(MOST_SIGMAS, difference / self.sigma))


class Judge(Protocol):
    """One policy. `assess` decides and remembers nothing; replaying `conclude` rebuilds the state."""

    sign: float
    """-1 if a lower score is better, else 1."""

    @property
    def leaves_out(self) -> bool:
        """True if kept edits may be left out of the incumbent to test them."""
        return False

    @property
    def keeps_merged(self) -> bool:
        """True if an edit that was measured on an older incumbent is kept as soon as it merges with the new one."""

    def begin(self, baseline: Sequence[float]) -> State:
        """Return the state after the baseline's scores. Raises TaskError if they are too few for the policy."""

    def assess(self, state: State, candidate: Candidate, *, may_rerun: bool = True) -> Assessment:
        """Decide about a candidate; if `may_rerun` is false, keep or discard it by the scores that there are."""

    def find_doubtful(self, state: State, numbers: Collection[int], *, running: int) -> int | None:  # noqa: ARG002 - most never doubt
        """Number of the kept edit, among these, without which a run is worth its price; None if there is none.

        running: other edits that run now, and would stand on an old incumbent if one were undone.
        """
        return None

    def take_back(self, state: State, gain: float) -> State:
        """Return the state after a keep is taken back that had raised the expected gain by so much (metric's unit)."""
        return replace(state, level=state.level - self.sign * gain, gain=state.gain - gain, followed=None)

    def conclude(self, state: State, candidate: Candidate, verdict: Verdict) -> State:
        """Return the state after one finished experiment, with the verdict as it was recorded.

        A crash or a rejected exam counts its attempts and gives no evidence; so does a keep without a score.
        """


def make_candidate(
    experiment: Experiment, state: State, *, gains: Mapping[str, float], carried: float = 0.0
) -> Candidate:
    """The judge's view of an experiment.

    gains: for each commit that was the incumbent, the state's `gain` when it became so. A base that is not among them
    counts as the incumbent of today. carried: gain of the edits that were merged onto a program which replaces others.
    """
    gain_of_base = gains.get(experiment.base, state.gain)
    replaces = experiment.judgement is not None and bool(experiment.judgement.replaces)
    return Candidate(
        scores=experiment.scores,
        line_change=experiment.line_change,
        number=experiment.number,
        doubts=experiment.doubts,
        base=experiment.base,
        replaces=replaces,
        leaves=(experiment.judgement.onto or experiment.base) if experiment.judgement else "",
        # A program that takes the incumbent's place is compared with it as it ran.
        gain_since=carried if replaces else state.gain - gain_of_base,
    )


def sum_squared_deviations(scores: Sequence[float]) -> float:
    """Sum of squared deviations from the mean of the same scores, of which there is at least one."""
    centre = fmean(scores)
    return fsum((score - centre) ** 2 for score in scores)


def begin_state(baseline: Sequence[float], *, level: float, level_variance: float) -> State:
    """The state that every policy begins with; level_variance in squared sigmas."""
    return State(
        level=level,
        attempts=len(baseline),
        floor=max(LEAST_SIGMA, LEAST_SIGMA_SHARE * (abs(fmean(baseline)) or 1.0)),
        squares=sum_squared_deviations(baseline),
        freedom=len(baseline) - 1,
        level_variance=level_variance,
        values=_add_values((), baseline),
        seen=len(baseline),
    )


def _add_values(values: Sequence[float], scores: Sequence[float]) -> tuple[float, ...]:
    """The different values, rising; no more of them than tell that a metric is not coarse."""
    if len(values) > MOST_VALUES or all(score in values for score in scores):
        return tuple(values)
    return tuple(sorted({*values, *scores}))[: MOST_VALUES + 1]


def count_attempts(state: State, scores: Sequence[float], *, trusted: bool) -> State:
    """Count the attempts of one experiment; if its scores are trusted, repeated ones sharpen sigma.

    An experiment without a score still took one attempt. A single score tells nothing about sigma: n scores of one
    commit have n - 1 degrees of freedom.
    """
    attempts = state.attempts + max(1, len(scores))
    if not trusted or not scores:
        return replace(state, attempts=attempts)
    return replace(
        state,
        attempts=attempts,
        values=_add_values(state.values, scores),
        seen=state.seen + len(scores),
        squares=state.squares + sum_squared_deviations(scores),
        freedom=state.freedom + len(scores) - 1,
    )
