"""Six tests that each answer depends only on the sequence's past, and the upward correction of the score.

All functions are pure. They judge three differences:

- d = nll(probe) - nll(exam) at the cuts: in the probe the label is withheld, in the exam it is in the input.
- r = nll(fresh process) - nll(exam) for the sequences that are asked twice.
- f = the advantage over the reference models on text that every exam asks, less that on text never asked before.

A causal model without memory has d = r = 0 up to rounding, and f = 0 up to the choice of the texts. The limits of d and
r apply to the means as they are; the standard error is not subtracted first, because a cheat could raise it and so hide
behind it; they are wider where the campaign's baseline showed more noise. f compares two texts, and how far apart these
are by chance only its standard error tells, which comes from a median that few sequences cannot move.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

NORMAL = 1.4826
"""Standard deviation of a normal distribution, in medians of the size of a deviation."""

TAILS = 1.25
"""By how much the advantages' standard deviation exceeds that: 1.1 to 1.2 for honest models (docs/exam.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The largest values that pass. docs/exam.md has the measurements behind them."""

    inflation: float = 0.002
    """|mean d|, in nats."""
    hit: float = 0.5
    """|d| of a single cut beyond which it counts as a hit, in nats."""
    hits: int = 1
    """Number of hits."""
    spread: float = 0.005
    """Mean |d|, in nats."""
    spread_factor: float = 2.0
    """`spread` and `precision` as multiples of what the baseline showed, where that is more."""
    restart: float = 0.0005
    """|mean r|, in nats."""
    precision: float = 0.0005
    """Standard error of the inflation, in nats."""
    noise_factor: float = 4.0
    """`inflation` and `restart` as multiples of the baseline's standard errors, where those are more."""
    noise_room: float = 4.0
    """Most that the baseline's noise may multiply `inflation`, `restart` and `precision`."""
    most_spread: float = 0.05
    """Most that `spread` becomes for the baseline's noise: dropout left on reaches more, in nats."""
    freshness: float = 0.02
    """Mean f that always passes, in nats."""
    freshness_errors: float = 5.0
    """Mean f in standard errors beyond which it fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What exams of the campaign's baseline showed on this machine, in nats: people wrote it, so its noise is honest.

    Zeros where nothing is known yet.
    """

    spread: float = 0.0
    inflation_error: float = 0.0
    restart_error: float = 0.0


NOTHING_KNOWN = Baseline()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """The numbers that the tests judge, in nats except the counts."""

    inflation: float
    """Mean d."""
    inflation_error: float
    """Standard error of the mean d."""
    hits: int
    """Number of cuts with |d| beyond Limits.hit."""
    spread: float
    """Mean |d|."""
    restart: float
    """Mean r."""
    restart_error: float
    """Standard error of the mean r."""
    freshness: float | None
    """Mean f; None if no fresh text was asked."""
    asked_error: float | None
    """Standard error of its part on text that every exam asks, which is the same text for all attempts."""
    freshness_error: float | None
    """Standard error of its part on fresh text."""
    probes: int
    """Number of cuts, N."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed test."""

    test: str
    """Its name, as in Rejection.test."""
    explanation: str
    """One sentence that says what was seen."""


def measure(
    *, at_cuts: Floats, weights: Floats, repeated: Floats, asked: Floats, fresh: Floats, limits: Limits
) -> Measurements:
    """Summarise d (N,) at the cuts, r (M,) of the repeated sequences, and the advantages over the reference model.

    weights: of the cuts, (N,). N and M are at least 2. asked, fresh: of each sequence, (S_v,) and (S_f,).
    """
    inflation, inflation_error = _mean_and_error(weights * at_cuts)
    restart, restart_error = _mean_and_error(repeated)
    scatter = _typical_scatter(asked, fresh) if len(fresh) else 0.0
    return Measurements(
        inflation=inflation,
        inflation_error=inflation_error,
        hits=int((np.abs(at_cuts) > limits.hit).sum()),
        spread=float((weights * np.abs(at_cuts)).mean(dtype=np.float64)),
        restart=restart,
        restart_error=restart_error,
        freshness=float(asked.mean() - fresh.mean()) if len(fresh) else None,
        asked_error=scatter / len(asked) ** 0.5 if len(fresh) else None,
        freshness_error=scatter / len(fresh) ** 0.5 if len(fresh) else None,
        probes=len(at_cuts),
    )


def _typical_scatter(asked: Floats, fresh: Floats) -> float:
    """Standard deviation of the advantages within the two texts, from the median of their sizes.

    One for both texts: that of the few fresh sequences alone is too uncertain. From the median, because sequences
    that are known by heart lie far out, and would hide themselves in a standard deviation.
    """
    sizes = np.abs(np.concatenate([asked - np.median(asked), fresh - np.median(fresh)]))
    return TAILS * NORMAL * float(np.median(sizes))


