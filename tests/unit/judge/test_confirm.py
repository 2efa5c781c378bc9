"""The policy confirm, move by move."""

from __future__ import annotations

import pytest

from controller.domain import Verdict
from controller.judge import Candidate, Decision
from tests.support.judges import judge_of

RERUN, KEEP, DISCARD = Decision.RERUN, Decision.KEEP, Decision.DISCARD


@pytest.mark.parametrize(
    ("scores", "line_change", "decision"),
    [
        pytest.param((2.1,), 0, DISCARD, id="a screening run that is worse ends it"),
        pytest.param((2.0,), 0, DISCARD, id="an equal screening run ends it"),
        pytest.param((2.0,), -1, RERUN, id="an equal one of a shorter file goes on"),
        pytest.param((1.9,), 0, RERUN, id="a better screening run must be confirmed"),
        pytest.param((1.9, 2.1), 0, DISCARD, id="a fresh run that is worse ends it"),
        pytest.param((1.9, 1.8), 0, RERUN, id="a confirmed candidate is topped up"),
        pytest.param((1.9, 1.8, 2.3), 0, RERUN, id="topping up is no second test"),
        pytest.param((1.9, 1.8, 2.3, 2.2), 0, KEEP, id="three fresh runs measure it"),
        pytest.param((2.0, 2.0, 2.0, 2.0), -1, KEEP, id="exactly equal throughout and shorter"),
    ],
)
def test_confirm_screens_confirms_and_measures(scores: tuple[float, ...], line_change: int, decision: Decision) -> None:
    judge = judge_of("confirm")
    state = judge.begin([1.5, 2.5])

    assert judge.assess(state, Candidate(scores=scores, line_change=line_change)).decision is decision


def test_confirm_sets_the_level_to_its_fresh_runs_without_the_screening_run() -> None:
    judge = judge_of("confirm")
    state = judge.begin([1.5, 2.5])

    after = judge.conclude(state, Candidate(scores=(0.1, 1.5, 1.75, 2.0), line_change=0), Verdict.KEEP)

    assert after.level == pytest.approx(1.75)
    assert after.gain == pytest.approx(0.25)
    assert after.level_error == pytest.approx(after.sigma / 3**0.5)


def test_confirm_keeps_what_is_confirmed_when_no_run_is_left_and_discards_what_is_not() -> None:
    judge = judge_of("confirm")
    state = judge.begin([1.5, 2.5])

    assert judge.assess(state, Candidate(scores=(1.9, 1.8), line_change=0), may_rerun=False).decision is KEEP
    assert judge.assess(state, Candidate(scores=(0.1,), line_change=0), may_rerun=False).decision is DISCARD
    assert judge_of("confirm", max_runs=2).assess(state, Candidate(scores=(1.9, 1.8), line_change=0)).decision is KEEP
