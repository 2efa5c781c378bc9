"""Writes numbers as people read them: scores, errors, gains, the marks of an axis, durations, moments.

A score has as many digits as the noise of one run leaves meaningful: two that are one sigma apart never read the same,
and no decimal is shown below the second digit of sigma. Every view uses these functions. Pure.
"""

from __future__ import annotations

from datetime import datetime
from math import inf, isfinite
from typing import TypeGuard

MISSING = "-"
"""Stands where there is no number to show."""

DIGITS_WITHOUT_NOISE = 8
"""Significant digits of a score whose noise nobody has measured; trailing zeros are left out."""

FLOAT_DIGITS = 17
"""Two different doubles differ within 17 significant digits; more would be invented."""

DECIMAL_DIGITS = 15
"""Any decimal of so many digits survives being stored as a double: the double of 1e-12 lies below 1e-12."""

MANY_SIGMAS, HUGE_SIGMAS = 100.0, 1e6
"""From these on a number of sigmas has no decimals, and an exponent."""

LARGEST_PLAIN = 1e15
SMALLEST_PLAIN = 1e-4
FINEST_PLAIN, COARSEST_PLAIN = -6, 4
"""Powers of ten of the last digit between which a number is written without an exponent."""


def score_text(value: float, sigma: float | None = None) -> str:
    """A score to a tenth of the leading digit of sigma, the standard deviation of one run; None: not measured."""
    if not isfinite(value):
        return MISSING
    if not _is_measured(sigma):
        return _without_noise(value)
    return _rounded(value, place=_last_place(sigma), scale=sigma)


def score_with_error(value: float, error: float | None, sigma: float | None = None) -> str:
    """`1.808 ± 0.006`: to the same digit as a score, or finer where the error would read as zero."""
    if not _is_measured(error) or not isfinite(value):
        return score_text(value, sigma)
    place = _last_place(error) if not _is_measured(sigma) else min(_last_place(sigma), _exponent(error, digits=1))
    if value and _exponent(error, digits=1) < _exponent(value, digits=DECIMAL_DIGITS) - FLOAT_DIGITS + 1:
        return score_text(value, sigma)  # the error is less than the last digit of a double
    if _is_plain(value, place=place, scale=error):
        return f"{_plain(value, place)} ± {_plain(_round_whole(error), place)}"
    if _rounds_to_zero(value, place):
        return f"0 ± {_rounded(error, place=place, scale=error)}"
    exponent = _exponent(max(abs(value), error), digits=DECIMAL_DIGITS)
    decimals = max(0, exponent - place)
    return f"{_mantissa(value, exponent, decimals)} ± {_mantissa(error, exponent, decimals)}"


def sigma_text(sigma: float | None) -> str:
    """A standard deviation or standard error alone, to two significant digits."""
    if not _is_measured(sigma):
        return MISSING
    place = _last_place(sigma)
    return _rounded(_round_whole(sigma), place=place, scale=sigma)


def sigmas_text(value: float, *, decimals: int) -> str:
    """A gain in sigmas with its sign: `+1.9 σ`; decimals only where they are not drowned by what stands before them."""
    if not isfinite(value):
        return MISSING
    if abs(value) >= HUGE_SIGMAS:
        return f"{value / 10.0 ** (exponent := _exponent(value, digits=2)):+.1f}e{exponent} σ"
    shown = decimals if abs(value) < MANY_SIGMAS else 0
    return f"{round(value, shown) + 0.0:+.{shown}f} σ"  # adding zero takes the sign from a rounded -0.0


def tick_text(value: float, step: float) -> str:
    """A mark of an axis whose marks are `step` apart."""
    return _rounded(value, place=_exponent(step, digits=1), scale=step)


def hours_text(hours: float) -> str:
    """1.25, and 0.0061 where two decimals would leave nothing of it."""
    return f"{hours:.2f}" if hours >= 0.1 or hours == 0.0 else f"{hours:.2g}"


