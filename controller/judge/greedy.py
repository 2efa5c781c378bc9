"""Upstream's rule: one run that beats the best on record is kept. Knows no noise and claims none.

The record is a lucky run more often than not; kept for comparison, and for gains that are rare and huge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from controller.domain import Verdict
from controller.errors import TaskError
from controller.judge.interface import Assessment, Candidate, Decision, Judge, Kept, State, first_state, with_runs


def beats(ahead: float, line_change: int) -> bool:
    """Better wins; at exactly equal the shorter file does."""
    return ahead > 0.0 or (ahead == 0.0 and line_change < 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Greedy(Judge):
    """Keeps what beats the best recorded score; never runs anything twice."""

    sign: float

    def begin(self, baseline: Sequence[float]) -> State:
        """The record starts with the best baseline run. Raises TaskError when none was scored."""
        if not baseline:
            raise TaskError("the baseline has no scored run to compare with; make the task's own code train")
        best = max(baseline, key=lambda score: self.sign * score)
        return first_state(baseline, level=best, level_variance=1.0)

    def assess(self, state: State, candidate: Candidate, *, may_rerun: bool = True) -> Assessment:  # noqa: ARG002 - never reruns
        """Keep or discard by the first score."""
        if not candidate.scores:
            return Assessment(decision=Decision.DISCARD, reason="nothing was scored", level=state.level)
        ahead = self._ahead(state, candidate)
        kept = beats(ahead, candidate.line_change)
        return Assessment(
            decision=Decision.KEEP if kept else Decision.DISCARD,
            reason=_reason(ahead, kept=kept),
            expected_gain=ahead / state.sigma if state.freedom else None,
            level=state.level + self.sign * ahead if kept else state.level,
        )

    def conclude(self, state: State, candidate: Candidate, verdict: Verdict) -> State:
        """A keep sets the record to its first score."""
        trusted = verdict in (Verdict.KEEP, Verdict.DISCARD)
        counted = with_runs(state, candidate.scores, trusted=trusted)
        if verdict is not Verdict.KEEP or not candidate.scores:
            return counted
        ahead = self._ahead(state, candidate)
        kept = Kept(gain=ahead, variance=2.0 * state.sigma**2)
        return replace(
            counted, level=state.level + self.sign * ahead, gain=state.gain + ahead, kept=(*state.kept, kept)
        )

    def doubts(self, state: State) -> tuple[int, ...]:  # noqa: ARG002 - greedy never doubts
        """Always empty."""
        return ()

    def _ahead(self, state: State, candidate: Candidate) -> float:
        return self.sign * (candidate.scores[0] - state.level) + candidate.gain_since


def _reason(ahead: float, *, kept: bool) -> str:
    if ahead == 0.0:
        return "equals the best on record and is shorter" if kept else "equals the best on record and is not shorter"
    return f"{'beats' if kept else 'misses'} the best on record by {abs(ahead):.6g}"
