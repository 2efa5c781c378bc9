"""The ledger: every attempt, kept or discarded, is evidence about the incumbent and about the worth of edits.

A candidate is run again while one more attempt is worth more than the next new proposal, and kept if the expected gain
is positive. Line numbers are those of the rule in docs/judging.md. The ledger needs a measured sigma, so it refuses a
baseline of one score.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from controller.domain import Verdict
from controller.errors import TaskError
from controller.judge.belief import Belief, form_belief, make_prior, value_attempt, weigh_by_student
from controller.judge.doubt import TIE, assess_without, conclude_without, find_doubtful
from controller.judge.interface import (
    BELIEVED_FREEDOM,
    Assessment,
    Candidate,
    Decision,
    Judge,
    State,
    begin_state,
    count_attempts,
)
from controller.judge.kept_edits import MOST_EDITS, KeptEdit, follow_level
from controller.judge.levels import Levels
from controller.text.figures import score_text, sigmas_text

HUGE_GAIN = 5.0
"""Sigmas. A larger gain is not believed while sigma rests on fewer than SOME_FREEDOM repeated runs."""

SOME_FREEDOM = 5
"""Degrees of freedom from which a huge gain is believed. With three, t is above 5 in one case of 130 by chance."""

JUMP = 2.0
"""Sigmas. After a larger gain the level has to follow its measurements."""

MOST_LAG = 1.4
"""Sigmas that the level may lag behind the runs of a jump. The next edits are credited with what it lags."""

SURE_OF_EXACT = 4
"""Equal repeats from which a keep needs only two equal runs. The first keep has three."""

PRICE_FACTOR = 3.0
"""Price of an attempt in multiples of what one normally earns (line 3). Chosen by simulation (docs/judging.md)."""

DOUBT_FACTOR = 2.0
"""Times the price that a run without a kept edit must be worth (line 5), as its answer only mends what is there."""

STALE_SHARE = 0.3
"""Runs that an undone edit costs for each edit that runs meanwhile: some of these are good, stand on an old incumbent
then, and must be tried again on the new one."""

LEAST_EARNING = 0.2
"""Sigmas. Floor under one sigma plus the kept gain: recorded keeps of harmful edits can make it negative (line 3)."""

PRICE_ATTEMPTS = 30.0
"""Attempts added to those so far, so that what a campaign earned is spread over at least this many (line 3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger(Judge):
    """Runs a candidate again while that is worth its price; keeps it if the expected gain is positive."""

    sign: float
    """-1 if a lower score is better, else 1."""

    max_attempts: int
    """Most attempts of one experiment."""

    weigh: Callable[[float], float] = weigh_by_student
    """Likelihood of a squared deviation z^2."""

    price_factor: float = PRICE_FACTOR

    line_price: float = 0.0
    """Gain in sigma that an added line must pay; a removed line pays it back."""

    doubts: bool = True
    """True if kept edits that later runs make doubtful are left out to test them (lines 5 and 6)."""

    @property
    def leaves_out(self) -> bool:
        """True unless the setting says no: the ledger knows what each kept edit is believed to be worth."""
        return self.doubts

    @property
    def keeps_merged(self) -> bool:
        """True, because estimates of kept gains add up: what was kept since an edit ran counts by its expected gain."""
        return True

    def begin(self, baseline: Sequence[float]) -> State:
        """Line 2. Raises TaskError on fewer than two baseline scores: one score gives no sigma."""
        if len(baseline) < 2:
            raise TaskError(
                f"the baseline has {len(baseline)} scored runs and the ledger needs 2 to know the noise; "
                "make the task's own code train, or set judge.policy to greedy"
            )
        state = begin_state(baseline, level=fmean(baseline), level_variance=1.0 / len(baseline))
        return replace(state, effect_counts=make_prior())

    def find_doubtful(self, state: State, numbers: Collection[int], *, running: int) -> int | None:
        """Line 5. Without noise every keep has proved itself, and nothing is doubted."""
        if not self.doubts or state.is_exact:
            return None
        price = (DOUBT_FACTOR + STALE_SHARE * running) * self._price_attempt(state)
        return find_doubtful(state, numbers, price=price, line_price=self.line_price)

    def assess(self, state: State, candidate: Candidate, *, may_rerun: bool = True) -> Assessment:
        """Lines 8 to 14, without changing the state."""
        if not candidate.scores:
            return Assessment(decision=Decision.DISCARD, reason="nothing was scored", level=state.level)
        affordable = may_rerun and len(candidate.scores) < self.max_attempts
        if candidate.doubts is not None:
            return assess_without(
                state,
                candidate,
                sign=self.sign,
                price=DOUBT_FACTOR * self._price_attempt(count_attempts(state, candidate.scores, trusted=True)),
                line_price=self.line_price,
                affordable=affordable,
            )
        belief, pooled = self._form_belief(state, candidate)
        price = self._price_attempt(pooled)
        replaced = pooled.in_sigmas(self._find_replaced(state, candidate))
        needed = self.line_price * candidate.line_change
        worth = 0.0 if pooled.is_exact else value_attempt(belief.gain - replaced - needed, belief.spread)
        decision, reason = _decide(
            pooled,
            candidate,
            belief,
            needed=needed,
            replaced=replaced,
            worth=worth,
            price=price,
            affordable=affordable,
        )
        level = state.level
        if decision is not Decision.RERUN:
            kept = decision is Decision.KEEP
            seen = self._see(state, candidate, belief, sigma=pooled.sigma, kept=kept)
            gain = (belief.gain - replaced) * pooled.sigma if kept else 0.0
            level = seen.means[-1] + self.sign * gain
        return Assessment(
            decision=decision,
            reason=reason,
            # Where repeated runs are equal there is no sigma to count in.
            expected_gain=None if pooled.is_exact else belief.gain,
            spread=None if pooled.is_exact else belief.spread,
            price=None if pooled.is_exact else price,
            level=level,
        )

    def conclude(self, state: State, candidate: Candidate, verdict: Verdict) -> State:
        """Lines 12 to 14. The belief uses the sigma with these scores pooled in, as `assess` did."""
        if verdict not in (Verdict.KEEP, Verdict.DISCARD) or not candidate.scores:
            return count_attempts(state, candidate.scores, trusted=False)
        if candidate.doubts is not None:
            return conclude_without(state, candidate, verdict, sign=self.sign)
        belief, pooled = self._form_belief(state, candidate)
        effect_counts = []
        for count, weight in zip(state.effect_counts, belief.weights, strict=True):
            effect_counts.append(count + weight)
        learned = replace(pooled, effect_counts=tuple(effect_counts))
        kept = verdict is Verdict.KEEP
        seen = self._see(state, candidate, belief, sigma=pooled.sigma, kept=kept)
        others = follow_level(
            state.kept,
            moved=self.sign * (seen.means[-1] - state.level) / pooled.sigma,
            sigma=pooled.sigma,
            before=state.level_variance,
            after=seen.covariances[-1][-1],
        )
        if not kept:
            return _stand_on(replace(learned, kept=others), seen)
        # What the effect shares with the level of its base, it shares with the other levels through that one.
        place = _find_place(seen, candidate)
        slopes = [row[place] / seen.covariances[place][place] for row in seen.covariances]
        replaced = self._find_replaced(state, candidate)
        moved = belief.gain * pooled.sigma - replaced
        stood = seen.covariances[-1]
        shared = [old + slope * belief.told_covariance for old, slope in zip(stood, slopes, strict=True)]
        variance = stood[-1] + belief.told_variance + 2.0 * slopes[-1] * belief.told_covariance
        moved_on = seen.move_on(
            candidate.leaves, mean=seen.means[-1] + self.sign * moved, variance=variance, shared=shared
        )
        # How much of the old level is left in the new one decides what that tells later about the other edits.
        carried = shared[-1] / stood[-1]
        others = tuple(replace(edit, covariance=edit.covariance * carried) for edit in others)
        edit = _remember(candidate, belief, sigma=pooled.sigma, slope=slopes[-1])
        return _stand_on(replace(learned, kept=(*others[-MOST_EDITS + 1 :], edit), gain=state.gain + moved), moved_on)

    def _see(self, state: State, candidate: Candidate, belief: Belief, *, sigma: float, kept: bool) -> Levels:
        """The levels after this evidence, before the branch moves. After a discard they move halfway (line 14)."""
        levels = state.levels
        place, share = _find_place(levels, candidate), 1.0 if kept else 0.5
        before = levels.covariances[place][place]
        return levels.observe(
            place,
            moved=self.sign * share * belief.base * sigma,
            variance=before + share * (belief.base_variance - before),
        )

    def _find_replaced(self, state: State, candidate: Candidate) -> float:
        """Gain that is lost with the edits that a program replaces, in the metric's unit; 0 if it replaces none.

        It is what the incumbent is better than the base, without what is carried over.
        """
        levels = state.levels
        if not candidate.replaces or not levels.follows(candidate.base):
            return 0.0
        return self.sign * (levels.means[-1] - levels.means[levels.find(candidate.base)]) - candidate.gain_since

    def _form_belief(self, state: State, candidate: Candidate) -> tuple[Belief, State]:
        """The belief, and the state whose sigma it counts in: the candidate's own repeats tell about sigma too."""
        pooled = count_attempts(state, candidate.scores, trusted=True)
        levels = state.levels
        place = _find_place(levels, candidate)
        if levels.follows(candidate.base):
            lead = self.sign * (fmean(candidate.scores) - levels.means[place])
        else:
            # Its base is today's incumbent, or so old that what was kept since is taken as it was credited.
            lead = self.sign * (fmean(candidate.scores) - levels.means[-1]) + candidate.gain_since
        belief = form_belief(
            state.effect_counts,
            level_variance=levels.covariances[place][place],
            observed=pooled.in_sigmas(lead),
            attempts=len(candidate.scores),
            weigh=self.weigh,
        )
        return belief, pooled

    def _price_attempt(self, state: State) -> float:
        """Line 3: the normal earning of an attempt in this campaign, in sigmas."""
        earned = max(1.0 + state.in_sigmas(state.gain), LEAST_EARNING)
        return self.price_factor * earned / (PRICE_ATTEMPTS + state.attempts)


def _find_place(levels: Levels, candidate: Candidate) -> int:
    """Place of the level that its scores tell about: that of its base, or the oldest one if the base is older."""
    older = candidate.gain_since != 0.0 and not candidate.replaces and not levels.follows(candidate.base)
    return 0 if older else levels.find(candidate.base)


def _stand_on(state: State, levels: Levels) -> State:
    """The state with these levels, of which the last is the incumbent's."""
    return replace(state, level=levels.means[-1], level_variance=levels.covariances[-1][-1], followed=levels)


def _remember(candidate: Candidate, belief: Belief, *, sigma: float, slope: float) -> KeptEdit:
    """The edit as it is believed at its keep. slope: how far the incumbent's level moves with that of its base."""
    gain = belief.gain * sigma
    return KeptEdit(
        number=candidate.number,
        gain=gain,
        variance=belief.gain_variance,
        covariance=belief.gain_variance + slope * belief.gain_covariance,
        credited=gain,
        line_change=candidate.line_change,
    )


def _decide(
    pooled: State,
    candidate: Candidate,
    belief: Belief,
    *,
    needed: float,
    replaced: float,
    worth: float,
    price: float,
    affordable: bool,
) -> tuple[Decision, str]:
    """Lines 11 and 13, with a sentence that tells people why.

    needed: the gain that pays for the added lines. replaced: the gain that is lost with what the program replaces.
    """
    attempts = len(candidate.scores)
    runs = f"{attempts} run{'s' if attempts > 1 else ''}"
    gain = belief.gain - replaced
    simpler = candidate.line_change < 0 and _is_tie(pooled, gain, observed=belief.observed - replaced)
    good = gain > needed or simpler
    if pooled.is_exact:
        return _decide_exactly(
            pooled, belief.observed - replaced, runs=runs, good=good, simpler=simpler, affordable=affordable
        )
    known = f"expected gain {sigmas_text(belief.gain, decimals=2)} after {runs}"
    if replaced:
        known = f"{known}, {sigmas_text(gain, decimals=2)} over what it would replace"
    worth_text = sigmas_text(worth, decimals=2).removeprefix("+")
    price_text = sigmas_text(price, decimals=2).removeprefix("+")
    if affordable and worth > price:
        return Decision.RERUN, f"{known}: a rerun is worth {worth_text}, more than its price of {price_text}"
    unsure = attempts == 1 and pooled.freedom < BELIEVED_FREEDOM
    if affordable and good and (unsure or (belief.gain > HUGE_GAIN and pooled.freedom < SOME_FREEDOM)):
        return Decision.RERUN, f"{known}: too few repeated runs tell sigma yet, so a rerun confirms before the keep"
    lag = belief.observed - belief.kept
    if affordable and good and belief.gain > JUMP and lag > MOST_LAG:
        lag_text = sigmas_text(lag, decimals=2).removeprefix("+")
        return (
            Decision.RERUN,
            f"{known}: the new level would lag {lag_text} behind its own runs, so it is measured again",
        )
    if gain <= 0.0 and good:
        return Decision.KEEP, f"{known}: no worse within noise, and {-candidate.line_change} lines shorter"
    if 0.0 < gain <= needed and not simpler:
        price_of_lines = sigmas_text(needed, decimals=2).removeprefix("+")
        return Decision.DISCARD, f"{known}: {candidate.line_change} more lines cost {price_of_lines}"
    closing = f"a rerun is worth {worth_text} at a price of {price_text}" if affordable else "no further run"
    return (Decision.KEEP if good else Decision.DISCARD), f"{known}; {closing}"


def _decide_exactly(
    pooled: State, observed: float, *, runs: str, good: bool, simpler: bool, affordable: bool
) -> tuple[Decision, str]:
    """The decision while all repeated runs were equal: that is a hypothesis, and each keep puts it to the test."""
    lead = score_text(abs(observed * pooled.sigma))
    equal = abs(observed) < 1.0
    told = (
        f"equal to the incumbent after {runs}" if equal else f"{'better' if good else 'worse'} by {lead} after {runs}"
    )
    alone = runs == "1 run"
    # On a coarse scale runs are equal by chance: a share of ten successes in 7 to 20 of 100 baselines.
    enough = BELIEVED_FREEDOM if pooled.step else SURE_OF_EXACT
    if affordable and good and (alone or pooled.freedom < enough):
        return Decision.RERUN, f"{told}: all repeated runs were equal so far, and a rerun shows if these are too"
    ending = " and shorter" if equal and simpler and good else ""
    return (Decision.KEEP if good else Decision.DISCARD), f"{told}{ending}; repeated runs are equal"


def _is_tie(state: State, gain: float, *, observed: float) -> bool:
    """True if the candidate is neither better nor worse: within TIE of zero, or exactly equal if there is no noise."""
    return abs(gain) < TIE or (state.is_exact and abs(observed) < 1.0)
