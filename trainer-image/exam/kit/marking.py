"""Turn the marks of an exam's items into scores, standard errors, and what the tests judge. Pure."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exam.examiner import Mark, Spent
from exam.kit.errors import DataError, Rejection

Floats = npt.NDArray[np.float64]

MOST_NUMBERS = 16
"""Numbers that an author may report, the metric among them: the result line has 3,000 bytes."""

LONGEST_NAME = 40
"""Characters of such a number's name."""

STALE_ERRORS = 5.0
"""Standard errors by which validation may be marked better than items that were never asked: one honest exam in 3.5
million is beyond them, and a campaign makes thousands."""

STALE_SHARE = 0.02
"""Standard deviations of one item's mark. A difference that is not above this always passes."""


def read_mark(mark: Mark, metric: str) -> dict[str, float]:
    """The numbers of one item by name.

    Raises DataError if their names are wrong, which no answer decides, and Rejection if one is no finite number.
    """
    numbers = dict(mark) if isinstance(mark, Mapping) else {metric: mark}
    if metric not in numbers:
        raise DataError(f"examiner: a mark has the numbers {', '.join(sorted(map(str, numbers)))} and no {metric}")
    if len(numbers) > MOST_NUMBERS or any(not 0 < len(str(name)) <= LONGEST_NAME for name in numbers):
        raise DataError(f"examiner: a mark has more than {MOST_NUMBERS} numbers, or a name over {LONGEST_NAME} letters")
    return {str(name): _read_number(value, str(name)) for name, value in numbers.items()}


def _read_number(value: object, name: str) -> float:
    """One number of a mark as a float. The rejection names no value, which could tell of the test data."""
    if isinstance(value, int | float | np.integer | np.floating | np.bool_):
        # An integer of an answer in JSON may have 4,300 digits, and float() of it raises OverflowError.
        with contextlib.suppress(OverflowError):
            number = float(value)
            if math.isfinite(number):
                return number
    raise Rejection("answer", f"an answer leads to a mark that is no finite number ({name})")


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and its standard error; 0 for a single value, which says nothing about it.

    Raises Rejection where the marks, though finite, are so large that their sum or their squares are not.
    """
    array = np.asarray(values, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        error = float(array.std(ddof=1)) / math.sqrt(len(array)) if len(array) > 1 else 0.0
        mean = float(array.mean())
    if not (math.isfinite(mean) and math.isfinite(error)):
        raise Rejection("answer", "its answers lead to marks too large to be added up")
    return mean, error


@dataclass(frozen=True, slots=True)
class Freshness:
    """The lead of validation over fresh items, in standard deviations of one item's mark."""

    difference: float
    """Above 0 where validation was marked better."""
    asked_error: float
    """Standard error of validation's part, which all exams share."""
    fresh_error: float

    @property
    def error(self) -> float:
        """Standard error of the difference."""
        return math.hypot(self.asked_error, self.fresh_error)


def compare_with_fresh(asked: Sequence[float], fresh: Sequence[float], direction: str) -> Freshness | None:
    """Compare the metric of validation and of fresh items; None where there are too few to tell."""
    if min(len(asked), len(fresh)) < 2:
        return None
    # Of all items together, as both are drawn alike: a small slice can have no scatter by chance, and who knows
    # validation by heart has none there.
    deviation = float(np.std([*asked, *fresh], ddof=1))
    if deviation == 0.0:
        return Freshness(0.0, 0.0, 0.0)
    sign = 1.0 if direction == "maximize" else -1.0
    difference = sign * float(np.mean(asked) - np.mean(fresh)) / deviation
    return Freshness(difference, 1 / math.sqrt(len(asked)), 1 / math.sqrt(len(fresh)))


def find_staleness(freshness: Freshness | None) -> Rejection | None:
    """The rejection of a candidate that knows what is asked in every exam; None for one that does not."""
    if freshness is None:
        return None
    if freshness.difference <= max(STALE_SHARE, STALE_ERRORS * freshness.error):
        return None
    return Rejection(
        "freshness",
        f"knows what every exam asks: it is {freshness.difference:.2f} ± {freshness.error:.2f} standard deviations "
        "better on that than on items that nobody was asked before",
    )


def find_difference(total: int, different: int, *, withheld: int, withheld_different: int) -> Rejection | None:
    """The rejection of a candidate whose later processes answered differently; None for one that did not.

    total, different: plain repeats. withheld, withheld_different: questions whose label was left out.
    """
    if withheld_different:
        return Rejection(
            "withheld",
            f"looks at the solution: {withheld_different} of {withheld} answers change when the question no longer "
            "holds it",
        )
    if different:
        return Rejection(
            "repeat",
            f"is no function of the question alone: a fresh process answered {different} of {total} questions "
            "differently (memory of earlier questions, chance without a fixed seed, time)",
        )
    return None


def latency_numbers(spent: Sequence[Spent]) -> dict[str, float]:
    """Times of the candidate's answers: `latency_ms`, `latency_p95_ms`, and `cpu_ms` where it was measured."""
    walls = 1000.0 * np.asarray([each.wall_seconds for each in spent] or [0.0])
    numbers = {"latency_ms": float(walls.mean()), "latency_p95_ms": float(np.percentile(walls, 95))}
    cpu = [each.cpu_seconds for each in spent if each.cpu_seconds is not None]
    return numbers | ({"cpu_ms": 1000.0 * float(np.mean(cpu))} if cpu else {})
