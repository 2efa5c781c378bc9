"""Properties of every judging policy, whatever scores arrive."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from controller.domain import LARGEST_SCORE, Verdict
from controller.errors import TaskError
from controller.judge import Candidate, Decision, Judge, State
from controller.text.figures import score_text
from tests.support.counting import count_calls
from tests.support.judges import judge_of

POLICIES = ("ledger", "gauss", "confirm", "greedy")
NOISY_BASELINE = (1.0, 1.25, 0.875)

History = list[tuple[Candidate, Verdict]]

policies = st.sampled_from(POLICIES)
scores = st.integers(-2560, 2560).map(lambda k: 1.0 + k / 512)  # no rounding under a change of unit
line_changes = st.integers(-3, 3)
candidates = st.builds(
    Candidate,
    scores=st.lists(scores, min_size=1, max_size=5).map(tuple),
    line_change=line_changes,
    gain_since=st.sampled_from([0.0, 0.25, -0.125]),
)
histories = st.lists(st.tuples(candidates, st.sampled_from([*Verdict])), max_size=12)


def after(judge: Judge, history: History) -> State:
    state = judge.begin(NOISY_BASELINE)
    for candidate, verdict in history:
        state = judge.conclude(state, candidate, verdict)
    return state


@settings(deadline=None)
@given(policies, histories, st.lists(scores, min_size=20, max_size=20), line_changes, st.integers(1, 20))
def test_every_candidate_is_decided_within_max_runs(
    policy: str, history: History, stream: list[float], line_change: int, max_runs: int
) -> None:
    judge = judge_of(policy, max_runs=max_runs)
    state = after(judge, history)

    runs = 1
    while (
        assessment := judge.assess(state, Candidate(scores=tuple(stream[:runs]), line_change=line_change))
    ).decision is Decision.RERUN:
        runs += 1

    assert runs <= max_runs
    assert assessment.reason
    assert assessment.level is not None


any_score = st.floats(-LARGEST_SCORE, LARGEST_SCORE, allow_nan=False)
any_candidate = st.builds(
    Candidate, scores=st.lists(any_score, max_size=5).map(tuple), line_change=line_changes, gain_since=any_score
)


@settings(deadline=None)
@given(policies, st.lists(any_score, min_size=2, max_size=4), st.lists(st.tuples(any_candidate, st.booleans())))
def test_any_scores_that_are_taken_at_all_are_judged_and_leave_finite_numbers(
    policy: str, baseline: list[float], history: list[tuple[Candidate, bool]]
) -> None:
    judge = judge_of(policy)
    state = judge.begin(baseline)
    for candidate, keep in history:
        assessment = judge.assess(state, candidate)
        state = judge.conclude(state, candidate, Verdict.KEEP if keep else Verdict.DISCARD)

        assert assessment.expected_gain is None or math.isfinite(assessment.expected_gain)
        assert len(assessment.reason) < 200, "no number of a hundred digits"
        assert all(map(math.isfinite, (state.level, state.sigma, state.level_error, state.gain)))


@settings(deadline=None)
@given(policies, histories, candidates)
def test_without_permission_to_rerun_a_candidate_is_kept_or_discarded(
    policy: str, history: History, candidate: Candidate
) -> None:
    judge = judge_of(policy)

    decision = judge.assess(after(judge, history), candidate, may_rerun=False).decision

    assert decision in (Decision.KEEP, Decision.DISCARD)


@settings(deadline=None)
@given(policies, histories, candidates, st.floats(0.0, 1000.0), st.booleans())
def test_better_scores_never_turn_a_keep_into_a_discard(
    policy: str, history: History, candidate: Candidate, improvement: float, may_rerun: bool
) -> None:
    """All runs better by the same: one of them alone would also show that sigma is larger than was thought."""
    judge = judge_of(policy)
    state = after(judge, history)
    assume(judge.assess(state, candidate, may_rerun=may_rerun).decision is Decision.KEEP)
    better = tuple(score - improvement for score in candidate.scores)

    decision = judge.assess(state, replace(candidate, scores=better), may_rerun=may_rerun).decision

    assert decision is not Decision.DISCARD


@settings(deadline=None)
@given(policies, histories, candidates)
def test_maximising_the_negated_metric_is_the_same_as_minimising(
    policy: str, history: History, candidate: Candidate
) -> None:
    def negated(c: Candidate) -> Candidate:
        return replace(c, scores=tuple(-s for s in c.scores))

    low, high = judge_of(policy), judge_of(policy, minimize=False)
    low_state = after(low, history)
    high_state = high.begin([-s for s in NOISY_BASELINE])
    for c, verdict in history:
        high_state = high.conclude(high_state, negated(c), verdict)
    down, up = low.assess(low_state, candidate), high.assess(high_state, negated(candidate))

    assert (up.decision, up.expected_gain, up.reason) == (down.decision, down.expected_gain, down.reason)
    assert up.level is not None
    assert down.level is not None
    assert -up.level == down.level


@settings(deadline=None)
@given(policies, candidates, st.sampled_from([0.125, 0.5, 4.0, 64.0]), st.sampled_from([-16.0, 0.0, 8.0]))
def test_unit_and_origin_of_the_metric_do_not_matter(
    policy: str, candidate: Candidate, unit: float, origin: float
) -> None:
    def moved(s: float) -> float:
        return s * unit + origin

    judge = judge_of(policy)
    here, there = judge.begin(NOISY_BASELINE), judge.begin([moved(s) for s in NOISY_BASELINE])
    away = replace(candidate, scores=tuple(moved(s) for s in candidate.scores), gain_since=candidate.gain_since * unit)
    one, other = judge.assess(here, candidate), judge.assess(there, away)

    # Rounding may decide a candidate that sits exactly on the border; nothing else may.
    assume(abs(one.expected_gain or 0.0) > 1e-9)
    assert other.decision == one.decision
    assert other.expected_gain == pytest.approx(one.expected_gain, rel=1e-6, abs=1e-9)
    assert other.level == pytest.approx(moved(one.level or 0.0), rel=1e-6, abs=1e-6)


@settings(deadline=None)
@given(policies, histories)
def test_a_replay_of_the_same_verdicts_gives_the_same_state(policy: str, history: History) -> None:
    assert after(judge_of(policy), history) == after(judge_of(policy), history)


@settings(deadline=None)
@given(policies, histories, st.sampled_from([Decision.KEEP, Decision.DISCARD]), candidates)
def test_the_level_that_was_announced_is_the_level_remembered(
    policy: str, history: History, wanted: Decision, candidate: Candidate
) -> None:
    judge = judge_of(policy)
    state = after(judge, history)
    assessment = judge.assess(state, candidate, may_rerun=False)
    assume(assessment.decision is wanted)

    remembered = judge.conclude(state, candidate, Verdict(wanted.value))

    assert remembered.level == assessment.level
    assert assessment.expected_gain is not None
    # The ledger counts in a sigma into which the candidate's own runs are pooled.
    sigma = remembered.sigma if policy in ("ledger", "gauss") else state.sigma
    kept_gain = assessment.expected_gain * sigma if wanted is Decision.KEEP else 0.0
    assert remembered.gain == pytest.approx(state.gain + kept_gain)


@settings(deadline=None)
@given(policies, histories, st.sampled_from([Verdict.CRASH, Verdict.REJECT]), candidates)
def test_a_crash_or_a_rejected_exam_is_a_run_and_no_evidence(
    policy: str, history: History, verdict: Verdict, candidate: Candidate
) -> None:
    judge = judge_of(policy)
    state = after(judge, history)

    assert judge.conclude(state, Candidate(scores=(), line_change=0), verdict) == replace(
        state, attempts=state.attempts + 1
    )
    assert judge.conclude(state, candidate, verdict) == replace(state, attempts=state.attempts + len(candidate.scores))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_candidate_of_which_nothing_was_scored_is_discarded(policy: str) -> None:
    judge = judge_of(policy)

    assert judge.assess(judge.begin(NOISY_BASELINE), Candidate(scores=(), line_change=-9)).decision is Decision.DISCARD


@pytest.mark.parametrize("policy", POLICIES)
def test_replicates_sharpen_sigma_and_single_runs_do_not(policy: str) -> None:
    judge = judge_of(policy)
    state = judge.begin(NOISY_BASELINE)

    once = judge.conclude(state, Candidate(scores=(3.0,), line_change=0), Verdict.DISCARD)
    twice = judge.conclude(state, Candidate(scores=(3.0, 3.5), line_change=0), Verdict.DISCARD)

    assert once.sigma == state.sigma
    # (0.03646 of the baseline x 2 + 0.125 of the pair) / 3 degrees of freedom
    assert twice.sigma == pytest.approx(((2 * 0.0364583 + 0.125) / 3) ** 0.5, rel=1e-4)


@pytest.mark.parametrize("policy", POLICIES)
def test_identical_baseline_runs_are_no_division_by_zero(policy: str) -> None:
    judge = judge_of(policy)
    state = judge.begin([0.0, 0.0, 0.0])

    def decide(score: float, line_change: int) -> Decision:
        scored = Candidate(scores=(score,) * 4, line_change=line_change)
        return judge.assess(state, scored, may_rerun=False).decision

    assert decide(-0.01, 5) is Decision.KEEP
    assert decide(0.01, -5) is Decision.DISCARD
    assert decide(0.0, -1) is Decision.KEEP
    assert decide(0.0, 0) is Decision.DISCARD
    assert decide(0.0, 1) is Decision.DISCARD


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("score", [1.0, 0.625, 147734.0, 1e-12, 1e12, -3.0, 0.0, 1e100])
def test_level_of_equal_runs_is_told_as_what_they_scored(policy: str, score: float) -> None:
    judge = judge_of(policy)
    state = judge.begin([score] * 3)

    for _ in range(5):
        state = judge.conclude(state, Candidate(scores=(score,), line_change=0), Verdict.DISCARD)

    assert state.told_level == pytest.approx(score, rel=1e-12)
    assert score_text(state.told_level) == score_text(score)


@given(policy=policies, history=histories)
@settings(deadline=None)
def test_told_level_differs_by_a_few_of_the_least_sigma_at_most(policy: str, history: History) -> None:
    state = after(judge_of(policy), history)

    assert abs(state.told_level - state.level) <= 5.01 * state.floor


@pytest.mark.parametrize("policy", POLICIES)
def test_a_candidate_is_compared_with_the_incumbent_it_was_launched_against(policy: str) -> None:
    """Without gain_since these four runs look worse than the incumbent; it only moved on while they ran."""
    judge = judge_of(policy)
    state = judge.begin(NOISY_BASELINE)
    candidate = Candidate(scores=(1.5,) * 4, line_change=0)

    assert judge.assess(state, candidate, may_rerun=False).decision is Decision.DISCARD
    assert judge.assess(state, replace(candidate, gain_since=2.0), may_rerun=False).decision is Decision.KEEP


@pytest.mark.parametrize("policy", ["ledger", "gauss", "confirm"])
def test_policies_that_need_sigma_say_so_when_the_baseline_cannot_give_it(policy: str) -> None:
    with pytest.raises(TaskError, match=r"1 scored runs.*needs 2"):
        judge_of(policy).begin([1.0])


def test_greedy_needs_no_sigma_but_one_score() -> None:
    judge = judge_of("greedy")
    state = judge.begin([1.0])

    assert state.freedom == 0
    assert judge.assess(state, Candidate(scores=(0.9,), line_change=0)).expected_gain is None
    with pytest.raises(TaskError, match="no scored run"):
        judge.begin([])


@pytest.mark.parametrize("policy", POLICIES)
def test_an_experiment_costs_no_more_after_ten_thousand_others(policy: str) -> None:
    """So that a start with a lab of any age takes a time in proportion to it; tests/bench measures that time."""
    judge = judge_of(policy)
    state = judge.begin(NOISY_BASELINE)
    candidate = Candidate(scores=(0.9375, 1.0), line_change=0)

    calls, sizes = [], []
    for number in range(10_000):
        verdict = Verdict.DISCARD if number % 5 else Verdict.KEEP
        if number in (1_000, 9_999):
            calls.append(count_calls(partial(judge.conclude, state, candidate, verdict)))
            sizes.append(len(repr(state)))
        state = judge.conclude(state, candidate, verdict)

    assert state.attempts == 3 + 20_000
    assert calls[1] < 1.2 * calls[0]
    assert sizes[1] < 1.2 * sizes[0]


def shares(good: int, of: int, *rest: int) -> list[float]:
    return [round(count / of, 4) for count in (good, *rest)]


@pytest.mark.parametrize("of", [10, 30, 50])
def test_a_coarse_metric_has_at_least_a_step_of_noise(of: int) -> None:
    judge = judge_of("ledger", minimize=False)
    state = judge.begin(shares(of - 1, of, of - 1, of - 1))
    for counts in ((of, of), (of - 2, of - 1), (of, of - 2)):
        assert state.sigma <= 1.01 / of
        state = judge.conclude(
            state, Candidate(scores=tuple(shares(*(counts[0], of, counts[1]))), line_change=0), Verdict.DISCARD
        )

    assert state.step == pytest.approx(1.0 / of, rel=0.02)
    assert state.sigma >= state.step
    assert not state.is_exact


def test_a_task_without_noise_stays_exact_though_it_has_few_values() -> None:
    judge = judge_of("ledger", minimize=False)
    state = judge.begin([2159.3] * 3)
    for value in (2159.3, 3381.7, 2159.3, 3381.7):
        state = judge.conclude(state, Candidate(scores=(value, value), line_change=0), Verdict.DISCARD)

    assert state.is_exact
    assert state.noise is None


@pytest.mark.parametrize("policy", POLICIES)
def test_one_repeat_that_differs_ends_exactness(policy: str) -> None:
    judge = judge_of(policy)
    state = judge.begin([2.5, 2.5, 2.5])
    assert state.is_exact

    state = judge.conclude(state, Candidate(scores=(2.5, 2.4), line_change=0), Verdict.DISCARD)

    assert not state.is_exact
    assert state.sigma > 0.01
