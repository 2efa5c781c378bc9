"""Screen and confirm: a candidate is kept if two attempts beat the incumbent; only later attempts set the new level.

The first attempt (the screening run) goes on because its score was good, so that score is biased and is left out of
the level. The level of a kept candidate is the mean of up to three fresh attempts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from controller.domain import Verdict
from controller.errors import TaskError
from controller.judge.greedy import beats_incumbent
from controller.judge.interface import Assessment, Candidate, Decision, Judge, State, begin_state, count_attempts

FRESH_ATTEMPTS = 3
"""Attempts behind a new incumbent's level, its screening run not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm(Judge):
    """Discards a candidate if its first or second attempt does not beat the incumbent; else runs it four times."""

    sign: float
    """-1 if a lower score is better, else 1."""

    max_attempts: int
    """Most attempts of one experiment."""

    @property
    def keeps_merged(self) -> bool:
        """Its level is the mean of fresh runs of the very program that is kept."""
        return False

    def begin(self, baseline: Sequence[float]) -> State:
        """Set the incumbent's level to the baseline's mean. Raises TaskError on fewer than two scores."""
        if len(baseline) < 2:
            raise TaskError(
                f"the baseline has {len(baseline)} scored runs and the policy confirm needs 2; "
                "make the task's own code train, or set judge.policy to greedy"
            )
        return begin_state(baseline, level=fmean(baseline), level_variance=1.0 / len(baseline))

    def assess(self, state: State, candidate: Candidate, *, may_rerun: bool = True) -> Assessment:
        """Decide by the screening run, then by one fresh attempt; then measure the new level."""
        if not candidate.scores:
            return Assessment(decision=Decision.DISCARD, reason="nothing was scored", level=state.level)
        affordable = may_rerun and len(candidate.scores) < self.max_attempts
        decision, reason = self._decide(state, candidate, affordable=affordable)
        lead = self._measure_lead(state, candidate, _unbiased_scores(candidate))
        return Assessment(
            decision=decision,
            reason=reason,
            expected_gain=state.in_sigmas(lead),
            level=state.level + self.sign * lead if decision is Decision.KEEP else state.level,
        )

    def conclude(self, state: State, candidate: Candidate, verdict: Verdict) -> State:
        """A keep sets the level to the mean of its fresh attempts; a discard only sharpens sigma."""
        trusted = verdict in (Verdict.KEEP, Verdict.DISCARD)
        counted = count_attempts(state, candidate.scores, trusted=trusted)
        if verdict is not Verdict.KEEP or not candidate.scores:
            return counted
        scores = _unbiased_scores(candidate)
        lead = self._measure_lead(state, candidate, scores)
        return replace(
            counted,
            level=state.level + self.sign * lead,
            level_variance=1.0 / len(scores),
            gain=state.gain + lead,
        )

    def _decide(self, state: State, candidate: Candidate, *, affordable: bool) -> tuple[Decision, str]:
        screening, *fresh = candidate.scores
        if not self._beats_incumbent(state, candidate, screening):
            return Decision.DISCARD, "the screening run does not beat the incumbent's level"
        if not fresh:
            if affordable:
                return Decision.RERUN, "the screening run beats the incumbent's level; a fresh run must confirm it"
            return Decision.DISCARD, "the screening run was never confirmed by a fresh one"
        if not self._beats_incumbent(state, candidate, fresh[0]):
            return Decision.DISCARD, "the fresh run does not beat the incumbent's level"
        if len(fresh) < FRESH_ATTEMPTS and affordable:
            return Decision.RERUN, f"confirmed; fresh run {len(fresh) + 1} of {FRESH_ATTEMPTS} measures the new level"
        return Decision.KEEP, f"confirmed by a fresh run; the level is the mean of {len(fresh)} fresh runs"

    def _beats_incumbent(self, state: State, candidate: Candidate, score: float) -> bool:
        return beats_incumbent(self._measure_lead(state, candidate, (score,)), candidate.line_change)

    def _measure_lead(self, state: State, candidate: Candidate, scores: Sequence[float]) -> float:
        """Lead of the mean of `scores` over the incumbent's level, in the metric's unit, positive is better."""
        return self.sign * (fmean(scores) - state.level) + candidate.gain_since


def _unbiased_scores(candidate: Candidate) -> tuple[float, ...]:
    """The scores after the screening run; the screening run's own score if there is no other."""
    return candidate.scores[1:] or candidate.scores
