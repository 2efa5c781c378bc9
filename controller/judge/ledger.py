"""The ledger: every run, kept or discarded, is evidence about the incumbent and about what edits are worth.

All arithmetic is in sigmas of one run, counted from the incumbent's level, positive is better. Line numbers
are those of the rule in docs/judging.md. Refuses to judge without a measured sigma.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import erfc, exp, pi, sqrt

from controller.domain import Verdict
from controller.errors import TaskError
from controller.judge.interface import Assessment, Candidate, Decision, Judge, Kept, State, first_state, mean, with_runs

GAINS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 14.0)
EFFECTS = (*(-gain for gain in reversed(GAINS)), 0.0, *GAINS)
"""The effects that an edit may have; the outermost two stand for everything beyond them as well."""

PRIOR_RUNS = 10.0
"""How many experiments the prior counts for (line 1)."""

TIE = 0.1
"""An expected gain nearer to zero than this is noise, and a shorter file wins (line 13)."""

SURE = 8
"""Degrees of freedom from which sigma is believed; before, nothing is kept on one run.

Three baseline runs make sigma less than half of what it is in 22 campaigns of 100. Then luck looks like gain, is
kept without a rerun, and no replicate ever corrects sigma.
"""


def prior() -> tuple[float, ...]:
    """Pseudo-counts of the effects: 30 % do nothing, 60 % harm, 10 % gain with an exponential tail (line 1)."""
    tail = sum(exp(-gain) for gain in GAINS)
    harms = [0.6 / len(GAINS)] * len(GAINS)
    return tuple(PRIOR_RUNS * share for share in (*harms, 0.3, *(0.1 * exp(-gain) / tail for gain in GAINS)))


def student(squared: float) -> float:
    """Student's t with 6 degrees of freedom out to its inflection at z^2 = 6, then an exponential tail.

    The t's own tail falls slower than the prior's: a run 20 sigma better would be explained away as noise
    and discarded. With the straight tail a better score is never a reason against a candidate.
    """
    if squared <= 6.0:
        return float((1.0 + squared / 6.0) ** -3.5)
    return float(2.0**-3.5 * exp(-3.5 / sqrt(6.0) * (sqrt(squared) - sqrt(6.0))))


def gauss(squared: float) -> float:
    """The normal density without its constant, for a sigma that is well known."""
    return exp(-0.5 * squared)


def worth_of_a_run(gain: float, spread: float) -> float:
    """Expected profit of perhaps changing one's mind after one more run: the knowledge gradient (line 4)."""
    if spread <= 0.0:
        return 0.0
    u = abs(gain) / spread
    return spread * (exp(-0.5 * u * u) / sqrt(2.0 * pi) - u * 0.5 * erfc(u / sqrt(2.0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """What the scores of one candidate say, in sigmas from the incumbent's old level (lines 8 to 10).

    observed: its mean score. gain, gain_variance: of its effect. spread: see Assessment.
    kept, kept_variance: of the level if it is kept; base, base_variance: of the incumbent's own level.
    """

    weights: tuple[float, ...]
    observed: float
    gain: float
    gain_variance: float
    spread: float
    kept: float
    kept_variance: float
    base: float
    base_variance: float


def believe(
    worth: Sequence[float], *, level_variance: float, observed: float, runs: int, density: Callable[[float], float]
) -> Belief:
    """Weigh every effect by how well it explains `observed`, the mean of `runs` scores in sigmas from the level."""
    total = level_variance + 1.0 / runs
    pull = level_variance / total
    effects = (min(EFFECTS[0], observed), *EFFECTS[1:-1], max(EFFECTS[-1], observed))
    misses = [observed - effect for effect in effects]
    raw = [count * density(miss * miss / total) for count, miss in zip(worth, misses, strict=True)]
    scale = 1.0 / sum(raw)
    weights = tuple(weight * scale for weight in raw)
    bases = [pull * miss for miss in misses]
    gain = sum(map(float.__mul__, weights, effects))
    base = sum(map(float.__mul__, weights, bases))
    gain_variance = base_variance = covariance = 0.0
    for weight, effect, level in zip(weights, effects, bases, strict=True):
        off, low = effect - gain, level - base
        gain_variance += weight * off * off
        base_variance += weight * low * low
        covariance += weight * off * low
    # A score beyond the grid is explained by an unknown effect: it says nothing about the incumbent's level.
    beyond = weights[-1] * (observed > EFFECTS[-1]) + weights[0] * (observed < EFFECTS[0])
    within = (1.0 - beyond) * level_variance / (runs * total)
    kept_variance = gain_variance + base_variance + 2.0 * covariance + within + beyond / runs
    return Belief(
        weights=weights,
        observed=observed,
        gain=gain,
        gain_variance=gain_variance,
        spread=abs(gain_variance + covariance) / sqrt(kept_variance + 1.0),
        kept=gain + base,
        kept_variance=kept_variance,
        base=base,
        base_variance=base_variance + within + beyond * level_variance,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger(Judge):
    """Buys evidence while it is worth more than the next new proposal; keeps when the expected gain is positive.

    density: how far scores stray, as a function of z^2. price_factor: `student` 3, `gauss` 1.5 (line 3).
    """

    sign: float
    max_runs: int
    density: Callable[[float], float] = student
    price_factor: float = 3.0

    def begin(self, baseline: Sequence[float]) -> State:
        """Line 2. Raises TaskError on fewer than two scored baseline runs: there would be no sigma."""
        if len(baseline) < 2:
            raise TaskError(
                f"the baseline has {len(baseline)} scored runs and the ledger needs 2 to know the noise; "
                "make the task's own code train, or set judge.policy to greedy"
            )
        state = first_state(baseline, level=mean(baseline), level_variance=1.0 / len(baseline))
        return replace(state, worth=prior())

    def assess(self, state: State, candidate: Candidate, *, may_rerun: bool = True) -> Assessment:
        """Lines 8 to 14 without remembering anything."""
        if not candidate.scores:
            return Assessment(decision=Decision.DISCARD, reason="nothing was scored", level=state.level)
        belief = self._believe(state, candidate)
        runs = len(candidate.scores)
        price, worth = self._price(state), worth_of_a_run(belief.gain, belief.spread)
        affordable = may_rerun and runs < self.max_runs and not state.exact
        decision, reason = _decide(state, candidate, belief, worth=worth, price=price, affordable=affordable)
        moved = {Decision.RERUN: 0.0, Decision.KEEP: belief.kept, Decision.DISCARD: 0.5 * belief.base}[decision]
        return Assessment(
            decision=decision,
            reason=reason,
            expected_gain=belief.gain,
            spread=belief.spread,
            price=price,
            level=self._level(state, moved),
        )

    def conclude(self, state: State, candidate: Candidate, verdict: Verdict) -> State:
        """Lines 12 to 14; sigma learns from the replicates last, so that both see the same sigma."""
        trusted = verdict in (Verdict.KEEP, Verdict.DISCARD)
        counted = with_runs(state, candidate.scores, trusted=trusted)
        if not trusted or not candidate.scores:
            return counted
        belief = self._believe(state, candidate)
        worth = tuple(map(float.__add__, state.worth, belief.weights))
        if verdict is Verdict.DISCARD:
            return replace(
                counted,
                worth=worth,
                level=self._level(state, 0.5 * belief.base),
                level_variance=0.5 * (state.level_variance + belief.base_variance),
            )
        gain = belief.gain * state.sigma
        return replace(
            counted,
            worth=worth,
            level=self._level(state, belief.kept),
            level_variance=belief.kept_variance,
            gain=state.gain + gain,
            kept=(*state.kept, Kept(gain=gain, variance=belief.gain_variance * state.sigma**2)),
        )

    def doubts(self, state: State) -> tuple[int, ...]:  # noqa: ARG002 - the place for lines 5 and 6
        """Nothing yet; see Judge."""
        return ()

    def _believe(self, state: State, candidate: Candidate) -> Belief:
        ahead = self.sign * (mean(candidate.scores) - state.level) + candidate.gain_since
        return believe(
            state.worth,
            level_variance=state.level_variance,
            observed=ahead / state.sigma,
            runs=len(candidate.scores),
            density=self.density,
        )

    def _level(self, state: State, moved: float) -> float:
        return state.level + self.sign * moved * state.sigma

    def _price(self, state: State) -> float:
        """Line 3: what a run normally earns, in sigmas."""
        return self.price_factor * max(1.0 + state.gain / state.sigma, 0.2) / (30.0 + state.runs)


def _decide(
    state: State, candidate: Candidate, belief: Belief, *, worth: float, price: float, affordable: bool
) -> tuple[Decision, str]:
    """Lines 11 and 13, with the sentence that tells people why."""
    runs = len(candidate.scores)
    known = f"expected gain {round(belief.gain, 2) + 0.0:+.2f} σ after {runs} run{'s' if runs > 1 else ''}"
    simpler = candidate.line_change < 0 and _ties(state, belief)
    good = belief.gain > 0.0 or simpler
    if affordable and worth > price:
        return Decision.RERUN, f"{known}: a rerun is worth {worth:.2f} σ, more than its price of {price:.2f} σ"
    if affordable and good and runs == 1 and state.freedom < SURE:
        return Decision.RERUN, f"{known}: too few repeated runs tell sigma yet, so a rerun confirms before the keep"
    if belief.gain <= 0.0 and simpler:
        return Decision.KEEP, f"{known}: no worse within noise, and {-candidate.line_change} lines shorter"
    closing = f"a rerun is worth {worth:.2f} σ at a price of {price:.2f} σ" if affordable else "no further run"
    return (Decision.KEEP if good else Decision.DISCARD), f"{known}; {closing}"


def _ties(state: State, belief: Belief) -> bool:
    """Without noise an equal score is a tie as it stands; with noise the expected gain must be next to nothing."""
    return abs(belief.gain) < TIE or (state.exact and abs(belief.observed) < 1.0)
