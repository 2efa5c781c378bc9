"""Screen and confirm: a candidate must beat the incumbent twice, and only runs after the first set the level.

The screening run is chosen for being good, so its score is left out of the record. Only the candidate can be
run again, so the incumbent is topped up to three runs by running the kept candidate until three are fresh.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from controller.domain import Verdict
from controller.errors import TaskError
from controller.judge.greedy import beats
from controller.judge.interface import Assessment, Candidate, Decision, Judge, Kept, State, first_state, mean, with_runs

FRESH = 3
"""Runs behind an incumbent's level, its screening run not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm(Judge):
    """Discards at the first of two runs that does not beat the incumbent; runs a kept candidate four times in all."""

    sign: float
    max_runs: int

    def begin(self, baseline: Sequence[float]) -> State:
        """The incumbent's level is the baseline's mean. Raises TaskError on fewer than two scored runs."""
        if len(baseline) < 2:
            raise TaskError(
                f"the baseline has {len(baseline)} scored runs and the policy confirm needs 2; "
                "make the task's own code train, or set judge.policy to greedy"
            )
        return first_state(baseline, level=mean(baseline), level_variance=1.0 / len(baseline))

    def assess(self, state: State, candidate: Candidate, *, may_rerun: bool = True) -> Assessment:
        """Screening run, one fresh run, then the runs that measure the new incumbent."""
        if not candidate.scores:
            return Assessment(decision=Decision.DISCARD, reason="nothing was scored", level=state.level)
        runs = len(candidate.scores)
        affordable = may_rerun and runs < self.max_runs
        decision, reason = self._decide(state, candidate, affordable=affordable)
        ahead = self._ahead(state, candidate, _evidence(candidate))
        return Assessment(
            decision=decision,
            reason=reason,
            expected_gain=ahead / state.sigma,
            level=state.level + self.sign * ahead if decision is Decision.KEEP else state.level,
        )

    def conclude(self, state: State, candidate: Candidate, verdict: Verdict) -> State:
        """A keep sets the level to the mean of its fresh runs; a discard only sharpens sigma."""
        trusted = verdict in (Verdict.KEEP, Verdict.DISCARD)
        counted = with_runs(state, candidate.scores, trusted=trusted)
        if verdict is not Verdict.KEEP or not candidate.scores:
            return counted
        evidence = _evidence(candidate)
        ahead = self._ahead(state, candidate, evidence)
        variance = (state.level_variance + 1.0 / len(evidence)) * state.sigma**2
        return replace(
            counted,
            level=state.level + self.sign * ahead,
            level_variance=1.0 / len(evidence),
            gain=state.gain + ahead,
            kept=(*state.kept, Kept(gain=ahead, variance=variance)),
        )

    def doubts(self, state: State) -> tuple[int, ...]:  # noqa: ARG002 - confirm never doubts
        """Always empty."""
        return ()

    def _decide(self, state: State, candidate: Candidate, *, affordable: bool) -> tuple[Decision, str]:
        screen, *fresh = candidate.scores
        if not self._wins(state, candidate, screen):
            return Decision.DISCARD, "the screening run does not beat the incumbent's level"
        if not fresh:
            if affordable:
                return Decision.RERUN, "the screening run beats the incumbent's level; a fresh run must confirm it"
            return Decision.DISCARD, "the screening run was never confirmed by a fresh one"
        if not self._wins(state, candidate, fresh[0]):
            return Decision.DISCARD, "the fresh run does not beat the incumbent's level"
        if len(fresh) < FRESH and affordable:
            return Decision.RERUN, f"confirmed; fresh run {len(fresh) + 1} of {FRESH} measures the new level"
        return Decision.KEEP, f"confirmed by a fresh run; the level is the mean of {len(fresh)} fresh runs"

    def _wins(self, state: State, candidate: Candidate, score: float) -> bool:
        return beats(self._ahead(state, candidate, (score,)), candidate.line_change)

    def _ahead(self, state: State, candidate: Candidate, scores: Sequence[float]) -> float:
        return self.sign * (mean(scores) - state.level) + candidate.gain_since


def _evidence(candidate: Candidate) -> tuple[float, ...]:
    """The fresh runs; the screening run only where there is nothing else."""
    return candidate.scores[1:] or candidate.scores
