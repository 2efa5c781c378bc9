"""The policy greedy, move by move."""

from __future__ import annotations

import pytest

from controller.domain import Verdict
from controller.judge import Candidate, Decision
from tests.support.judges import judge_of

RERUN, KEEP, DISCARD = Decision.RERUN, Decision.KEEP, Decision.DISCARD


@pytest.mark.parametrize(
    ("score", "line_change", "decision"),
    [
        pytest.param(0.99, 100, KEEP, id="better is kept however long"),
        pytest.param(1.0, 0, DISCARD, id="equal is discarded"),
        pytest.param(1.0, 1, DISCARD, id="equal and longer is discarded"),
        pytest.param(1.0, -1, KEEP, id="equal and shorter is kept"),
        pytest.param(1.01, -100, DISCARD, id="worse is discarded however short"),
    ],
)
def test_greedy_keeps_what_beats_the_record(score: float, line_change: int, decision: Decision) -> None:
    judge = judge_of("greedy")
    state = judge.begin([1.0])

    assert judge.assess(state, Candidate(scores=(score,), line_change=line_change)).decision is decision


def test_greedy_records_the_lucky_run_and_starts_from_the_best_baseline_run() -> None:
    judge = judge_of("greedy", minimize=False)
    state = judge.begin([0.5, 0.75, 0.25])

    after = judge.conclude(state, Candidate(scores=(0.875, 0.5), line_change=0), Verdict.KEEP)

    assert state.level == 0.75
    assert after.level == 0.875
    assert after.gain == 0.125
