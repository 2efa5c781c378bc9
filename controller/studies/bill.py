"""Computes the cost of a study, and if the budget has room for it. Pure.

A study is charged to its campaign's budget of dollars and GPU-hours, like everything else that runs. The budget's
other limits are those of the search: a study proposes nothing, and is asked for after the search has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controller.costs.slots import SlotPrices, slot_dollars, slot_hours
from controller.domain import Outcome
from controller.settings.budget import BudgetSettings
from controller.studies.study import StudyRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """Dollars and hours that have been spent."""

    seconds: float = 0.0
    """Slot seconds of all tries, lost ones included."""

    dollars: float = 0.0
    """Dollars of slots and model calls."""

    attempts: int = 0
    """Attempts that ended otherwise than lost."""

    def plus(self, other: Charged) -> Charged:
        """Both together."""
        return Charged(
            seconds=self.seconds + other.seconds,
            dollars=self.dollars + other.dollars,
            attempts=self.attempts + other.attempts,
        )


def charge(records: Sequence[StudyRecord], prices: SlotPrices) -> Charged:
    """Add up the cost of all studies so far."""
    charged = Charged()
    for record in records:
        for run in record.runs:
            ended = sum(1 for a in run.attempts if a.result and a.result.outcome is not Outcome.LOST)
            seconds = sum(attempt.seconds for attempt in run.attempts)
            charged = charged.plus(Charged(seconds=seconds, dollars=slot_dollars(run, prices), attempts=ended))
    return charged


def hours_of(record: StudyRecord, prices: SlotPrices) -> float:
    """Accelerator hours of a study; a slot without accelerators counts as one."""
    return sum(slot_hours(run, prices) for run in record.runs)


def mean_seconds(charged: Charged, *, train_seconds: float) -> float:
    """Slot seconds that a run is expected to take."""
    return charged.seconds / charged.attempts if charged.attempts else train_seconds


def find_overdraft(charged: Charged, budget: BudgetSettings, prices: SlotPrices, *, runs: int, seconds: float) -> str:
    """The limit that leaves no room for so many more runs of so many seconds, as a sentence; empty if there is room.

    charged: everything that the campaign and its studies have cost.
    """
    hours = (charged.seconds + runs * seconds) * prices.size / 3600
    if budget.gpu_hours is not None and hours > budget.gpu_hours:
        return (
            f"{_count(runs)} would bring the campaign to {hours:.2f} GPU-hours, and budget.gpu_hours is "
            f"{budget.gpu_hours:g}: raise it with --set budget.gpu_hours={hours * 1.1:.2g}, or take fewer --seeds"
        )
    dollars = charged.dollars + runs * seconds / 3600 * max(prices.range)
    if budget.dollars is not None and dollars > budget.dollars:
        return (
            f"{_count(runs)} would bring the campaign to ${dollars:.2f}, and budget.dollars is {budget.dollars:g}: "
            f"raise it with --set budget.dollars={dollars * 1.1:.2f}, or take fewer --seeds"
        )
    return ""


def _count(runs: int) -> str:
    return "one more run" if runs == 1 else f"{runs} more runs"
