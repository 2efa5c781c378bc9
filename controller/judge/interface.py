"""What judging takes and gives: a candidate's scores in, a decision with its reason out.

No I/O, no clock, no randomness: the same finished experiments give the same state, on any machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import fsum, sqrt
from typing import Protocol

from controller.domain import Verdict

FLOOR = 1e-6
"""Least sigma as a share of the level: the last digit that upstream's log prints of a score near 1."""


class Decision(StrEnum):
    """What to do with a candidate now."""

    RERUN = "rerun"
    KEEP = "keep"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What is to be judged.

    scores: of its scored attempts, in order, in the metric's unit, all finite; empty when nothing was scored.
    line_change: lines added minus lines removed against its base; negative is simpler.
    gain_since: sum of kept minus undone expected gains since its runs were launched, in the metric's unit,
        positive is better: with several slots the incumbent may have moved on meanwhile.
    """

    scores: tuple[float, ...]
    line_change: int
    gain_since: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """A decision and why.

    reason: one sentence for people. expected_gain, spread and price are in sigma, positive is better:
        spread is how far one more run would be expected to move the expected gain,
        price is what a rerun had to be worth. None where the policy has no such number.
    level: the incumbent's estimated score after this decision, in the metric's unit.
    """

    decision: Decision
    reason: str
    expected_gain: float | None = None
    spread: float | None = None
    price: float | None = None
    level: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A kept edit as it was believed when kept: expected gain (positive is better) and its variance."""

    gain: float
    variance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All that a judge remembers of a campaign; opaque but for the fields that people are shown.

    level: the incumbent's estimated score, in the metric's unit; level_error: its standard error.
    gain: sum of the expected gains of all kept edits, in the metric's unit, positive is better.
    runs: attempts folded in, the baseline's and the crashed ones included.
    freedom: degrees of freedom behind sigma; 0 means that sigma was never measured.
    level_variance: of the level, in squared sigmas, so that it follows when sigma is learned better.
    worth: the ledger's pseudo-counts of what edits are worth, one for each effect of its grid.
    """

    level: float
    runs: int
    floor: float
    squares: float
    freedom: int
    level_variance: float
    gain: float = 0.0
    worth: tuple[float, ...] = ()
    kept: tuple[Kept, ...] = ()

    @property
    def sigma(self) -> float:
        """Standard deviation of one run in the metric's unit, pooled over baseline and replicates."""
        return max(sqrt(self.squares / self.freedom), self.floor) if self.freedom else self.floor

    @property
    def exact(self) -> bool:
        """True when repeated runs gave the same score, so that another run cannot tell more."""
        return self.sigma <= self.floor

    @property
    def level_error(self) -> float:
        """Standard error of the level in the metric's unit."""
        return self.sigma * sqrt(self.level_variance)


class Judge(Protocol):
    """One policy. `assess` asks, `conclude` remembers; a replay of `conclude` rebuilds the state."""

    def begin(self, baseline: Sequence[float]) -> State:
        """The state after the baseline's scored runs. Raises TaskError when they are too few for the policy."""

    def assess(self, state: State, candidate: Candidate, *, may_rerun: bool = True) -> Assessment:
        """What to do with a candidate; with may_rerun False, keep or discard by what is known."""

    def conclude(self, state: State, candidate: Candidate, verdict: Verdict) -> State:
        """Fold in one finished experiment with the verdict that was recorded, whoever reached it.

        A crash or a rejected exam is one run and no evidence, and so is a keep of which no score is known.
        """

    def doubts(self, state: State) -> tuple[int, ...]:
        """Places in `state.kept` of the edits that should be left out next, most doubtful first.

        Leave-one-out (lines 5 and 6 of the rule) will hook in here; until then nothing is doubted.
        """


def mean(scores: Sequence[float]) -> float:
    """Arithmetic mean; the sequence must not be empty."""
    return fsum(scores) / len(scores)


def squared_deviations(scores: Sequence[float]) -> float:
    """Sum of squared deviations from the mean of the same scores."""
    centre = mean(scores)
    return fsum((score - centre) ** 2 for score in scores)


def first_state(baseline: Sequence[float], *, level: float, level_variance: float) -> State:
    """The state that every policy begins with; level_variance in squared sigmas."""
    return State(
        level=level,
        runs=len(baseline),
        floor=FLOOR * (abs(mean(baseline)) or 1.0),
        squares=squared_deviations(baseline),
        freedom=len(baseline) - 1,
        level_variance=level_variance,
    )


def with_runs(state: State, scores: Sequence[float], *, trusted: bool) -> State:
    """Count the runs of one experiment and, where their scores can be trusted, pool its replicates into sigma."""
    runs = state.runs + max(1, len(scores))
    if not trusted or len(scores) < 2:
        return replace(state, runs=runs)
    squares = state.squares + squared_deviations(scores)
    return replace(state, runs=runs, squares=squares, freedom=state.freedom + len(scores) - 1)