def seconds_text(seconds: float) -> str:
    """A short time to two digits: 1.2 s, 3.4 ms, 41 µs, 0.5 ns."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if float(f"{seconds / size:.1e}") >= 1.0:
            return f"{float(f'{seconds / size:.1e}'):g} {unit}"
    return f"{float(f'{seconds / 1e-9:.1e}'):g} ns"


def duration(seconds: float) -> str:
    """4 min 51 s, 2 h 05 min, 38 s."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def clock_text(moment: float) -> str:
    """14:03:10, by this machine's clock, of a moment in Unix time."""
    return datetime.fromtimestamp(moment).strftime("%H:%M:%S")


def moment_text(moment: float) -> str:
    """2026-11-29 14:03, by this machine's clock, of a moment in Unix time."""
    return datetime.fromtimestamp(moment).strftime("%Y-%m-%d %H:%M")


def _is_measured(sigma: float | None) -> TypeGuard[float]:
    return sigma is not None and 0.0 < sigma < inf


def _last_place(sigma: float) -> int:
    """Power of ten of the second digit of sigma."""
    return _exponent(sigma, digits=2) - 1


def _exponent(value: float, *, digits: int) -> int:
    """Power of ten of the first digit, once the value is rounded to so many digits."""
    return int(f"{value:.{digits - 1}e}".partition("e")[2])


def _without_noise(value: float) -> str:
    if value == int(value) and abs(value) < LARGEST_PLAIN:
        return str(int(value))
    exponent = _exponent(value, digits=DIGITS_WITHOUT_NOISE)
    if SMALLEST_PLAIN <= abs(value) < LARGEST_PLAIN:
        decimals = max(0, DIGITS_WITHOUT_NOISE - 1 - exponent)
        text = f"{value:.{decimals}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa = f"{value:.{DIGITS_WITHOUT_NOISE - 1}e}".partition("e")[0]
    return f"{mantissa.rstrip('0').rstrip('.')}e{exponent}"


def _rounded(value: float, *, place: int, scale: float) -> str:
    """The value to the digit of power `place`, with an exponent where plain digits would be hard to read."""
    if _is_plain(value, place=place, scale=scale):
        return _plain(value, place)
    if _rounds_to_zero(value, place):
        return "0"
    decimals = min(FLOAT_DIGITS - 1, max(0, _exponent(value, digits=DECIMAL_DIGITS) - place))
    mantissa, _, exponent = f"{value:.{decimals}e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def _is_plain(value: float, *, place: int, scale: float) -> bool:
    largest = max(abs(value), scale)
    fine_enough = place >= FINEST_PLAIN or largest >= SMALLEST_PLAIN
    return fine_enough and place <= COARSEST_PLAIN and largest < LARGEST_PLAIN


def _plain(value: float, place: int) -> str:
    """Decimals down to `place`; whole digits are never replaced by zeros, as 147730 for 147734 would look exact."""
    known = FLOAT_DIGITS - 1 - _exponent(value, digits=DECIMAL_DIGITS)
    return _without_minus_zero(f"{value:.{min(max(0, -place), max(0, known))}f}")


def _rounds_to_zero(value: float, place: int) -> bool:
    return value == 0.0 or _exponent(value, digits=1) < place


def _round_whole(error: float) -> float:
    """An error of 12,345 reads 12,000: its further digits say nothing."""
    place = _last_place(error)
    return round(error, -place) if place > 0 else error


def _mantissa(value: float, exponent: int, decimals: int) -> str:
    """The value in units of ten to the power `exponent`, which is written behind it."""
    # Ten to a power below -308 is no normal double, so the division goes by decimal text.
    digits, _, own = f"{value:.{FLOAT_DIGITS - 1}e}".partition("e")
    scaled = float(f"{digits}e{int(own) - exponent}")
    return f"{_without_minus_zero(f'{scaled:.{min(decimals, FLOAT_DIGITS - 1)}f}')}e{exponent}"


def _without_minus_zero(text: str) -> str:
    return text.removeprefix("-") if not text.strip("-0.") else text
