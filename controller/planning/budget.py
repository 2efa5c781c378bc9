"""Says what still fits into the budget. Pure.

The budget is charged what was spent, and what is in flight at the mean cost of the attempts so far. The planner asks
whether one more attempt fits and what model calls may cost, and decides what follows.
"""

from __future__ import annotations

from math import inf

from controller.costs.slots import SlotPrices
from controller.planning.actions import View
from controller.planning.pacing import count_ready
from controller.settings.budget import BudgetSettings


class Room:
    """The room that the budget has at the moment of one view."""

    def __init__(self, view: View, budget: BudgetSettings, prices: SlotPrices) -> None:
        self._view, self._budget, self._prices = view, budget, prices

    def fits_attempt(self) -> bool:
        """True if the budget has room for one more attempt that begins now."""
        return self.fits(ahead=0, seconds=self.attempt_seconds, proposals=0)

    def fits(self, *, ahead: int, seconds: float, proposals: int) -> bool:
        """True if the budget has room for one more attempt after `ahead` others that have not begun.

        seconds: from now to the end of that attempt. proposals: those under way, whose cost is not known yet.
        """
        budget = self._budget
        if budget.hours is not None:
            hours = (self._view.spent.elapsed_seconds + seconds) / 3600
            if hours > budget.hours:
                return False
        if budget.gpu_hours is not None and self._committed_slot_hours(more=ahead + 1) > budget.gpu_hours:
            return False
        if budget.dollars is not None:
            slots_and_calls = self._committed_dollars(more=ahead + 1)
            dollars = slots_and_calls + proposals * _mean_proposal_dollars(self._view)
            if dollars > budget.dollars:
                return False
        return True

    @property
    def call_dollars(self) -> float:
        """Dollars that all model calls of the campaign together may cost; infinite without a budget of dollars.

        The price of every attempt in flight is set aside, and one attempt for each proposal that is ready or being
        written: a proposal that we cannot afford to run is wasted.
        """
        if self._budget.dollars is None:
            return inf
        view = self._view
        attempts = len(view.running) + count_ready(view.open) + view.expected
        return self._budget.dollars - view.spent.slot_dollars - attempts * self._mean_attempt_dollars

    @property
    def free_dollars(self) -> float:
        """Dollars that are neither spent nor set aside for attempts under way or ready; infinite without such a budget.

        It does not count on proposals that are being written, so that it rises only when something was cheaper than it
        was reckoned.
        """
        if self._budget.dollars is None:
            return inf
        return self._budget.dollars - self._committed_dollars(more=count_ready(self._view.open))

    @property
    def attempt_seconds(self) -> float:
        """Mean slot seconds of an attempt; the training's budget before the first one has ended."""
        spent = self._view.spent
        if spent.attempts == 0:
            return self._budget.train_seconds
        return spent.slot_seconds / spent.attempts

    def _committed_slot_hours(self, *, more: int) -> float:
        """Accelerator hours spent, in flight, and of `more` attempts."""
        attempts = len(self._view.running) + more
        seconds = self._view.spent.slot_seconds + attempts * self.attempt_seconds
        return seconds * self._prices.size / 3600

    def _committed_dollars(self, *, more: int) -> float:
        """Dollars spent on calls and slots, in flight, and of `more` attempts."""
        spent = self._view.spent
        attempts = len(self._view.running) + more
        return spent.dollars + spent.slot_dollars + attempts * self._mean_attempt_dollars

    @property
    def _mean_attempt_dollars(self) -> float:
        """Mean price of an attempt's slot.

        Before the first attempt has ended, the price of the dearest pool. Later never below today's price of the
        cheapest pool, because prices may have risen since the attempts were booked.
        """
        spent = self._view.spent
        hours = self.attempt_seconds / 3600
        least, most = self._prices.range
        if spent.attempts == 0:
            return hours * most
        return max(spent.slot_dollars / spent.attempts, hours * least)


def _mean_proposal_dollars(view: View) -> float:
    if view.spent.experiments == 0:
        return 0.0
    return view.spent.dollars / view.spent.experiments
