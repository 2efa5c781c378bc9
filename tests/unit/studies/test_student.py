"""Student's distribution against published tables, and the power of a comparison against simulation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.studies import student


@pytest.mark.parametrize(
    ("tail", "freedom", "published"),
    [
        pytest.param(0.025, 1, 12.706, id="one degree of freedom"),
        pytest.param(0.025, 10, 2.228, id="ten degrees"),
        pytest.param(0.005, 30, 2.750, id="thirty degrees"),
        pytest.param(0.001, 4, 7.173, id="three seeds a side"),
        pytest.param(0.001, 24, 3.467, id="thirteen seeds a side"),
        pytest.param(0.001, 100_000, 3.0902, id="nearly the normal distribution"),
    ],
)
def test_quantile_is_that_of_the_tables(tail: float, freedom: int, published: float) -> None:
    assert student.quantile(tail, freedom) == pytest.approx(published, abs=6e-4)


@given(st.floats(-50.0, 50.0), st.integers(1, 500))
def test_the_two_tails_add_up_to_one(t: float, freedom: int) -> None:
    assert student.upper_tail(t, freedom) + student.upper_tail(-t, freedom) == pytest.approx(1.0, abs=1e-12)


def test_power_of_a_published_example() -> None:
    # Cohen (1988), table 2.4.1, at .05 in two directions: 64 runs a side find .5 sigma, and 17 find one, in 80 of 100.
    assert student.find_probability(0.5, 64, tail=0.025) == pytest.approx(0.80, abs=0.005)
    assert student.find_probability(1.0, 17, tail=0.025) == pytest.approx(0.80, abs=0.01)


@given(st.integers(2, 40))
def test_the_effect_found_by_so_many_seeds_needs_so_many_seeds(seeds: int) -> None:
    effect = student.effect_found(seeds, tail=0.001, power=0.9)

    assert student.seeds_for(effect * 1.001, tail=0.001, power=0.9) == seeds
