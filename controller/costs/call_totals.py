"""Adds up a campaign's model calls as they are booked, one record at a time. Pure.

A campaign may make tens of thousands of calls, so that totals are kept and not computed again with each of them.
"""

from __future__ import annotations

from collections import Counter

from controller.costs.model_calls import CallRecord
from controller.domain import Cost

KINDS = ("input", "output", "cache_write", "cache_read")
REFUSAL_CATEGORIES = ("cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms", "other")
"""Categories of refusals that the API names. A closed set, because each is a series of a metric."""

UNNAMED = "other"
"""Category of a refusal for which the API names none, or one that we do not know."""


class CallTotals:
    """Totals over calls, each counted by its last record; not shared between threads."""

    def __init__(self) -> None:
        self._dollars = 0.0
        self._calls = 0
        self._tokens = dict.fromkeys(KINDS, 0)
        # Counted dollars of calls whose end is not recorded, by their ids.
        self._open: dict[str, float] = {}
        self.refusals: Counter[str] = Counter()

    @property
    def cost(self) -> Cost:
        """The sum of all calls."""
        dollars = self._dollars + sum(self._open.values())
        return Cost(dollars=dollars, tokens=dict(self._tokens), calls=self._calls + len(self._open))

    def put(self, call: CallRecord) -> None:
        """Take in a record; the second one of a call takes the place of the first."""
        self._open.pop(call.id, None)
        if call.outcome == "begun":
            self._open[call.id] = call.counted
            return
        self._calls += 1
        self._dollars += call.dollars
        for kind, count in call.usage.count_by_kind().items():
            self._tokens[kind] += count
        if call.outcome == "refusal":
            self.refusals[call.refusal if call.refusal in REFUSAL_CATEGORIES else UNNAMED] += 1