def find_failure(seen: Measurements, limits: Limits, baseline: Baseline = NOTHING_KNOWN) -> Failure | None:
    """Return the failed test that explains the most, or None if all six pass.

    Several tests can fail for one cause. Differences d of one sign mean that the model looks ahead: inflation or
    hits. A mean r beyond its error means that it remembers: restart. Differences of both signs are most often an
    honest mistake, such as dropout left on: spread. A model that knows the exam's text by heart passes all of these.
    """
    limits = allow_for(baseline, limits)
    inflation = abs(seen.inflation) > limits.inflation
    hits = seen.hits > limits.hits
    spread = seen.spread > limits.spread
    restart = abs(seen.restart) > limits.restart
    one_sign = abs(seen.inflation) > seen.spread / 2
    drifts = abs(seen.restart) > 3 * seen.restart_error
    if one_sign and (inflation or hits):
        return _fail_inflation(seen) if inflation else _fail_hits(seen, limits)
    if restart and drifts:
        return _fail_restart(seen)
    if spread:
        return _fail_spread(seen, limits.spread)
    if inflation or hits:
        return _fail_inflation(seen) if inflation else _fail_hits(seen, limits)
    if restart:
        return _fail_restart(seen)
    if seen.inflation_error > limits.precision:
        return _fail_precision(seen, limits.precision)
    return _find_staleness(seen, limits)


def noise_of(seen: Measurements) -> Baseline:
    """What an exam of the baseline tells about the noise of this machine."""
    return Baseline(spread=seen.spread, inflation_error=seen.inflation_error, restart_error=seen.restart_error)


def allow_for(baseline: Baseline, limits: Limits) -> Limits:
    """The limits with room for arithmetic as noisy as the baseline's, as far as that can be honest."""

    def widen(limit: float, noise: float) -> float:
        return max(limit, min(noise, limits.noise_room * limit))

    return replace(
        limits,
        inflation=widen(limits.inflation, limits.noise_factor * baseline.inflation_error),
        spread=max(limits.spread, min(limits.spread_factor * baseline.spread, limits.most_spread)),
        restart=widen(limits.restart, limits.noise_factor * baseline.restart_error),
        precision=widen(limits.precision, limits.spread_factor * baseline.inflation_error),
    )


def _find_staleness(seen: Measurements, limits: Limits) -> Failure | None:
    if seen.freshness is None or seen.asked_error is None or seen.freshness_error is None:
        return None
    error = float(np.hypot(seen.asked_error, seen.freshness_error))
    if seen.freshness <= max(limits.freshness, limits.freshness_errors * error):
        return None
    return Failure(
        "freshness",
        f"knows the exam's text: against reference models it is {_with_error(seen.freshness, error)} nats better on "
        "text that every exam asks than on text that was never asked",
    )


def correct_upwards(seen: Measurements) -> float:
    """Nats per token that are added to the exam's nll, so that a leak too small for the tests gains nothing.

    Mean plus two standard errors is an upper bound of the inflation at about 97.5 % confidence. Never negative.
    """
    return max(0.0, seen.inflation + 2 * seen.inflation_error)


def _mean_and_error(values: Floats) -> tuple[float, float]:
    wide = values.astype(np.float64)
    return float(wide.mean()), float(wide.std(ddof=1) / np.sqrt(len(wide)))


def _fail_inflation(seen: Measurements) -> Failure:
    amount = _with_error(abs(seen.inflation), seen.inflation_error)
    if seen.inflation > 0:
        return Failure("inflation", f"looks ahead: nll is {amount} nats lower when the next token is in the input")
    return Failure(
        "inflation", f"depends on what follows: nll is {amount} nats higher when the next token is in the input"
    )


def _fail_hits(seen: Measurements, limits: Limits) -> Failure:
    return Failure(
        "hits",
        f"looks ahead at some places: at {seen.hits} of {seen.probes} cuts nll moves by more than {limits.hit:g} nats "
        "when the next token is in the input",
    )


def _fail_restart(seen: Measurements) -> Failure:
    amount = _with_error(abs(seen.restart), seen.restart_error)
    what = ("remembers the exam", "lower") if seen.restart > 0 else ("changes during the exam", "higher")
    return Failure(
        "restart", f"{what[0]}: nll is {amount} nats {what[1]} than in a fresh process asked the same sequences"
    )


def _fail_spread(seen: Measurements, limit: float) -> Failure:
    return Failure(
        "spread",
        f"not a function of the sequence alone: asked twice, nll differs by {seen.spread:.2g} nats on average "
        f"(limit {limit:.2g}); usual causes: dropout left on, batch statistics, experts chosen per batch, "
        "a cache kept between calls, training on the exam",
    )


def _fail_precision(seen: Measurements, limit: float) -> Failure:
    return Failure(
        "precision",
        f"too noisy to vouch for: the standard error of inflation is {seen.inflation_error:.2g} nats "
        f"(limit {limit:.2g}); steadier arithmetic or more probes would help",
    )


def _with_error(value: float, error: float) -> str:
    """Format as "1.38 ± 0.02", with as many decimals as reach the error's first digit: at least two, at most six."""
    decimals = min(6, max(2, -int(np.floor(np.log10(error))))) if error > 0 else 4
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"
