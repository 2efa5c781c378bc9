"""The ledger's arithmetic: from scores to a belief about an edit's effect and the incumbent's level, by Bayes' rule.

All numbers are in sigmas of one attempt, counted from the incumbent's level; positive is better. Line numbers are those
of the rule in docs/judging.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import erfc, exp, pi, sqrt

GAINS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 14.0)
"""Sizes of an effect, in sigma: dense near zero, where most edits are."""

EFFECTS = (*(-gain for gain in reversed(GAINS)), 0.0, *GAINS)
"""The effects that an edit may have, in sigma; each of the outermost two also stands for everything beyond it."""

PRIOR_EXPERIMENTS = 10.0
"""Weight of the prior, as a number of experiments (line 1): ten verdicts weigh as much."""

PRIOR_NOTHING, PRIOR_HARM, PRIOR_GAIN = 0.3, 0.6, 0.1
"""Shares of edits that do nothing, harm and gain, as believed before the first experiment (line 1)."""

TAIL_FREEDOM = 12.0
"""Degrees of freedom of the likelihood. With six a campaign gains some 6 % less where noise is normal, and as much
where every tenth run has four times the noise of the others (docs/judging.md)."""

PRIOR_SLOW = 0.3
"""Share of the gains that become rarer only with the square of their size, as the jumps of real campaigns do.

Under the exponential law alone a gain of five sigma in two runs was taken for luck by half, and so the level lagged.
"""


def make_prior() -> tuple[float, ...]:
    """Pseudo-count of each effect: harms are equally likely, larger gains rarer (line 1)."""
    tail = sum(exp(-gain) for gain in GAINS)
    harms = [PRIOR_EXPERIMENTS * (PRIOR_HARM / len(GAINS))] * len(GAINS)
    slow = sum((1.0 + gain) ** -2.0 for gain in GAINS)
    gains = []
    for gain in GAINS:
        share = (1.0 - PRIOR_SLOW) * exp(-gain) / tail + PRIOR_SLOW * (1.0 + gain) ** -2.0 / slow
        gains.append(PRIOR_EXPERIMENTS * PRIOR_GAIN * share)
    return (*harms, PRIOR_EXPERIMENTS * PRIOR_NOTHING, *gains)


def weigh_by_student(squared: float) -> float:
    """Likelihood of a squared deviation z^2: Student's t with TAIL_FREEDOM degrees of freedom, and an exponential tail.

    The tail begins at the inflection of the t. The t's own tail falls slower than the prior's, so an attempt that is
    far better would be explained as noise and discarded. With the exponential tail a better score never speaks against
    a candidate.
    """
    power = 0.5 * (TAIL_FREEDOM + 1.0)
    if squared <= TAIL_FREEDOM:
        return float((1.0 + squared / TAIL_FREEDOM) ** -power)
    beyond = sqrt(squared) - sqrt(TAIL_FREEDOM)
    return float(2.0**-power * exp(-power / sqrt(TAIL_FREEDOM) * beyond))


def weigh_by_gauss(squared: float) -> float:
    """Likelihood of a squared deviation z^2 under the normal distribution, for a sigma that is well known.

    The constant factor is left out: weights are normalised afterwards.
    """
    return exp(-0.5 * squared)


def value_attempt(gain: float, spread: float) -> float:
    """Expected profit, in sigma, of one more attempt, which may change the decision (line 4).

    This is the knowledge gradient: the mean of max(0, x) for a normal x with mean -|gain| and standard deviation
    `spread`.
    """
    if spread <= 0.0:
        return 0.0
    u = abs(gain) / spread
    normal_density = exp(-0.5 * u * u) / sqrt(2.0 * pi)
    normal_tail = 0.5 * erfc(u / sqrt(2.0))
    return spread * (normal_density - u * normal_tail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """The evidence of one candidate's scores, in sigmas from the incumbent's old level (lines 8 to 10)."""

    weights: tuple[float, ...]
    """Probability of each effect in EFFECTS; they sum to 1."""

    observed: float
    """Mean of the candidate's scores."""

    gain: float
    """Mean of the candidate's effect: its expected gain."""

    gain_variance: float

    gain_covariance: float
    """Covariance of the effect with the incumbent's old level: what is not the one's is the other's."""

    told_variance: float
    """Variance of the effect for whoever adds it to a level: one beyond the grid is known only by its own runs."""

    told_covariance: float
    """The same of its covariance with the old level."""

    spread: float
    """See Assessment.spread."""

    kept: float
    """Mean of the new level if the candidate is kept."""

    kept_variance: float

    base: float
    """Mean of the incumbent's level: the scores of a candidate also tell about the commit that it was built on."""

    base_variance: float


