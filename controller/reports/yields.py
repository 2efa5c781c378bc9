"""Tabulates what each strategy and each proposer has brought, for the page and for `status`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controller.costs.strategies import StrategyTotals
from controller.reports.summary import Summary
from controller.text.figures import sigmas_text


@dataclass(frozen=True, slots=True)
class YieldsTable:
    """A row for each strategy, or for each proposer, with its name first."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tabulate_yields(facts: Summary) -> list[YieldsTable]:
    """The table of the strategies and that of the proposers; neither where nobody has proposed anything."""
    both = (("strategy", facts.strategies), ("proposed by", facts.proposers))
    return [_tabulate(title, totals) for title, totals in both if totals]


def _tabulate(title: str, totals: Sequence[StrategyTotals]) -> YieldsTable:
    rows = []
    for each in totals:
        gained = sigmas_text(each.gain, decimals=1) if each.kept and each.gain else ""
        rows.append((each.strategy, str(each.proposed), str(each.kept), gained, f"${each.dollars:.2f}"))
    return YieldsTable((title, "proposed", "kept", "gain kept", "cost"), tuple(rows))
