"""What the end of a cheat's attempt says about an exam."""

from __future__ import annotations

import pytest

from controller.cli.doctor.cheats import CHEATS
from controller.cli.doctor.exam import Honest, judge_cheat
from controller.cli.doctor.findings import State
from controller.domain import ExamReport, Outcome, Provenance, Result, Score

BY_HIGHER = Honest((0.5, 0.52), error=0.005, minimize=False)
BY_LOWER = Honest((3.0,), error=0.0, minimize=True)
IN_VAIN = next(cheat for cheat in CHEATS if not cheat.rejected)
CAUGHT = next(cheat for cheat in CHEATS if cheat.rejected)


def scored(value: float) -> Result:
    return Result(
        outcome=Outcome.SCORED, score=Score(value=value, provenance=Provenance.SEALED), exam=ExamReport(questions=9)
    )


@pytest.mark.parametrize(
    ("honest", "score", "state"),
    [
        (BY_HIGHER, 0.9, State.BAD),
        (BY_HIGHER, 0.55, State.GOOD),
        (BY_HIGHER, 0.1, State.GOOD),
        (BY_LOWER, 2.0, State.BAD),
        (BY_LOWER, 2.95, State.GOOD),
        (BY_LOWER, 9.0, State.GOOD),
    ],
)
def test_only_a_score_beyond_the_scatter_of_honest_ones_is_a_hole(honest: Honest, score: float, state: State) -> None:
    assert judge_cheat(IN_VAIN, scored(score), honest).state is state


def test_a_gain_is_a_hole_also_where_the_cheat_should_have_been_rejected() -> None:
    assert judge_cheat(CAUGHT, scored(0.9), BY_HIGHER).state is State.BAD
    assert judge_cheat(CAUGHT, scored(0.5), BY_HIGHER).state is State.DOUBTFUL


@pytest.mark.parametrize(
    ("outcome", "of_caught", "of_vain"),
    [
        (Outcome.REJECTED, State.GOOD, State.BAD),
        (Outcome.CRASHED, State.DOUBTFUL, State.BAD),
        (Outcome.TIMED_OUT, State.DOUBTFUL, State.DOUBTFUL),
        (Outcome.LOST, State.DOUBTFUL, State.DOUBTFUL),
    ],
)
def test_what_did_not_reach_its_exam_proves_nothing(outcome: Outcome, of_caught: State, of_vain: State) -> None:
    ended = Result(outcome=outcome, reason="why")
    assert judge_cheat(CAUGHT, ended, BY_HIGHER).state is of_caught
    assert judge_cheat(IN_VAIN, ended, BY_HIGHER).state is of_vain
