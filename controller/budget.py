"""What the budget still has room for: spent, plus what is in flight at the mean of the runs so far.

Pure. It answers whether one more run fits and what model calls may cost; what is done about it is the planner's choice.
"""

from __future__ import annotations

from math import inf

from controller.actions import View
from controller.pipeline import ready
from controller.prices import price_range, slot_size
from controller.settings import Settings


def may_launch(view: View, settings: Settings) -> bool:
    """Whether one more run fits the budget: spent, plus what runs and this one at the mean of runs so far."""
    return fits(view, settings, ahead=0, seconds=mean_seconds(view, settings), proposals=0)


def dollars_limit(view: View, settings: Settings) -> float:
    """What model calls may cost in all, from the campaign's first one on, so that every run in flight can be paid.

    In flight are also the runs of proposals that are ready or thought about: without its run none is worth its price.
    """
    budget = settings.budget
    if budget.dollars is None:
        return inf
    runs = len(view.running) + ready(view.open) + view.proposing
    return budget.dollars - view.spent.slot_dollars - runs * _mean_dollars(view, settings)


def fits(view: View, settings: Settings, *, ahead: int, seconds: float, proposals: int) -> bool:
    """Whether one more run fits the budget, after `ahead` others that do not run yet.

    seconds: from now to its end. proposals: under way, whose cost is not known yet.
    """
    budget, spent = settings.budget, view.spent
    slot_hours = _committed_slot_hours(view, settings, more=ahead + 1)
    dollars = _committed_dollars(view, settings, more=ahead + 1) + proposals * _mean_proposal_dollars(view)
    return (
        (budget.hours is None or (spent.elapsed_seconds + seconds) / 3600 <= budget.hours)
        and (budget.gpu_hours is None or slot_hours <= budget.gpu_hours)
        and (budget.dollars is None or dollars <= budget.dollars)
    )


def mean_seconds(view: View, settings: Settings) -> float:
    """Slot seconds of a run; the training's budget before one has ended."""
    spent = view.spent
    return spent.slot_seconds / spent.runs if spent.runs else settings.budget.train_seconds


def _committed_slot_hours(view: View, settings: Settings, *, more: int) -> float:
    """Slot hours spent, in flight, and of `more` runs, a run at the mean of those so far."""
    runs = len(view.running) + more
    return (view.spent.slot_seconds + runs * mean_seconds(view, settings)) * slot_size(settings) / 3600


def _committed_dollars(view: View, settings: Settings, *, more: int) -> float:
    """Dollars spent, in flight, and of `more` runs, a run at the mean of those so far."""
    runs = len(view.running) + more
    return view.spent.dollars + view.spent.slot_dollars + runs * _mean_dollars(view, settings)


def _mean_dollars(view: View, settings: Settings) -> float:
    """Of a run's slot: the dearest before there is one, and never below the cheapest, should prices have risen."""
    spent, hours = view.spent, mean_seconds(view, settings) / 3600
    least, most = price_range(settings)
    return max(spent.slot_dollars / spent.runs, hours * least) if spent.runs else hours * most


def _mean_proposal_dollars(view: View) -> float:
    return view.spent.dollars / view.spent.experiments if view.spent.experiments else 0.0
