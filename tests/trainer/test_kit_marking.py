"""Marks become scores, errors and tests: honest candidates pass, and who knows what is asked often does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from exam.examiner import Close, Equal, Spent
from exam.kit.errors import DataError, Rejection
from exam.kit.marking import compare_with_fresh, find_staleness, latency_numbers, mean_and_error, read_mark


def test_the_standard_error_is_that_of_the_mean_over_questions() -> None:
    assert mean_and_error([0.0, 1.0, 0.0, 1.0]) == pytest.approx((0.5, 0.288675), abs=1e-6)
    assert mean_and_error([0.7]) == (0.7, 0.0)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_honest_candidates_are_not_called_stale(direction: str) -> None:
    draw = np.random.default_rng(3)
    for _ in range(5000):
        share = draw.random()
        asked, fresh = (draw.random(200) < share).astype(float), (draw.random(30) < share).astype(float)
        assert find_staleness(compare_with_fresh(asked.tolist(), fresh.tolist(), direction)) is None


def test_who_has_all_of_validation_right_and_half_of_the_fresh_items_is_stale() -> None:
    fresh = [0.0, 1.0] * 20
    found = find_staleness(compare_with_fresh([1.0] * 200, fresh, "maximize"))
    assert found is not None
    assert "knows what every exam asks" in found.explanation
    assert find_staleness(compare_with_fresh([0.0] * 200, fresh, "maximize")) is None
    assert find_staleness(compare_with_fresh([0.0] * 200, fresh, "minimize")) is not None


def test_marks_without_any_scatter_are_compared_as_they_are() -> None:
    assert find_staleness(compare_with_fresh([1.0] * 9, [1.0] * 9, "maximize")) is None
    assert find_staleness(compare_with_fresh([1.0] * 30, [0.0] * 30, "maximize")) is not None


def test_a_mark_is_a_number_or_numbers_with_the_metric_among_them() -> None:
    assert read_mark(True, "right") == {"right": 1.0}
    assert read_mark({"right": 1, "found": 0.5}, "right") == {"right": 1.0, "found": 0.5}
    with pytest.raises(DataError, match="no right"):
        read_mark({"found": 0.5}, "right")


@pytest.mark.parametrize("value", [float("nan"), np.float32("inf"), 10**400, None, "1", np.complex64(1)])
def test_a_mark_that_is_no_finite_number_is_the_candidates_fault_and_never_ends_the_exam(value: Any) -> None:
    with pytest.raises(Rejection, match=r"no finite number \(right\)"):
        read_mark({"right": value}, "right")


@pytest.mark.parametrize("values", [[1e308] * 3, [1e160, -1e160]])
def test_marks_too_large_to_be_added_up_are_rejected(values: list[float]) -> None:
    with pytest.raises(Rejection, match="too large to be added up"):
        mean_and_error(values)


def test_integers_beyond_a_double_are_near_nothing_but_themselves() -> None:
    for equality in (Equal(), Close(0.1)):
        assert equality.holds({"extra": 10**400}, {"extra": 10**400})
        assert not equality.holds({"extra": 10**400}, {"extra": 10**400 + 1})
        assert not equality.holds([10**400], [1.0])


def test_latency_is_told_in_milliseconds_and_cpu_time_only_where_it_was_measured() -> None:
    numbers = latency_numbers([Spent(0.001), Spent(0.003)])
    assert numbers == {"latency_ms": pytest.approx(2.0), "latency_p95_ms": pytest.approx(2.9)}
    assert latency_numbers([Spent(0.001, 0.5)])["cpu_ms"] == 500.0
