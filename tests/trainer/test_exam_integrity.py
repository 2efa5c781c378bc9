"""The five tests at their edges, and the correction of the score."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from exam.integrity import Limits, Measurements, correction, find_failure, measure
from hypothesis import given
from hypothesis import strategies as st

LIMITS = Limits()
CLEAN = Measurements(
    inflation=0.0, inflation_error=0.0001, hits=0, spread=0.001, restart=0.0, restart_error=0.00002, probes=512
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
    assert find_failure(noisy, LIMITS, baseline_spread=0.0045) is None
    assert find_failure(noisy, LIMITS, baseline_spread=0.0044) is not None
    assert find_failure(replace(noisy, inflation=0.0021), LIMITS, baseline_spread=0.0045) is not None


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
    added = correction(replace(CLEAN, inflation=inflation, inflation_error=error))
    assert added >= 0
    assert added >= inflation
    assert added == pytest.approx(max(0.0, inflation + 2 * error))


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=50), st.lists(st.floats(-5, 5), min_size=2, max_size=50))
def test_measurements_are_means_errors_and_counts(at_cuts: list[float], repeated: list[float]) -> None:
    seen = measure(at_cuts=np.array(at_cuts), repeated=np.array(repeated), limits=LIMITS)

    assert seen.inflation == pytest.approx(np.mean(at_cuts))
    assert seen.inflation_error == pytest.approx(np.std(at_cuts, ddof=1) / len(at_cuts) ** 0.5)
    assert seen.hits == sum(abs(d) > 0.5 for d in at_cuts)
    assert abs(seen.inflation) <= seen.spread + 1e-12
    assert seen.restart == pytest.approx(np.mean(repeated))
    assert seen.probes == len(at_cuts)


@given(
    st.builds(
        Measurements,
        inflation=st.floats(-1, 1),
        inflation_error=st.floats(0, 0.1),
        hits=st.integers(0, 50),
        spread=st.floats(0, 1),
        restart=st.floats(-1, 1),
        restart_error=st.floats(0, 0.1),
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
    )
    assert (find_failure(seen, LIMITS) is not None) == breaks
