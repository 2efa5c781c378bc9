"""The five tests at their edges, and the correction of the score."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from exam.language.integrity import Baseline, Limits, Measurements, correct_upwards, find_failure, measure, noise_of
from hypothesis import given
from hypothesis import strategies as st

LIMITS = Limits()
CLEAN = Measurements(
    inflation=0.0,
    inflation_error=0.0001,
    hits=0,
    spread=0.001,
    restart=0.0,
    restart_error=0.00002,
    freshness=None,
    asked_error=None,
    freshness_error=None,
    probes=512,
)


def test_a_causal_stateless_model_passes() -> None:
    assert find_failure(CLEAN, LIMITS) is None


@pytest.mark.parametrize(
    ("field", "at_limit", "beyond", "test"),
    [
        pytest.param("inflation", 0.002, 0.0021, "inflation", id="looking ahead"),
        pytest.param("inflation", -0.002, -0.0021, "inflation", id="the other way"),
        pytest.param("hits", 1, 2, "hits", id="two hits"),
        pytest.param("spread", 0.005, 0.0051, "spread", id="spread"),
        pytest.param("restart", 0.0005, 0.00051, "restart", id="memory"),
        pytest.param("restart", -0.0005, -0.00051, "restart", id="decay"),
        pytest.param("inflation_error", 0.0005, 0.00051, "precision", id="noise"),
    ],
)
def test_each_limit_is_the_last_value_that_passes(field: str, at_limit: float, beyond: float, test: str) -> None:
    clean = asdict(CLEAN)
    assert find_failure(Measurements(**(clean | {field: at_limit})), LIMITS) is None
    failure = find_failure(Measurements(**(clean | {field: beyond})), LIMITS)
    assert failure is not None
    assert failure.test == test


def test_a_large_error_does_not_excuse_inflation() -> None:
    failure = find_failure(replace(CLEAN, inflation=0.003, inflation_error=0.01), LIMITS)
    assert failure is not None
    assert failure.test == "inflation"


def test_a_noisy_baseline_widens_the_spread_and_nothing_else() -> None:
    noisy = replace(CLEAN, spread=0.009)
    assert find_failure(noisy, LIMITS, Baseline(spread=0.0045)) is None
    assert find_failure(noisy, LIMITS, Baseline(spread=0.0044)) is not None
    assert find_failure(replace(noisy, inflation=0.0021), LIMITS, Baseline(spread=0.0045)) is not None


def test_noise_of_the_baseline_widens_what_it_shakes_and_only_so_far() -> None:
    shaken = replace(CLEAN, restart=0.0019, restart_error=0.0005)
    assert find_failure(shaken, LIMITS, Baseline(restart_error=0.0005)) is None
    assert find_failure(shaken, LIMITS, Baseline(restart_error=0.0004)) is not None
    assert find_failure(replace(CLEAN, restart=0.0021), LIMITS, Baseline(restart_error=1.0)) is not None
    assert find_failure(replace(CLEAN, spread=0.051), LIMITS, Baseline(spread=1.0)) is not None
    assert find_failure(replace(CLEAN, inflation=0.0081), LIMITS, Baseline(inflation_error=1.0)) is not None
    assert find_failure(replace(CLEAN, inflation=0.0079), LIMITS, Baseline(inflation_error=0.002)) is None


def test_an_exam_of_the_baseline_allows_for_its_own_noise_and_not_for_dropout() -> None:
    noisy = replace(CLEAN, spread=0.02, restart=-0.0012, restart_error=0.0005, inflation_error=0.0009)
    assert find_failure(noisy, LIMITS) is not None
    assert find_failure(noisy, LIMITS, noise_of(noisy)) is None
    dropout = replace(CLEAN, spread=0.13, inflation=-0.0193, inflation_error=0.008)
    assert find_failure(dropout, LIMITS, noise_of(dropout)) is not None


def test_freshness_needs_five_standard_errors() -> None:
    known = replace(CLEAN, freshness=0.3, asked_error=0.03, freshness_error=0.04)
    assert find_failure(replace(known, freshness=0.25), LIMITS) is None
    failure = find_failure(replace(known, freshness=0.26), LIMITS)
    assert failure is not None
    assert failure.test == "freshness"
    assert find_failure(replace(known, freshness=-3.0), LIMITS) is None
    assert find_failure(replace(known, freshness=0.019, asked_error=0.0, freshness_error=0.001), LIMITS) is None


def test_looking_ahead_reads_as_the_operator_expects() -> None:
    failure = find_failure(replace(CLEAN, inflation=1.3799, inflation_error=0.0213, spread=1.38), LIMITS)
    assert failure is not None
    assert failure.explanation == "looks ahead: nll is 1.38 ± 0.02 nats lower when the next token is in the input"


def test_differences_both_ways_are_named_as_a_mistake_not_as_a_cheat() -> None:
    failure = find_failure(replace(CLEAN, inflation=0.03, inflation_error=0.05, hits=222, spread=0.7), LIMITS)
    assert failure is not None
    assert failure.test == "spread"
    assert "not a function of the sequence alone" in failure.explanation
    assert "dropout" in failure.explanation
    assert "cheat" not in failure.explanation


def test_drift_beyond_its_error_is_named_as_memory() -> None:
    seen = replace(CLEAN, inflation=0.01, inflation_error=0.01, spread=0.2, restart=0.024, restart_error=0.002)
    failure = find_failure(seen, LIMITS)
    assert failure is not None
    assert failure.explanation.startswith("remembers the exam: nll is 0.024 ± 0.002 nats lower")


@given(st.floats(-3, 3), st.floats(0, 1))
def test_the_correction_only_ever_raises_the_score(inflation: float, error: float) -> None:
    added = correct_upwards(replace(CLEAN, inflation=inflation, inflation_error=error))
    assert added >= 0
    assert added >= inflation
    assert added == pytest.approx(max(0.0, inflation + 2 * error))


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=50), st.lists(st.floats(-5, 5), min_size=2, max_size=50))
def test_measurements_are_means_errors_and_counts(at_cuts: list[float], repeated: list[float]) -> None:
    even = np.ones(len(at_cuts))
    seen = measure(
        at_cuts=np.array(at_cuts),
        weights=even,
        repeated=np.array(repeated),
        asked=np.array([1.0, 3.0]),
        fresh=np.array([1.0, 1.0, 1.0, 2.0]),
        limits=LIMITS,
    )

    assert seen.inflation == pytest.approx(np.mean(at_cuts))
    assert seen.inflation_error == pytest.approx(np.std(at_cuts, ddof=1) / len(at_cuts) ** 0.5)
    assert seen.hits == sum(abs(d) > 0.5 for d in at_cuts)
    assert abs(seen.inflation) <= seen.spread + 1e-12
    assert seen.restart == pytest.approx(np.mean(repeated))
    assert seen.probes == len(at_cuts)
    scatter = 1.25 * 1.4826 * np.median([1, 1, 0, 0, 0, 1])
    assert seen.freshness == 0.75
    assert seen.asked_error == pytest.approx(scatter / 2**0.5)
    assert seen.freshness_error == pytest.approx(scatter / 4**0.5)


def test_sequences_known_by_heart_do_not_hide_in_the_scatter_that_they_make() -> None:
    generator = np.random.default_rng(1)
    asked, fresh = generator.normal(0, 0.3, 512), generator.normal(0, 0.3, 48)
    leaked = np.where(np.arange(512) % 10 == 0, 4.0, asked)
    zeros = np.zeros(2)

    seen = measure(at_cuts=zeros, weights=zeros, repeated=zeros, asked=leaked, fresh=fresh, limits=LIMITS)

    failure = find_failure(seen, LIMITS)
    assert failure is not None
    assert failure.test == "freshness"


def test_weights_make_the_mean_over_hard_cuts_one_over_all_positions() -> None:
    d = np.array([4.0, 0.0, 0.0, 0.0])
    weights = np.array([0.1, 1.3, 1.3, 1.3])
    seen = measure(at_cuts=d, weights=weights, repeated=d, asked=d, fresh=d[:0], limits=LIMITS)
    assert (seen.inflation, seen.spread) == pytest.approx((0.1, 0.1))
    assert seen.hits == 1
    assert (seen.freshness, seen.asked_error, seen.freshness_error) == (None, None, None)


@given(
    st.builds(
        Measurements,
        inflation=st.floats(-1, 1),
        inflation_error=st.floats(0, 0.1),
        hits=st.integers(0, 50),
        spread=st.floats(0, 1),
        restart=st.floats(-1, 1),
        restart_error=st.floats(0, 0.1),
        freshness=st.floats(-1, 1) | st.none(),
        asked_error=st.just(0.03),
        freshness_error=st.just(0.04),
        probes=st.just(512),
    )
)
def test_whatever_breaks_a_limit_is_rejected_and_nothing_else_is(seen: Measurements) -> None:
    breaks = (
        abs(seen.inflation) > 0.002
        or seen.hits >= 2
        or seen.spread > 0.005
        or abs(seen.restart) > 0.0005
        or seen.inflation_error > 0.0005
        or (seen.freshness or 0.0) > 5 * float(np.hypot(0.03, 0.04))
    )
    assert (find_failure(seen, LIMITS) is not None) == breaks
