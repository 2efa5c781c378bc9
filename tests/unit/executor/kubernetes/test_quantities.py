"""Amounts as Kubernetes writes them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.executor.kubernetes.quantities import amount, smaller

WRITTEN = st.builds(
    "{}{}".format, st.integers(0, 10**6), st.sampled_from(["", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "Ti"])
)


@pytest.mark.parametrize(
    ("written", "expected"),
    [("500m", 0.5), ("2", 2), ("1.5", 1.5), ("32Gi", 32 * 2**30), ("128Mi", 2**27), ("1k", 1000), ("2e3", 2000)],
)
def test_amounts_are_read_in_units(written: str, expected: float) -> None:
    assert amount(written) == pytest.approx(expected)


@pytest.mark.parametrize("written", ["", "many", "Gi", "1Qi", "m"])
def test_what_cannot_be_read_is_infinite(written: str) -> None:
    assert amount(written) == math.inf


@given(WRITTEN, WRITTEN)
def test_smaller_one_is_one_of_both_and_no_larger_than_either(one: str, other: str) -> None:
    found = smaller(one, other)

    assert found in (one, other)
    assert amount(found) <= min(amount(one), amount(other))