@dataclass(frozen=True, slots=True)
class Moments:
    """Means, variances and covariance of the effect and of the incumbent's level, over all effects."""

    gain: float
    gain_variance: float
    base: float
    base_variance: float
    covariance: float


def form_belief(
    effect_counts: Sequence[float],
    *,
    level_variance: float,
    observed: float,
    attempts: int,
    weigh: Callable[[float], float],
) -> Belief:
    """Weigh every effect by how well it explains `observed`, the mean of `attempts` scores in sigmas from the level."""
    # T in the rule: uncertainty of the level and noise of the mean together.
    total_variance = level_variance + 1.0 / attempts
    # The grid ends at +-14; an observation beyond it stretches the outermost effect to its own size. A gain between the
    # last two is not taken for more than it was seen to be.
    largest = observed if observed > EFFECTS[-2] else EFFECTS[-1]
    effects = (min(EFFECTS[0], observed), *EFFECTS[1:-1], largest)
    weights = _weigh_effects(effects, effect_counts, observed=observed, total_variance=total_variance, weigh=weigh)
    # t in the rule: the incumbent's level if the effect were the true one. The share of the unexplained rest that
    # belongs to the level is its share of the variance.
    level_share = level_variance / total_variance
    levels = [level_share * (observed - effect) for effect in effects]
    moments = _find_moments(weights, effects, levels)
    # A score beyond the grid is explained by an unknown effect: it says nothing about the incumbent's level.
    beyond = 0.0
    if observed > EFFECTS[-1]:
        beyond = weights[-1]
    elif observed < EFFECTS[0]:
        beyond = weights[0]
    within_variance = (1.0 - beyond) * level_variance / (attempts * total_variance)
    kept_variance = (
        moments.gain_variance + moments.base_variance + 2.0 * moments.covariance + within_variance + beyond / attempts
    )
    return Belief(
        weights=weights,
        observed=observed,
        gain=moments.gain,
        gain_variance=moments.gain_variance,
        gain_covariance=moments.covariance,
        told_variance=moments.gain_variance + beyond * (level_variance + 1.0 / attempts),
        told_covariance=moments.covariance - beyond * level_variance,
        spread=abs(moments.gain_variance + moments.covariance) / sqrt(kept_variance + 1.0),
        kept=moments.gain + moments.base,
        kept_variance=kept_variance,
        base=moments.base,
        base_variance=moments.base_variance + within_variance + beyond * level_variance,
    )


def _weigh_effects(
    effects: Sequence[float],
    effect_counts: Sequence[float],
    *,
    observed: float,
    total_variance: float,
    weigh: Callable[[float], float],
) -> tuple[float, ...]:
    """Probability of each effect by Bayes' rule: its prior count times the likelihood of the observation (line 8)."""
    products = []
    for effect, count in zip(effects, effect_counts, strict=True):
        miss = observed - effect
        products.append(count * weigh(miss * miss / total_variance))
    scale = 1.0 / sum(products)
    return tuple(product * scale for product in products)


def _find_moments(weights: Sequence[float], effects: Sequence[float], levels: Sequence[float]) -> Moments:
    """Weighted moments of the effects and of the level that each effect implies (lines 9 and 10)."""
    gain = base = 0.0
    for weight, effect, level in zip(weights, effects, levels, strict=True):
        gain += weight * effect
        base += weight * level
    gain_variance = base_variance = covariance = 0.0
    for weight, effect, level in zip(weights, effects, levels, strict=True):
        effect_off = effect - gain
        level_off = level - base
        gain_variance += weight * effect_off * effect_off
        base_variance += weight * level_off * level_off
        covariance += weight * effect_off * level_off
    return Moments(gain, gain_variance, base, base_variance, covariance)
