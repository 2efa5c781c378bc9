"""Levels of former incumbents: what a score on an old program tells about today's, and what it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.domain import Verdict
from controller.judge import Candidate, Judge, State, make_judge
from controller.judge.levels import MOST_LEVELS, begin_levels
from controller.settings import JudgeSettings


def ledger() -> Judge:
    return make_judge(JudgeSettings(), minimize=True)


def campaign(judge: Judge) -> State:
    """Three baseline runs at level 0 with a sigma of 1 that is well known; minus a score is its lead in sigmas."""
    return replace(judge.begin([-1.0, 0.0, 1.0]), squares=1e6, freedom=10**6)


def scored(*leads: float, base: str, number: int = 1) -> Candidate:
    scores = tuple(-lead for lead in leads)
    return Candidate(scores=scores, line_change=0, number=number, base=base, leaves=base)


def gain_ten(judge: Judge) -> State:
    """The state after a gain of ten sigma that was seen twice, on a base named `c0`."""
    return judge.conclude(campaign(judge), scored(10.0, 10.0, base="c0"), Verdict.KEEP)


def test_bad_edits_of_the_old_program_say_little_about_a_large_gain_since() -> None:
    judge = ledger()
    state = gained = gain_ten(judge)

    for number in range(2, 12):
        state = judge.conclude(state, scored(-1.0, base="c0", number=number), Verdict.DISCARD)

    # The old program's level has moved, and is known better; how large the gain was is as unsure as before.
    assert abs(state.level - gained.level) < 0.3
    assert state.level_variance > 0.5 * gained.level_variance


def test_edits_of_the_new_program_tell_its_level() -> None:
    judge = ledger()
    state = gained = gain_ten(judge)

    for number in range(2, 12):
        state = judge.conclude(state, scored(8.0, base="k1", number=number), Verdict.DISCARD)

    assert state.level > gained.level + 0.3
    assert state.level_variance < gained.level_variance


def test_good_edit_of_the_old_program_is_worth_what_it_gained_there() -> None:
    judge = ledger()
    alone = judge.assess(campaign(judge), scored(3.0, 3.0, base="c0")).expected_gain
    state = gain_ten(judge)

    later = judge.assess(state, scored(3.0, 3.0, base="c0", number=2))

    assert later.expected_gain == pytest.approx(alone, abs=0.5)
    assert later.level is not None
    assert later.level < state.level - 0.5, "both gains add up"


def test_program_that_replaces_a_better_one_is_not_kept() -> None:
    judge = ledger()
    worse = replace(scored(3.0, 3.0, 3.0, 3.0, 3.0, base="c0", number=2), replaces=True)
    better = replace(scored(15.0, 15.0, 15.0, 15.0, 15.0, base="c0", number=2), replaces=True)

    told_worse, told_better = judge.assess(gain_ten(judge), worse), judge.assess(gain_ten(judge), better)

    assert told_worse.decision == "discard"
    assert "over what it would replace" in told_worse.reason
    assert told_better.decision == "keep"
    assert told_better.level == pytest.approx(-15.0, abs=1.0)


def test_edits_that_are_carried_over_count_for_the_program_that_replaces() -> None:
    judge = ledger()
    alone = replace(scored(8.0, 8.0, 8.0, 8.0, 8.0, base="c0", number=2), replaces=True)
    with_another = replace(alone, gain_since=6.0)

    assert judge.assess(gain_ten(judge), alone).decision == "discard"
    assert judge.assess(gain_ten(judge), with_another).decision == "keep"


def test_edit_of_a_program_that_is_followed_no_more_is_compared_by_the_gains_kept_since() -> None:
    judge = ledger()
    state = campaign(judge)
    for number in range(1, MOST_LEVELS + 3):
        edit = replace(scored(float(number), base=f"k{number - 1}", number=number), leaves=f"k{number - 1}")
        state = judge.conclude(state, edit, Verdict.KEEP)

    assert not state.levels.follows("k0")
    old = replace(scored(3.0, 3.0, base="k0", number=99), gain_since=20.0)
    of_today = scored(23.0, 23.0, base="", number=99)
    told, of_today_told = judge.assess(state, old), judge.assess(state, of_today)
    assert told.expected_gain == pytest.approx(of_today_told.expected_gain, abs=0.5)
    assert judge.conclude(state, old, Verdict.DISCARD).level == pytest.approx(state.level, abs=0.01)
    assert judge.conclude(state, of_today, Verdict.DISCARD).level != pytest.approx(state.level, abs=0.1)


LEADS = st.floats(-50.0, 50.0)
STEPS = st.lists(st.tuples(LEADS, st.booleans(), st.integers(0, 5)), max_size=40)


@given(steps=STEPS)
@settings(max_examples=60, deadline=None)
def test_levels_stay_possible_whatever_is_kept_and_on_whatever_base(steps: list[tuple[float, bool, int]]) -> None:
    judge, bases = ledger(), ["k0"]
    state = campaign(judge)
    for number, (lead, kept, back) in enumerate(steps, start=1):
        candidate = replace(scored(lead, base=bases[-1 - min(back, len(bases) - 1)], number=number), leaves=bases[-1])
        state = judge.conclude(state, candidate, Verdict.KEEP if kept else Verdict.DISCARD)
        if kept:
            bases.append(f"k{number}")
        rows = state.levels.covariances
        assert all(rows[i][i] > 0.0 for i in range(len(rows)))
        for i in range(len(rows)):
            for j in range(i):
                assert rows[i][j] == pytest.approx(rows[j][i])
                assert rows[i][j] ** 2 <= rows[i][i] * rows[j][j] * 1.000001
    assert (state.level, state.level_variance) == (state.levels.means[-1], state.levels.covariances[-1][-1])


def test_evidence_about_one_level_moves_another_as_far_as_they_hang_together() -> None:
    levels = begin_levels(0.0, 1.0).move_on("old", mean=2.0, variance=3.0, shared=[1.0])

    by_old = levels.observe(0, moved=0.5, variance=0.5)
    by_new = levels.observe(1, moved=0.5, variance=1.0)

    assert by_old.means == (0.5, 2.5)
    assert by_old.covariances[1][1] == pytest.approx(2.5)
    assert by_new.means == pytest.approx((0.5 / 3.0, 2.5))
