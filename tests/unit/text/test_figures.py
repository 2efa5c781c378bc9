"""Scores as text: apart by a sigma they differ, below a tenth of sigma's second digit there is nothing."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from controller.text.figures import score_text, score_with_error, sigma_text, sigmas_text, tick_text

SCORES = st.floats(allow_nan=False, allow_infinity=False)
SIGMAS = st.floats(min_value=1e-300, max_value=1e300)
NUMBER = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")


@pytest.mark.parametrize(
    ("value", "sigma", "text"),
    [
        pytest.param(1.94123456, 0.0102, "1.941", id="bits per byte on a laptop"),
        pytest.param(0.969671234, 0.0005, "0.96967", id="bits per byte on a GPU"),
        pytest.param(147734, 100, "147734", id="cycles with noise"),
        pytest.param(147734, None, "147734", id="cycles without noise"),
        pytest.param(1e-12, 1e-14, "1.000e-12", id="tiny"),
        pytest.param(1e-12, None, "1e-12", id="tiny without noise"),
        pytest.param(-0.0001, 0.1, "0.00", id="no minus before zero"),
        pytest.param(0.5, None, "0.5", id="no zeros that nobody measured"),
        pytest.param(1 / 3, None, "0.33333333", id="eight digits"),
        pytest.param(1e300, 1e298, "1.000e300", id="huge"),
        pytest.param(0.0, 1e-14, "0", id="zero among tiny ones"),
        pytest.param(float("nan"), 0.1, "-", id="no number"),
    ],
)
def test_digits_follow_sigma(value: float, sigma: float | None, text: str) -> None:
    assert score_text(value, sigma) == text


@pytest.mark.parametrize(
    ("value", "error", "sigma", "text"),
    [
        pytest.param(1.80754, 0.0059, 0.0102, "1.808 ± 0.006", id="to the digit of a score"),
        pytest.param(1.80754, 0.0004, 0.0102, "1.8075 ± 0.0004", id="an error never reads as zero"),
        pytest.param(147734, 57.7, 100, "147734 ± 58", id="whole numbers stay whole"),
        pytest.param(1234567, 12345, None, "1234567 ± 12000", id="two digits of an error"),
        pytest.param(1.234e-12, 6e-15, 1e-14, "1.234e-12 ± 0.006e-12", id="one power of ten for both"),
        pytest.param(0.25, None, None, "0.25", id="without an error"),
        pytest.param(0.0, 6e-15, 1e-14, "0 ± 6e-15", id="zero"),
    ],
)
def test_errors_are_told_in_the_digits_of_their_score(
    value: float, error: float | None, sigma: float | None, text: str
) -> None:
    assert score_with_error(value, error, sigma) == text


@given(SCORES, SIGMAS)
@example(9.995, 0.00996)
@example(0.05, 0.1)
def test_two_scores_one_sigma_apart_never_read_the_same(value: float, sigma: float) -> None:
    other = value + sigma
    assume(other - value >= 0.99 * sigma)  # beyond the last digit of a double they are the same score

    assert score_text(value, sigma) != score_text(other, sigma)


@given(SCORES, SIGMAS)
def test_no_decimal_is_shown_that_noise_makes_meaningless(value: float, sigma: float) -> None:
    text = score_text(value, sigma)

    assert NUMBER.fullmatch(text)
    last_digit = Decimal(1).scaleb(Decimal(text).normalize().as_tuple().exponent) if "." in text else None  # type: ignore[arg-type]  # finite
    assert last_digit is None or last_digit > Decimal(sigma) / 101
    assert len(text) <= 26


@given(SCORES, SIGMAS)
def test_what_is_read_is_the_score_to_a_tenth_of_sigma(value: float, sigma: float) -> None:
    assert abs(Decimal(score_text(value, sigma)) - Decimal(value)) <= Decimal(sigma) / 10 + abs(Decimal(value)) / 10**16


@given(SCORES, SCORES, SIGMAS)
def test_the_order_of_two_scores_is_never_turned_round(one: float, other: float, sigma: float) -> None:
    low, high = sorted((one, other))

    assert Decimal(score_text(low, sigma)) <= Decimal(score_text(high, sigma))


@given(SCORES)
def test_without_noise_eight_digits_stand(value: float) -> None:
    text = score_text(value)

    assert NUMBER.fullmatch(text)
    assert abs(Decimal(text) - Decimal(value)) <= abs(Decimal(value)) / 10**7
    assert len(text) <= 20


@given(SCORES, SIGMAS, st.none() | SIGMAS)
def test_an_error_never_reads_as_nothing(value: float, error: float, sigma: float | None) -> None:
    assume(error > abs(value) / 10**15)  # less is beyond the last digit of a double
    shown, _, told = score_with_error(value, error, sigma).partition(" ± ")

    assert NUMBER.fullmatch(shown)
    assert NUMBER.fullmatch(told)
    assert float(told) > 0
    assert abs(Decimal(told) - Decimal(error)) <= Decimal(error) / 2


@given(SIGMAS)
def test_sigma_alone_has_two_digits(sigma: float) -> None:
    text = sigma_text(sigma)

    assert abs(Decimal(text) - Decimal(sigma)) <= Decimal(sigma) / 19
    assert len(Decimal(text).normalize().as_tuple().digits) <= 2


@given(st.integers(-1000, 1000), st.sampled_from([1.0, 2.0, 5.0]), st.integers(-290, 290))
def test_neighbouring_ticks_read_differently(first: int, factor: float, power: int) -> None:
    step = factor * 10.0**power

    assert tick_text(first * step, step) != tick_text((first + 1) * step, step)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(1.94, "+1.9 σ", id="usual"),
        pytest.param(-0.04, "+0.0 σ", id="no minus before zero"),
        pytest.param(-566109.4, "-566109 σ", id="many"),
        pytest.param(6.2567e11, "+6.3e11 σ", id="absurd"),
        pytest.param(1e100, "+1.0e100 σ", id="the most there can be"),
    ],
)
def test_gains_are_told_in_sigmas(value: float, text: str) -> None:
    assert sigmas_text(value, decimals=1) == text
