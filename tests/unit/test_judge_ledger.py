"""The ledger: what it believes, when it pays for another run, and what its levels mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.domain import Verdict
from controller.judge import Candidate, Decision, Judge, State, make_judge
from controller.judge.ledger import EFFECTS, believe, gauss, prior, student, worth_of_a_run
from controller.settings import JudgeSettings


def ledger(max_runs: int = 5) -> Judge:
    return make_judge(JudgeSettings(max_runs=max_runs), minimize=True)


def campaign(judge: Judge, *, sigma_known: bool = True) -> State:
    """Three baseline runs at level 0 with sigma 1, so that minus a score is its lead in sigmas."""
    state = judge.begin([-1.0, 0.0, 1.0])
    return replace(state, squares=1e6, freedom=10**6) if sigma_known else state


def scored(*leads: float, line_change: int = 0) -> Candidate:
    return Candidate(scores=tuple(-lead for lead in leads), line_change=line_change)


def test_the_prior_is_that_of_the_rule() -> None:
    counts = dict(zip(EFFECTS, prior(), strict=True))

    assert sum(counts.values()) == pytest.approx(10.0)
    assert counts[0.0] == pytest.approx(3.0)
    assert sum(count for effect, count in counts.items() if effect < 0) == pytest.approx(6.0)
    assert counts[2.0] / counts[1.0] == pytest.approx(2.718281828**-1.0)


def test_a_run_is_worth_nothing_when_it_cannot_change_the_decision() -> None:
    assert worth_of_a_run(0.0, 1.0) == pytest.approx(0.3989423)
    assert worth_of_a_run(1.0, 1.0) == worth_of_a_run(-1.0, 1.0) == pytest.approx(0.0833155)
    assert worth_of_a_run(5.0, 0.5) < 1e-9
    assert worth_of_a_run(5.0, 0.0) == 0.0


@settings(deadline=None)
@given(st.floats(-60.0, 60.0), st.integers(1, 20), st.floats(0.01, 2.0), st.sampled_from([student, gauss]))
def test_a_belief_is_a_probability_and_its_levels_differ_by_the_gain(
    observed: float, runs: int, variance: float, density: Callable[[float], float]
) -> None:
    belief = believe(prior(), level_variance=variance, observed=observed, runs=runs, density=density)

    assert sum(belief.weights) == pytest.approx(1.0)
    assert min(belief.weights) >= 0.0
    assert belief.kept - belief.base == pytest.approx(belief.gain, abs=1e-9)
    assert belief.kept_variance > 0.0
    assert belief.base_variance > 0.0


@settings(deadline=None)
@given(
    st.lists(st.floats(0.0, 100.0), min_size=21, max_size=21),
    st.floats(-40.0, 40.0),
    st.floats(0.0, 40.0),
    st.integers(1, 5),
    st.floats(0.02, 1.0),
    st.sampled_from([student, gauss]),
)
def test_whatever_was_learned_a_better_mean_raises_the_expected_gain(
    learned: list[float],
    observed: float,
    better: float,
    runs: int,
    variance: float,
    density: Callable[[float], float],
) -> None:
    worth = [p + more for p, more in zip(prior(), learned, strict=True)]

    low = believe(worth, level_variance=variance, observed=observed, runs=runs, density=density)
    high = believe(worth, level_variance=variance, observed=observed + better, runs=runs, density=density)

    assert high.gain >= low.gain - 1e-9


def test_runs_far_better_are_kept_even_after_many_harmful_edits() -> None:
    """A plain Student weight discards five runs that are all 12 sigma better here, as if they were noise."""
    judge = ledger()
    state = campaign(judge)
    for lead in (-14.0, -9.0, -6.0, -4.0, -2.0, -1.0, 0.0) * 30:
        state = judge.conclude(state, scored(lead), Verdict.DISCARD)

    ahead = 12.0 - state.level

    assert judge.assess(state, scored(*[ahead] * 5)).decision is Decision.KEEP


def test_a_huge_gain_is_kept_at_its_size() -> None:
    judge = ledger()
    assessment = judge.assess(campaign(judge), scored(300.0))

    assert assessment.decision is Decision.KEEP
    assert assessment.expected_gain == pytest.approx(300.0)
    assert assessment.level == pytest.approx(-300.0)


def test_a_ruined_model_says_nothing_about_the_incumbent() -> None:
    """A diverged run that still has a finite score must not drag the level down with it."""
    judge = ledger()
    state = campaign(judge)

    after = judge.conclude(state, scored(-5000.0), Verdict.DISCARD)

    assert after.level == pytest.approx(state.level)
    assert after.level_variance == pytest.approx(state.level_variance)


@pytest.mark.parametrize(
    ("lead", "direction"),
    [pytest.param(2.0, -1, id="a good run of a discarded edit"), pytest.param(-1.0, 1, id="a bad run of one")],
)
def test_discards_move_the_level_of_the_incumbent_towards_them(lead: float, direction: int) -> None:
    judge = ledger()
    state = campaign(judge)
    for _ in range(30):  # in this campaign edits do nothing, so each of their runs is one of the incumbent
        state = judge.conclude(state, scored(0.0), Verdict.DISCARD)
    settled = state.level
    for _ in range(10):
        state = judge.conclude(state, scored(lead), Verdict.DISCARD)

    assert (state.level - settled) * direction > 0.05
    assert abs(state.level - settled) < abs(lead)


def test_discards_make_the_level_surer() -> None:
    judge = ledger()
    state = campaign(judge)

    for _ in range(30):
        state = judge.conclude(state, scored(0.0), Verdict.DISCARD)

    assert state.level_error < 0.5 * campaign(judge).level_error


@settings(deadline=None)
@given(st.floats(1.5, 13.0))
def test_the_level_is_never_the_lucky_run(lead: float) -> None:
    judge = ledger()

    assessment = judge.assess(campaign(judge), scored(lead), may_rerun=False)

    assert assessment.decision is Decision.KEEP
    assert assessment.level is not None
    assert -lead < assessment.level < 0.0


def test_reruns_that_agree_raise_the_expected_gain() -> None:
    judge = ledger()
    state = campaign(judge)

    gains = [judge.assess(state, scored(*[2.0] * runs), may_rerun=False).expected_gain or 0.0 for runs in (1, 2, 3, 4)]

    assert gains == sorted(gains)
    assert gains[0] < 0.5 * gains[-1]


def test_a_rerun_is_bought_exactly_when_it_is_worth_more_than_its_price() -> None:
    judge = ledger()
    state = campaign(judge)

    for lead in [tenth / 10 for tenth in range(-60, 160)]:
        a = judge.assess(state, scored(lead))
        assert a.expected_gain is not None
        assert a.spread is not None
        assert a.price is not None
        bought = worth_of_a_run(a.expected_gain, a.spread) > a.price
        assert (a.decision is Decision.RERUN) == bought, a.reason


def test_runs_get_cheaper_as_the_campaign_stops_earning() -> None:
    judge = ledger()
    state = campaign(judge)
    prices = list[float]()

    def price(state: State) -> float:
        return judge.assess(state, scored(0.0)).price or 0.0

    for _ in range(5):
        prices.append(price(state))
        for _ in range(10):
            state = judge.conclude(state, scored(-2.0), Verdict.DISCARD)
    earning = judge.conclude(state, scored(*[4.0] * 3), Verdict.KEEP)

    assert prices == sorted(prices, reverse=True)
    assert price(earning) > 2.0 * prices[-1]


def test_a_campaign_in_which_gains_are_common_expects_more_of_the_next_edit() -> None:
    judge = ledger()
    poor = rich = campaign(judge)
    for _ in range(20):
        poor = judge.conclude(poor, scored(-3.0 - poor.level), Verdict.DISCARD)
        rich = judge.conclude(rich, scored(*[2.0 - rich.level] * 3), Verdict.KEEP)

    def expected(state: State) -> float:
        return judge.assess(state, scored(1.5 - state.level), may_rerun=False).expected_gain or 0.0

    assert expected(rich) > expected(poor) + 0.5


@pytest.mark.parametrize(
    ("line_change", "decision"),
    [
        pytest.param(-1, Decision.KEEP, id="shorter"),
        pytest.param(0, Decision.DISCARD, id="as long"),
        pytest.param(1, Decision.DISCARD, id="longer"),
    ],
)
def test_within_noise_only_the_shorter_edit_is_kept(line_change: int, decision: Decision) -> None:
    judge = ledger(max_runs=2)
    candidate = scored(0.4, 0.4, line_change=line_change)
    assessment = judge.assess(campaign(judge), candidate)

    assert -0.1 < (assessment.expected_gain or 0.0) < 0.0
    assert assessment.decision is decision


def test_shorter_does_not_excuse_harm() -> None:
    judge = ledger()

    assert judge.assess(campaign(judge), scored(-1.0, -1.0, line_change=-50)).decision is Decision.DISCARD


def test_nothing_is_kept_on_one_run_while_sigma_rests_on_the_baseline_alone() -> None:
    judge = ledger()
    unsure, sure = campaign(judge, sigma_known=False), campaign(judge)

    assert judge.assess(sure, scored(30.0)).decision is Decision.KEEP
    assert judge.assess(unsure, scored(30.0)).decision is Decision.RERUN
    assert judge.assess(unsure, scored(30.0, 29.0)).decision is Decision.KEEP
    assert judge.assess(unsure, scored(30.0), may_rerun=False).decision is Decision.KEEP


def test_where_runs_repeat_exactly_no_rerun_is_asked_for() -> None:
    judge = ledger()
    state = judge.begin([2.5, 2.5, 2.5])

    for score in (2.4999, 2.5, 2.5 + 1e-6, 2.5 - 1e-6, 3.0):
        assert judge.assess(state, Candidate(scores=(score,), line_change=0)).decision is not Decision.RERUN


def test_a_keep_that_was_recorded_is_folded_in_as_recorded_even_if_the_policy_would_discard_it() -> None:
    judge = ledger()
    state = campaign(judge)

    after = judge.conclude(state, scored(-1.0), Verdict.KEEP)

    assert after.gain < 0.0
    assert after.gain == pytest.approx(after.kept[0].gain)
    assert after.level > 0.0


def test_reasons_tell_gain_runs_and_price_in_one_line() -> None:
    judge = ledger()
    state = campaign(judge)

    assert judge.assess(state, scored(1.0)).reason == (
        "expected gain +0.00 σ after 1 run: a rerun is worth 0.10 σ, more than its price of 0.09 σ"
    )
    assert judge.assess(state, scored(3.0, 3.0)).reason == (
        "expected gain +0.87 σ after 2 runs; a rerun is worth 0.02 σ at a price of 0.09 σ"
    )
    assert judge.assess(state, scored(0.4, 0.4, line_change=-7), may_rerun=False).reason.endswith(
        "no worse within noise, and 7 lines shorter"
    )
