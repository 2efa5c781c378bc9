"""The ledger: what it believes, when it pays for another run, and what its levels mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.domain import Verdict
from controller.judge import Assessment, Candidate, Decision, Judge, State, make_judge
from controller.judge.belief import EFFECTS, form_belief, make_prior, value_attempt, weigh_by_gauss, weigh_by_student
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
    counts = dict(zip(EFFECTS, make_prior(), strict=True))

    assert sum(counts.values()) == pytest.approx(10.0)
    assert counts[0.0] == pytest.approx(3.0)
    assert sum(count for effect, count in counts.items() if effect < 0) == pytest.approx(6.0)
    assert counts[4.0] < counts[2.0] < counts[1.0]
    assert counts[14.0] > 0.0005, "a jump is rare, and no wonder"


def test_a_run_is_worth_nothing_when_it_cannot_change_the_decision() -> None:
    assert value_attempt(0.0, 1.0) == pytest.approx(0.3989423)
    assert value_attempt(1.0, 1.0) == value_attempt(-1.0, 1.0) == pytest.approx(0.0833155)
    assert value_attempt(5.0, 0.5) < 1e-9
    assert value_attempt(5.0, 0.0) == 0.0


@settings(deadline=None)
@given(
    st.floats(-60.0, 60.0),
    st.integers(1, 20),
    st.floats(0.01, 2.0),
    st.sampled_from([weigh_by_student, weigh_by_gauss]),
)
def test_a_belief_is_a_probability_and_its_levels_differ_by_the_gain(
    observed: float, runs: int, variance: float, density: Callable[[float], float]
) -> None:
    belief = form_belief(make_prior(), level_variance=variance, observed=observed, attempts=runs, weigh=density)

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
    st.sampled_from([weigh_by_student, weigh_by_gauss]),
)
def test_whatever_was_learned_a_better_mean_raises_the_expected_gain(
    learned: list[float],
    observed: float,
    better: float,
    runs: int,
    variance: float,
    density: Callable[[float], float],
) -> None:
    worth = [p + more for p, more in zip(make_prior(), learned, strict=True)]

    low = form_belief(worth, level_variance=variance, observed=observed, attempts=runs, weigh=density)
    high = form_belief(worth, level_variance=variance, observed=observed + better, attempts=runs, weigh=density)

    assert high.gain >= low.gain - 1e-9


def test_runs_far_better_are_kept_even_after_many_harmful_edits() -> None:
    """A plain Student weight discards five runs that are all 12 sigma better here, as if they were noise."""
    judge = ledger()
    state = campaign(judge)
    for lead in (-14.0, -9.0, -6.0, -4.0, -2.0, -1.0, 0.0) * 30:
        state = judge.conclude(state, scored(lead), Verdict.DISCARD)

    ahead = 12.0 - state.level

    assert judge.assess(state, scored(*[ahead] * 5)).decision is Decision.KEEP


def test_after_a_jump_the_level_follows_its_measurements() -> None:
    """Two runs of a real campaign at 1.588 left the level at 1.692, with a sigma of .05."""
    judge = ledger()
    state = campaign(judge)
    runs = [6.0]
    while judge.assess(state, scored(*runs)).decision is Decision.RERUN:
        runs.append(6.0)

    after = judge.conclude(state, scored(*runs), Verdict.KEEP)

    assert len(runs) < 5
    assert abs(after.level + 6.0) < 1.5


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
        bought = value_attempt(a.expected_gain, a.spread) > a.price or "would lag" in a.reason
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
    assert judge.assess(unsure, scored(3.5, 3.5)).decision is Decision.KEEP
    assert judge.assess(unsure, scored(30.0, 29.0)).decision is Decision.RERUN, "a huge gain, and hardly any sigma yet"
    assert judge.assess(unsure, scored(30.0, 29.0, 29.5, 30.5)).decision is Decision.KEEP
    assert judge.assess(unsure, scored(30.0), may_rerun=False).decision is Decision.KEEP


def test_where_runs_repeat_exactly_only_a_keep_is_run_again() -> None:
    judge = ledger()
    state = judge.begin([2.5, 2.5, 2.5])

    def decide(*scores: float) -> Decision:
        return judge.assess(state, Candidate(scores=scores, line_change=0)).decision

    assert {decide(2.5), decide(2.5 + 1e-6), decide(3.0)} == {Decision.DISCARD}
    assert decide(2.4) is Decision.RERUN
    assert decide(2.4, 2.4) is Decision.RERUN, "the first keep of all has three runs"
    assert decide(2.4, 2.4, 2.4) is Decision.KEEP
    state = judge.conclude(state, Candidate(scores=(2.4, 2.4, 2.4), line_change=0), Verdict.KEEP)
    assert state.level == pytest.approx(2.4)
    assert decide(2.27) is Decision.RERUN
    assert decide(2.27, 2.27) is Decision.KEEP
    assert decide(2.3, 2.3) is Decision.RERUN, "values a whole step apart may be equal by chance"


def test_a_lucky_run_of_an_edit_that_brings_noise_is_not_kept_as_certainty() -> None:
    judge = ledger()
    state = judge.begin([1.0, 1.0, 1.0])
    for step in range(6):
        scores = (1.0 - 0.01 * (step + 1),) * 3
        state = judge.conclude(state, Candidate(scores=scores, line_change=0), Verdict.KEEP)
    lucky = Candidate(scores=(0.90,), line_change=0)

    assert judge.assess(state, lucky).decision is Decision.RERUN
    assert judge.assess(state, replace(lucky, scores=(0.90, 0.99))).decision is not Decision.KEEP


def test_lines_have_a_price_both_ways() -> None:
    judge = make_judge(JudgeSettings(line_price=0.02), minimize=True)
    state = campaign(judge)
    leads = (1.5, 1.5, 1.5, 1.5, 1.5)

    def assess(line_change: int) -> Assessment:
        return judge.assess(state, scored(*leads, line_change=line_change), may_rerun=False)

    gain = assess(0).expected_gain
    assert gain is not None
    assert assess(int(gain / 0.02) - 1).decision is Decision.KEEP
    dear = assess(int(gain / 0.02) + 2)
    assert dear.decision is Decision.DISCARD
    assert "more lines cost" in dear.reason
    harmless = judge.assess(state, scored(0.0, 0.0, line_change=-40), may_rerun=False)
    assert harmless.decision is Decision.KEEP


def test_a_keep_that_was_recorded_is_folded_in_as_recorded_even_if_the_policy_would_discard_it() -> None:
    judge = ledger()
    state = campaign(judge)

    believed = judge.assess(state, scored(-1.0)).expected_gain
    after = judge.conclude(state, scored(-1.0), Verdict.KEEP)

    assert believed is not None
    assert after.gain < 0.0
    assert after.gain == pytest.approx(believed * state.sigma)
    assert after.level > 0.0


def test_reasons_tell_gain_runs_and_price_in_one_line() -> None:
    judge = ledger()
    state = campaign(judge)

    assert judge.assess(replace(state, attempts=60), scored(1.0)).reason == (
        "expected gain +0.01 σ after 1 run: a rerun is worth 0.08 σ, more than its price of 0.03 σ"
    )
    assert judge.assess(state, scored(3.0, 3.0)).reason == (
        "expected gain +1.25 σ after 2 runs; a rerun is worth 0.01 σ at a price of 0.09 σ"
    )
    assert judge.assess(state, scored(0.4, 0.4, line_change=-7), may_rerun=False).reason.endswith(
        "no worse within noise, and 7 lines shorter"
    )
