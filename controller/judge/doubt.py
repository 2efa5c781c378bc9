"""Doubts kept edits: chooses one to be left out, and decides by the runs without it if it is undone (lines 5 and 6).

The decision is the ledger's own, with what is believed about this edit in place of what edits are usually worth.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from statistics import fmean

from controller.domain import Verdict
from controller.judge.belief import value_attempt
from controller.judge.interface import Assessment, Candidate, Decision, State, count_attempts
from controller.judge.kept_edits import KeptEdit, WithoutEdit, follow_level, value_leaving_out, weigh_without
from controller.text.figures import score_text, sigmas_text

TIE = 0.1
"""Sigmas. An expected gain nearer to zero than this counts as noise, and a shorter file wins (line 13)."""


def find_doubtful(state: State, numbers: Collection[int], *, price: float, line_price: float) -> int | None:
    """Number of the kept edit, among these, whose leaving out is worth most and more than the price (line 5)."""
    most, found = price, None
    for edit in state.kept:
        if edit.number in numbers:
            without = weigh_without(edit, level_variance=state.level_variance, sigma=state.sigma)
            # Lines that go pay back what they cost, as in any edit.
            gain = without.gain + line_price * edit.line_change
            worth = value_leaving_out(gain, without.spread)
            if worth > most:
                most, found = worth, edit.number
    return found


def assess_without(
    state: State, candidate: Candidate, *, sign: float, price: float, line_price: float, affordable: bool
) -> Assessment:
    """Keep the program without the edit, keep the edit, or run once more. affordable: another run is allowed."""
    without, pooled = _weigh(state, candidate, sign=sign)
    if without is None:
        return Assessment(decision=Decision.DISCARD, reason="nothing is known of this keep", level=state.level)
    if pooled.is_exact:
        return _assess_exactly(state, candidate, without, pooled, sign=sign)
    needed = line_price * candidate.line_change
    worth = value_attempt(without.gain - needed, without.spread)
    shorter = candidate.line_change < 0 and abs(without.gain) < TIE
    undone = without.gain > needed or shorter
    told = f"without {candidate.doubts} the expected gain is {_sigmas(without.gain)} after {_runs(candidate)}"
    if affordable and worth > price:
        decision = Decision.RERUN
        told = f"{told}: a rerun is worth {_sigmas(worth, signed=False)}, more than {_sigmas(price, signed=False)}"
    elif undone:
        decision = Decision.KEEP
        told = f"{told}: no worse within noise, and shorter" if without.gain <= 0.0 else told
    else:
        decision = Decision.DISCARD
        dear = 0.0 < without.gain <= needed
        told = f"{told}, and {candidate.line_change} more lines cost {_sigmas(needed, signed=False)}" if dear else told
    moved = without.level if decision is Decision.KEEP else without.base if decision is Decision.DISCARD else 0.0
    return Assessment(
        decision=decision,
        reason=told,
        expected_gain=without.gain,
        spread=without.spread,
        price=price,
        level=state.level + sign * moved * pooled.sigma,
    )


def _assess_exactly(
    state: State, candidate: Candidate, without: WithoutEdit, pooled: State, *, sign: float
) -> Assessment:
    """The decision while all repeated runs were equal: the better program stands, of equal ones the shorter."""
    equal = abs(without.gain) < 1.0
    undone = candidate.line_change < 0 if equal else without.gain > 0.0
    lead = score_text(abs(without.gain) * pooled.sigma)
    told = "it is equal" if equal else f"it is {'better' if undone else 'worse'} by {lead}"
    return Assessment(
        decision=Decision.KEEP if undone else Decision.DISCARD,
        reason=f"without {candidate.doubts} {told}; repeated runs are equal",
        level=state.level + sign * without.level * pooled.sigma if undone else state.level,
    )


def conclude_without(state: State, candidate: Candidate, verdict: Verdict, *, sign: float) -> State:
    """The state after the edit was undone (a keep of the program without it) or stays (a discard) (line 6)."""
    without, pooled = _weigh(state, candidate, sign=sign)
    if without is None:
        return pooled
    others = follow_level(
        [edit for edit in state.kept if edit.number != candidate.doubts],
        moved=without.base,
        sigma=pooled.sigma,
        before=state.level_variance,
        after=without.base_variance,
    )
    levels = state.levels
    seen = levels.observe(
        len(levels.means) - 1, moved=sign * without.base * pooled.sigma, variance=without.base_variance
    )
    if verdict is Verdict.KEEP:
        # The level without the edit shares with the others what it shares with the level that had it.
        left = 1.0 - without.edit.covariance / without.base_variance
        moved_on = seen.move_on(
            candidate.leaves,
            mean=state.level + sign * without.level * pooled.sigma,
            variance=without.level_variance,
            shared=[row[-1] * left for row in seen.covariances],
        )
        return replace(
            pooled,
            kept=others,
            level=state.level + sign * without.level * pooled.sigma,
            level_variance=without.level_variance,
            gain=state.gain - without.edit.credited,
            followed=moved_on,
        )
    return replace(
        pooled,
        kept=(*others, without.edit),
        followed=seen,
        level=state.level + sign * without.base * pooled.sigma,
        level_variance=without.base_variance,
    )


def _weigh(state: State, candidate: Candidate, *, sign: float) -> tuple[WithoutEdit | None, State]:
    """The belief about leaving the edit out, None if it is not known; and the state with the runs pooled in."""
    pooled = count_attempts(state, candidate.scores, trusted=True)
    edit = next((edit for edit in state.kept if edit.number == candidate.doubts), None)
    if edit is None or not candidate.scores:
        return None, pooled
    lead = sign * (fmean(candidate.scores) - state.level) + candidate.gain_since
    if pooled.is_exact:
        return _weigh_exactly(state, edit, lead=pooled.in_sigmas(lead)), pooled
    without = weigh_without(
        edit,
        level_variance=state.level_variance,
        sigma=pooled.sigma,
        lead=pooled.in_sigmas(lead),
        runs=len(candidate.scores),
    )
    return without, pooled


def _weigh_exactly(state: State, edit: KeptEdit, *, lead: float) -> WithoutEdit:
    """What is seen where every run of a program scores the same."""
    variance = state.level_variance
    return WithoutEdit(
        gain=lead, spread=0.0, level=lead, level_variance=variance, base=0.0, base_variance=variance, edit=edit
    )


def _runs(candidate: Candidate) -> str:
    count = len(candidate.scores)
    return f"{count} run{'s' if count > 1 else ''}"


def _sigmas(value: float, *, signed: bool = True) -> str:
    text = sigmas_text(value, decimals=2)
    return text if signed else text.removeprefix("+")
