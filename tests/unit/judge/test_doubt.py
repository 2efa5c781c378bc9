"""Doubts: what later runs tell about a kept edit, when it is left out, and what its undoing leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.domain import Verdict
from controller.judge import Candidate, Decision, Judge, State, make_judge
from controller.judge.kept_edits import KeptEdit, follow_level, weigh_without
from controller.settings import JudgeSettings


def ledger(**chosen: object) -> Judge:
    return make_judge(JudgeSettings.model_validate(chosen), minimize=True)


def campaign(judge: Judge) -> State:
    """Three baseline runs at level 0 with a sigma of 1 that is well known; minus a score is its lead in sigmas."""
    return replace(judge.begin([-1.0, 0.0, 1.0]), squares=1e6, freedom=10**6)


def scored(*leads: float, number: int = 0, doubts: int | None = None, line_change: int = 0) -> Candidate:
    return Candidate(scores=tuple(-lead for lead in leads), line_change=line_change, number=number, doubts=doubts)


def keep_then_see(judge: Judge, later: float) -> State:
    """The state after a keep that led by two, and ten discards that led the baseline by `later`."""
    state = judge.conclude(campaign(judge), scored(2.0, 2.0, number=1), Verdict.KEEP)
    for number in range(2, 12):
        state = judge.conclude(state, scored(later, number=number), Verdict.DISCARD)
    return state


def gain_of(state: State, number: int) -> float:
    return next(edit.gain for edit in state.kept if edit.number == number)


def test_later_runs_lower_and_raise_what_a_kept_edit_is_believed_to_be_worth() -> None:
    judge = ledger()
    at_keep = gain_of(judge.conclude(campaign(judge), scored(2.0, 2.0, number=1), Verdict.KEEP), 1)

    worse, better = gain_of(keep_then_see(judge, -2.0), 1), gain_of(keep_then_see(judge, 1.5), 1)

    assert worse < at_keep - 0.3
    assert better > at_keep


def test_a_metric_in_other_units_and_the_other_direction_doubts_the_same() -> None:
    up = make_judge(JudgeSettings(), minimize=False)
    state = replace(up.begin([990.0, 1000.0, 1010.0]), squares=1e8, freedom=10**6)
    state = up.conclude(state, Candidate(scores=(1020.0, 1020.0), line_change=0, number=1), Verdict.KEEP)
    for number in range(2, 12):
        state = up.conclude(state, Candidate(scores=(980.0,), line_change=0, number=number), Verdict.DISCARD)

    assert gain_of(state, 1) / 10.0 == pytest.approx(gain_of(keep_then_see(ledger(), -2.0), 1))


def test_an_edit_that_later_runs_speak_against_is_left_out_and_one_that_they_confirm_is_not() -> None:
    judge = ledger()

    assert judge.find_doubtful(keep_then_see(judge, -1.5), {1}, running=0) == 1
    assert judge.find_doubtful(keep_then_see(judge, -1.5), {2}, running=0) is None, "it is not in the incumbent"
    assert judge.find_doubtful(keep_then_see(judge, 1.5), {1}, running=0) is None


@pytest.mark.parametrize("chosen", [{"doubt": "never"}, {"policy": "confirm"}, {"policy": "greedy"}])
def test_other_policies_and_the_setting_never_doubt(chosen: dict[str, object]) -> None:
    judge = ledger(**chosen)

    assert judge.find_doubtful(keep_then_see(ledger(), -1.5), {1}, running=0) is None


def test_nothing_is_doubted_where_repeated_runs_are_equal() -> None:
    judge = ledger()
    state = judge.begin([1.0, 1.0, 1.0])
    state = judge.conclude(state, Candidate(scores=(0.5, 0.5, 0.5), line_change=0, number=1), Verdict.KEEP)
    for number in range(2, 12):
        state = judge.conclude(state, Candidate(scores=(3.0,), line_change=0, number=number), Verdict.DISCARD)

    assert judge.find_doubtful(state, {1}, running=0) is None


def test_runs_without_the_edit_that_are_better_undo_it_and_worse_ones_let_it_stay() -> None:
    judge = ledger()
    state = keep_then_see(judge, -3.0)
    level = -state.level

    undone = judge.assess(state, scored(level + 1.0, level + 1.0, number=12, doubts=1), may_rerun=False)
    stays = judge.assess(state, scored(level - 3.0, level - 3.0, number=12, doubts=1), may_rerun=False)

    assert (undone.decision, stays.decision) == (Decision.KEEP, Decision.DISCARD)
    assert undone.reason.startswith("without 1 the expected gain is +")
    assert stays.reason.startswith("without 1 the expected gain is -")


def test_undoing_takes_back_the_gain_that_the_edit_was_credited_with() -> None:
    judge = ledger()
    state = keep_then_see(judge, -3.0)
    candidate = scored(1.0, 1.0, number=12, doubts=1)

    undone = judge.conclude(state, candidate, Verdict.KEEP)
    stays = judge.conclude(state, candidate, Verdict.DISCARD)

    assert state.gain > 0.3
    assert undone.gain == pytest.approx(0.0)
    assert undone.kept == ()
    assert stays.gain == state.gain
    assert stays.kept[0].variance < state.kept[0].variance, "its runs are evidence, whatever the verdict"
    assert undone.effect_counts == state.effect_counts == stays.effect_counts, "it was no new edit"


def test_the_level_told_beforehand_is_the_level_afterwards() -> None:
    judge = ledger()
    state = keep_then_see(judge, -3.0)
    for lead, verdict in ((1.0, Verdict.KEEP), (-4.0, Verdict.DISCARD)):
        candidate = scored(lead, number=12, doubts=1)
        assessment = judge.assess(state, candidate, may_rerun=False)
        assert assessment.decision.value == verdict.value
        assert assessment.level == pytest.approx(judge.conclude(state, candidate, verdict).level)


def test_lines_that_go_pay_back_and_lines_that_come_back_cost() -> None:
    judge = ledger(line_price=0.1)
    state = keep_then_see(judge, -3.0)
    near = -state.level - 0.05 + gain_of(state, 1) / 10

    shorter = judge.assess(state, scored(near, number=12, doubts=1, line_change=-40), may_rerun=False)
    longer = judge.assess(state, scored(near, number=12, doubts=1, line_change=40), may_rerun=False)

    assert (shorter.decision, longer.decision) == (Decision.KEEP, Decision.DISCARD)


def test_a_crash_without_the_edit_says_nothing_about_it() -> None:
    judge = ledger()
    state = keep_then_see(judge, -3.0)

    after = judge.conclude(state, Candidate(scores=(), line_change=0, number=12, doubts=1), Verdict.CRASH)

    assert after == replace(state, attempts=state.attempts + 1)


beliefs = st.tuples(st.floats(-2, 2), st.floats(0.05, 2), st.floats(0.05, 2), st.floats(-0.95, 0.95))


@settings(deadline=None)
@given(beliefs, st.floats(-2, 2), st.integers(1, 5))
def test_runs_without_an_edit_are_weighed_by_the_normal_law(
    belief: tuple[float, float, float, float], lead: float, runs: int
) -> None:
    """Against the textbook: the mean of level and gain given their difference, by the inverse of a 2 x 2 matrix."""
    gain, variance, level_variance, correlation = belief
    covariance = correlation * (variance * level_variance) ** 0.5
    edit = KeptEdit(number=1, gain=gain, variance=variance, covariance=covariance, credited=gain, line_change=0)

    told = weigh_without(edit, level_variance=level_variance, sigma=1.0, lead=lead, runs=runs)

    # Precision of (level, gain) before the runs, to which the runs of level - gain add theirs.
    root = variance * level_variance - covariance**2
    a, b, d = variance / root + runs, -covariance / root - runs, level_variance / root + runs
    mean_a = -covariance / root * gain + runs * lead
    mean_b = level_variance / root * gain - runs * lead
    det = a * d - b * b
    total = variance + level_variance - 2 * covariance + 1 / runs
    if lead + gain < 2.9 * total**0.5:
        assert -told.gain == pytest.approx((a * mean_b - b * mean_a) / det, abs=1e-6)
    if abs(lead + gain) < 2.9 * total**0.5:
        assert told.base == pytest.approx((d * mean_a - b * mean_b) / det, abs=1e-6)
        assert -told.gain == pytest.approx((a * mean_b - b * mean_a) / det, abs=1e-6)
        assert told.level == pytest.approx(told.base + told.gain, abs=1e-6)
    assert told.base_variance == pytest.approx(d / det, abs=1e-6)
    assert told.edit.variance == pytest.approx(a / det, abs=1e-6)
    assert told.edit.covariance == pytest.approx(-b / det, abs=1e-6)


def test_one_wild_run_does_not_undo_what_many_have_shown() -> None:
    edit = KeptEdit(number=1, gain=1.0, variance=0.04, covariance=0.0, credited=1.0, line_change=0)

    wild = weigh_without(edit, level_variance=0.05, sigma=1.0, lead=500.0, runs=1)

    assert wild.gain < -0.8


@settings(deadline=None)
@given(beliefs, st.floats(-1, 1), st.floats(0.01, 1.0))
def test_following_the_level_keeps_variances_and_moves_only_what_hangs_on_it(
    belief: tuple[float, float, float, float], moved: float, share: float
) -> None:
    gain, variance, before, correlation = belief
    covariance = correlation * (variance * before) ** 0.5
    edits = [
        KeptEdit(number=number, gain=gain, variance=variance, covariance=each, credited=gain, line_change=0)
        for number, each in ((1, covariance), (2, 0.0))
    ]

    moved = max(-3 * before**0.5, min(3 * before**0.5, moved))
    near, far = follow_level(edits, moved=moved, sigma=2.0, before=before, after=share * before)

    assert far == edits[1]
    assert 0.0 <= near.variance <= variance + 1e-12
    assert near.gain == pytest.approx(gain + 2.0 * moved * covariance / before, abs=1e-3)


def test_without_noise_the_better_program_stands_and_of_equal_ones_the_shorter() -> None:
    judge = ledger()
    state = judge.begin([2.0, 2.0, 2.0])
    state = judge.conclude(state, Candidate(scores=(1.0, 1.0, 1.0), line_change=3, number=1), Verdict.KEEP)

    def decide(score: float, line_change: int) -> Decision:
        candidate = Candidate(scores=(score,), line_change=line_change, number=2, doubts=1)
        return judge.assess(state, candidate).decision

    assert decide(1.5, -3) is Decision.DISCARD
    assert decide(0.5, 3) is Decision.KEEP
    assert decide(state.level, -3) is Decision.KEEP
    assert decide(state.level, 3) is Decision.DISCARD


def test_runs_far_worse_without_the_edit_let_it_stay_however_doubtful_it_was() -> None:
    edit = KeptEdit(number=1, gain=-5.0, variance=0.1, covariance=0.0, credited=1.0, line_change=0)

    without = weigh_without(edit, level_variance=0.05, sigma=1.0, lead=-200.0, runs=1)

    assert without.gain < -5.0
    assert without.base > -1.0, "one diverged run does not drag the level down"
