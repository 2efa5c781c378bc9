"""Upstream's rule: one attempt that beats the best score on record is kept.

The rule ignores noise, so the best score on record is often a lucky attempt. It is here for comparison, and for tasks
whose gains are rare and huge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from controller.domain import Verdict
from controller.errors import TaskError
from controller.judge.interface import Assessment, Candidate, Decision, Judge, State, begin_state, count_attempts
from controller.text.figures import score_text


def beats_incumbent(lead: float, line_change: int) -> bool:
    """True if the lead is positive, or exactly zero with a shorter file."""
    return lead > 0.0 or (lead == 0.0 and line_change < 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Greedy(Judge):
    """Keeps a candidate that beats the best recorded score; never runs one twice."""

    sign: float
    """-1 if a lower score is better, else 1."""

    @property
    def keeps_merged(self) -> bool:
        """A lucky run of an older base says too little about the new one."""
        return False

    def begin(self, baseline: Sequence[float]) -> State:
        """Start the record with the best baseline score. Raises TaskError if there is none."""
        if not baseline:
            raise TaskError("the baseline has no scored run to compare with; make the task's own code train")
        best = max(baseline, key=lambda score: self.sign * score)
        return begin_state(baseline, level=best, level_variance=1.0)

    def assess(self, state: State, candidate: Candidate, *, may_rerun: bool = True) -> Assessment:  # noqa: ARG002 - never reruns
        """Keep or discard by the first score."""
        if not candidate.scores:
            return Assessment(decision=Decision.DISCARD, reason="nothing was scored", level=state.level)
        lead = self._measure_lead(state, candidate)
        kept = beats_incumbent(lead, candidate.line_change)
        return Assessment(
            decision=Decision.KEEP if kept else Decision.DISCARD,
            reason=_explain(lead, kept=kept),
            expected_gain=state.in_sigmas(lead) if state.freedom else None,
            level=state.level + self.sign * lead if kept else state.level,
        )

    def conclude(self, state: State, candidate: Candidate, verdict: Verdict) -> State:
        """Count the attempts; a keep sets the record to its first score."""
        trusted = verdict in (Verdict.KEEP, Verdict.DISCARD)
        counted = count_attempts(state, candidate.scores, trusted=trusted)
        if verdict is not Verdict.KEEP or not candidate.scores:
            return counted
        lead = self._measure_lead(state, candidate)
        return replace(counted, level=state.level + self.sign * lead, gain=state.gain + lead)

    def _measure_lead(self, state: State, candidate: Candidate) -> float:
        """Lead of the first score over the record, in the metric's unit, positive is better."""
        return self.sign * (candidate.scores[0] - state.level) + candidate.gain_since


def _explain(lead: float, *, kept: bool) -> str:
    if lead == 0.0:
        return "equals the best on record and is shorter" if kept else "equals the best on record and is not shorter"
    return f"{'beats' if kept else 'misses'} the best on record by {score_text(abs(lead))}"
