"""Chooses the instruction of a proposal: one as a rule, several in turn on a plateau.

A plateau is the normal state of a campaign. Switching strategies on it is reported to beat each strategy alone (63.2
against 55.4 and 43.8, for switched optimisers), so they take turns, more of
them the more a strategy has brought.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import log, log1p
from threading import Lock

from controller.costs.strategies import UNNAMED, StrategyTotals, add_experiments
from controller.domain import BASELINE, Experiment, Judgement, Verdict

OPEN = UNNAMED
"""The strategy of a campaign that is not on a plateau."""

OTHER_MODEL = "other-model"
"""The strategy that asks the second model of the settings, if there is one."""

BY_CHANCE = 0.05
"""Probability that a campaign which keeps as before is said to be on a plateau."""

PRIOR_EXPERIMENTS = 2
"""Average experiments that each strategy is credited with when turns are shared out."""

LEAST_SHARE = 0.2
"""Least turns of a strategy, in shares of the best one's: what a strategy brings changes with the incumbent."""

MOST_PATIENCE = 3
"""Most verdicts without a keep before the strategy changes, in multiples of the setting."""

INSTRUCTIONS = {
    OPEN: "Propose the edit with the best expected gain for its risk.",
    "bolder": (
        "Small steps have stopped paying. Rewrite a whole mechanism (attention, optimiser, schedule, data order, "
        "initialisation) instead of turning a constant. A likely failure with a large upside is welcome."
    ),
    "delete": (
        "Remove something: a mechanism, a branch, a constant that earns nothing. Equal score with fewer lines is a win."
    ),
    "combine": (
        "Combine two near-misses: discarded edits whose gain was positive or close to zero, which touch different "
        "parts, so that their effects may add up. Name both experiments in the hypothesis."
    ),
    "revisit": (
        "Revisit one failed idea that the incumbent of its day may have spoilt (wrong learning rate, too small a "
        "batch, a crash that was only a bug). Name the experiment, and say what is different now."
    ),
    "untried": (
        "Before you choose, list for yourself which categories and which parts of the file the tables in the news show "
        "as little tried, and propose from there. Do not touch what has been tried three times or more."
    ),
    OTHER_MODEL: "You are new here: look at the incumbent with fresh eyes, and say what its authors overlook.",
}

PLATEAU = ("bolder", "delete", "combine", "revisit", "untried", OTHER_MODEL)
"""Strategies on a plateau, in the order of their turns."""


def count_verdicts_since_keep(experiments: Sequence[Experiment]) -> int:
    """Number of verdicts after the last keep, the baseline's not counted."""
    judged = sorted(_verdicts_of_edits(experiments), key=lambda judgement: judgement.order)
    count = 0
    for judgement in judged:
        count = 0 if judgement.verdict is Verdict.KEEP else count + 1
    return count


def is_on_plateau(experiments: Sequence[Experiment], *, after: int) -> bool:
    """True after so many verdicts in a row without a keep, or more if keeps are rare in this campaign.

    Of ten verdicts none is kept in a fifth of all cases while 15 of 100 are. So a plateau begins at the number that
    goes without a keep in 1 of 20 cases, at the rate at which this campaign kept before; at most three times `after`.
    """
    dry = count_verdicts_since_keep(experiments)
    if dry < after:
        return False
    judged = _verdicts_of_edits(experiments)
    kept = len([judgement for judgement in judged if judgement.verdict is Verdict.KEEP])
    if not kept:
        return True
    # As if one more had been kept and three more not: few verdicts tell little about the rate.
    rate = (kept + 1) / (len(judged) - dry + 4)
    return dry >= min(MOST_PATIENCE * after, log(BY_CHANCE) / log1p(-rate))


def _verdicts_of_edits(experiments: Sequence[Experiment]) -> list[Judgement]:
    """All verdicts but the baseline's and those about a kept edit that the judge left out."""
    return [e.judgement for e in experiments if e.judgement and e.number != BASELINE and e.leaves_out is None]


def choose_by_yield(experiments: Sequence[Experiment], *, given: Mapping[str, int], other_model: bool) -> str:
    """The strategy whose turn it is: each gets turns by what it has brought for its dollars, and none goes without.

    Before anything was kept, all have as many turns. given: turns that each strategy had in this process, also those
    that led to no experiment.
    """
    ways = PLATEAU if other_model else tuple(name for name in PLATEAU if name != OTHER_MODEL)
    known = {total.strategy: total for total in total_by_strategy(experiments)}
    totals = [known.get(way, StrategyTotals(strategy=way)) for way in ways]
    weights = _weigh(totals)
    turns = {total.strategy: max(total.proposed, given.get(total.strategy, 0)) for total in totals}
    # The order of the ways decides between equals.
    return min(ways, key=lambda way: (turns[way] + 1) / weights[way])


class StrategyTurns:
    """Gives each proposal of this process its strategy; safe to share between threads."""

    def __init__(self) -> None:
        # Turns that each strategy has had on plateaus.
        self._given: Counter[str] = Counter()
        self._lock = Lock()

    def choose(self, experiments: Sequence[Experiment], *, plateau_after: int, other_model: bool) -> str:
        """The strategy of the next proposal. It uses up a turn whatever comes of it, so that none blocks the rest.

        plateau_after: see `is_on_plateau`. other_model: true if there is a second model to ask.
        """
        if not is_on_plateau(experiments, after=plateau_after):
            return OPEN
        with self._lock:
            way = choose_by_yield(experiments, given=self._given, other_model=other_model)
            proposed = len([each for each in experiments if each.strategy == way])
            self._given[way] = max(self._given[way], proposed) + 1
        return way


def _weigh(totals: Sequence[StrategyTotals]) -> dict[str, float]:
    """The share of turns that each strategy deserves, in any unit: its gain for its dollars, drawn towards the mean.

    It is drawn as if each had two more average experiments, because one lucky keep says little.
    """
    proposed = sum(total.proposed for total in totals)
    gain = sum(max(0.0, total.gain) for total in totals)
    if not gain:
        return {total.strategy: 1.0 for total in totals}
    is_paid = sum(total.dollars for total in totals) > 0
    cost = {total.strategy: total.dollars if is_paid else float(total.proposed) for total in totals}
    mean_gain, mean_cost = gain / proposed, sum(cost.values()) / proposed
    weights = {}
    for total in totals:
        brought = max(0.0, total.gain) + PRIOR_EXPERIMENTS * mean_gain
        weights[total.strategy] = brought / (cost[total.strategy] + PRIOR_EXPERIMENTS * mean_cost)
    largest = max(weights.values())
    return {name: max(weight, LEAST_SHARE * largest) for name, weight in weights.items()}


def total_by_strategy(experiments: Sequence[Experiment]) -> list[StrategyTotals]:
    """Totals of each strategy, with the dollars of model calls: ours in their order, then others by name."""
    found = add_experiments({}, experiments, dollars=lambda experiment: experiment.cost.dollars)
    known = [name for name in INSTRUCTIONS if name in found]
    return [found[name] for name in [*known, *sorted(found.keys() - set(known))]]
