"""Prices an hour of a slot by the node pool that it ran on. Pure.

The controller has no right to read Node objects. It recognises a pool by the node's name, because GKE and AKS write the
pool's name into it, and by the values of the node selector in the settings. The price that applied is booked with each
try, so that new prices leave the past alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from controller.domain import Experiment
from controller.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotPrices:
    """The prices of a campaign's slots, and how many accelerators one has."""

    size: int
    """Accelerators of one slot. GPU hours and prices count accelerators; a slot without any counts as one."""

    usual: float
    """Dollars per hour of an accelerator in a pool without a price of its own."""

    by_pool: Mapping[str, float]
    """Dollars per hour of an accelerator, by the name of its pool."""

    selector: tuple[str, ...] = ()
    """Values of the cluster's node selector, which may name the pool before a node is known."""

    @classmethod
    def of(cls, settings: Settings) -> SlotPrices:
        """The prices that the settings name. One machine has slots of one accelerator, and no node selector."""
        cluster = settings.executor.kubernetes
        local = settings.executor.kind != "kubernetes"
        return cls(
            size=1 if local else max(1, cluster.gpus),
            usual=settings.budget.gpu_dollars_per_hour,
            by_pool=settings.budget.gpu_dollars_by_pool,
            selector=() if local else tuple(cluster.node_selector.values()),
        )

    def on_node(self, node: str) -> float:
        """Dollars per hour of a slot on `node`, all its accelerators together; `node` is empty if it is not known."""
        pool = _find_pool(self.by_pool, (node, *self.selector))
        return self.size * (self.usual if pool is None else self.by_pool[pool])

    @property
    def range(self) -> tuple[float, float]:
        """Least and most dollars that an hour of a slot may cost while its node is not known."""
        if _find_pool(self.by_pool, self.selector) is not None:
            return self.on_node(""), self.on_node("")
        prices = (self.usual, *self.by_pool.values())
        return self.size * min(prices), self.size * max(prices)


def slot_dollars(experiment: Experiment, prices: SlotPrices) -> float:
    """Dollars of all its tries, each at the price booked with it, or at today's price if none was booked."""
    dollars = 0.0
    for attempt in experiment.attempts:
        for tried in attempt.tries:
            price = tried.dollars_per_hour
            if price is None:
                price = prices.on_node(attempt.result.node if attempt.result else "")
            dollars += tried.seconds / 3600 * price
    return dollars


def slot_hours(experiment: Experiment, prices: SlotPrices) -> float:
    """Accelerator hours of all its tries; a slot without accelerators counts as one."""
    return sum(attempt.seconds for attempt in experiment.attempts) * prices.size / 3600


def dollars_of(experiment: Experiment, prices: SlotPrices) -> float:
    """Dollars of one experiment: the model calls of its proposal, and its slots."""
    return experiment.cost.dollars + slot_dollars(experiment, prices)


def _find_pool(pools: Iterable[str], names: Iterable[str]) -> str | None:
    """The pool of the first of `names` that belongs to one; None if none does. The longest pool name wins.

    A pool's name may be a glob. It matches whole words between hyphens: `a100` is in `gke-lab-a100-1f2e-x7k2`.
    """
    for name in names:
        if not name:
            continue
        matching = [pool for pool in pools if fnmatchcase(f"-{name.lower()}-", f"*-{pool.lower()}-*")]
        if matching:
            return max(matching, key=lambda pool: (len(pool), pool))
    return None
