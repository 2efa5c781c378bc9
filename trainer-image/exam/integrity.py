"""Five tests that an answer was a function of the sequence's past alone, and the score's upward correction.

Pure. d = nll(probe) - nll(exam) at the cuts, the label withheld and present; r = nll(fresh process) -
nll(exam) for sequences asked twice. A causal, stateless model has zero of both but for rounding. The
standard error is never subtracted: a cheat raises it itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Largest values that pass, in nats; measured in docs/exam.md."""

    inflation: float = 0.002
    hit: float = 0.5
    hits: int = 1
    spread: float = 0.005
    spread_factor: float = 2.0
    restart: float = 0.0005
    precision: float = 0.0005


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """What the tests judge. Means and standard errors in nats; hits counts cuts beyond Limits.hit."""

    inflation: float
    inflation_error: float
    hits: int
    spread: float
    restart: float
    restart_error: float
    probes: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed test and the sentence that says what was seen."""

    test: str
    explanation: str


def measure(*, at_cuts: Floats, repeated: Floats, limits: Limits) -> Measurements:
    """Summarise d (N,) at the cuts and r (M,), the mean of each repeated sequence; N and M at least 2."""
    inflation, inflation_error = _mean_and_error(at_cuts)
    restart, restart_error = _mean_and_error(repeated)
    return Measurements(
        inflation=inflation,
        inflation_error=inflation_error,
        hits=int((np.abs(at_cuts) > limits.hit).sum()),
        spread=float(np.abs(at_cuts).mean(dtype=np.float64)),
        restart=restart,
        restart_error=restart_error,
        probes=len(at_cuts),
    )


def find_failure(seen: Measurements, limits: Limits, *, baseline_spread: float = 0.0) -> Failure | None:
    """The failed test that explains most, or None when all five pass.

    Differences that point one way say "looks ahead"; drift beyond its error says "remembers"; differences
    that point both ways are most often an honest mistake, and spread says so.
    baseline_spread: mean |d| of the campaign's baseline, for models that are noisy by their arithmetic.
    """
    spread_limit = max(limits.spread, limits.spread_factor * baseline_spread)
    inflation, restart = abs(seen.inflation) > limits.inflation, abs(seen.restart) > limits.restart
    hits, spread = seen.hits > limits.hits, seen.spread > spread_limit
    one_way = abs(seen.inflation) > seen.spread / 2
    drifts = abs(seen.restart) > 3 * seen.restart_error
    if one_way and (inflation or hits):
        return _inflation(seen) if inflation else _hits(seen, limits)
    if restart and drifts:
        return _restart(seen)
    if spread:
        return _spread(seen, spread_limit)
    if inflation or hits:
        return _inflation(seen) if inflation else _hits(seen, limits)
    if restart:
        return _restart(seen)
    return _precision(seen, limits) if seen.inflation_error > limits.precision else None


def correction(seen: Measurements) -> float:
    """Nats per token to add to the exam's nll for what the tests leave open; never negative."""
    return max(0.0, seen.inflation + 2 * seen.inflation_error)


def _mean_and_error(values: Floats) -> tuple[float, float]:
    wide = values.astype(np.float64)
    return float(wide.mean()), float(wide.std(ddof=1) / np.sqrt(len(wide)))


def _inflation(seen: Measurements) -> Failure:
    amount = _with_error(abs(seen.inflation), seen.inflation_error)
    if seen.inflation > 0:
        return Failure("inflation", f"looks ahead: nll is {amount} nats lower when the next token is in the input")
    return Failure(
        "inflation", f"depends on what follows: nll is {amount} nats higher when the next token is in the input"
    )


def _hits(seen: Measurements, limits: Limits) -> Failure:
    return Failure(
        "hits",
        f"looks ahead at some places: at {seen.hits} of {seen.probes} cuts nll moves by more than {limits.hit:g} nats "
        "when the next token is in the input",
    )


def _restart(seen: Measurements) -> Failure:
    amount = _with_error(abs(seen.restart), seen.restart_error)
    what = ("remembers the exam", "lower") if seen.restart > 0 else ("changes during the exam", "higher")
    return Failure(
        "restart", f"{what[0]}: nll is {amount} nats {what[1]} than in a fresh process asked the same sequences"
    )


def _spread(seen: Measurements, limit: float) -> Failure:
    return Failure(
        "spread",
        f"not a function of the sequence alone: asked twice, nll differs by {seen.spread:.2g} nats on average "
        f"(limit {limit:.2g}); usual causes: dropout left on, batch statistics, experts chosen per batch, "
        "a cache kept between calls, training on the exam",
    )


def _precision(seen: Measurements, limits: Limits) -> Failure:
    return Failure(
        "precision",
        f"too noisy to vouch for: the standard error of inflation is {seen.inflation_error:.2g} nats "
        f"(limit {limits.precision:.2g}); steadier arithmetic or more probes would help",
    )


def _with_error(value: float, error: float) -> str:
    """As "1.38 ± 0.02": the value to the place of the error's first digit, within two to six decimals."""
    decimals = min(6, max(2, -int(np.floor(np.log10(error))))) if error > 0 else 4
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"
