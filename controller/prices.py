"""What an hour of a slot costs: by the pool of the node that ran it.

Pure. The controller has no right to read nodes, so a pool is known by what it may see: the node's name, into which
GKE and AKS write the pool's, and the values of the settings' node selector. It never touches what was booked.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from controller.domain import Experiment
from controller.settings import Settings


def slot_size(settings: Settings) -> int:
    """Accelerators that one slot occupies: what GPU hours and their price are counted in."""
    return max(1, settings.executor.kubernetes.gpus) if settings.executor.kind == "kubernetes" else 1


def slot_price(settings: Settings, node: str) -> float:
    """Dollars per hour of a slot on `node`, all its accelerators together; empty where the node is not known."""
    budget = settings.budget
    pool = _pool(budget.gpu_dollars_by_pool, (node, *_selected(settings)))
    return slot_size(settings) * (budget.gpu_dollars_per_hour if pool is None else budget.gpu_dollars_by_pool[pool])


def price_range(settings: Settings) -> tuple[float, float]:
    """Least and most that an hour of a slot may cost, its node not known yet."""
    budget = settings.budget
    if _pool(budget.gpu_dollars_by_pool, _selected(settings)) is not None:
        return slot_price(settings, ""), slot_price(settings, "")
    prices = (budget.gpu_dollars_per_hour, *budget.gpu_dollars_by_pool.values())
    return slot_size(settings) * min(prices), slot_size(settings) * max(prices)


def slot_dollars(experiment: Experiment, settings: Settings) -> float:
    """Dollars of all its tries, each at the price booked with it; where none was booked, at today's."""
    dollars = 0.0
    for attempt in experiment.attempts:
        for tried in attempt.tries:
            price = tried.dollars_per_hour
            if price is None:
                price = slot_price(settings, attempt.result.node if attempt.result else "")
            dollars += tried.seconds / 3600 * price
    return dollars


def slot_hours(experiment: Experiment, settings: Settings) -> float:
    """Accelerator hours of all its tries; a slot without accelerators counts as one."""
    return sum(attempt.seconds for attempt in experiment.attempts) * slot_size(settings) / 3600


def dollars_of(experiment: Experiment, settings: Settings) -> float:
    """What one experiment cost: the model calls of its proposal, and its slots."""
    return experiment.cost.dollars + slot_dollars(experiment, settings)


def _selected(settings: Settings) -> tuple[str, ...]:
    executor = settings.executor
    return tuple(executor.kubernetes.node_selector.values()) if executor.kind == "kubernetes" else ()


def _pool(pools: Iterable[str], names: Iterable[str]) -> str | None:
    """The pool that the first of `names` belongs to, if any; of several the one with the longest name.

    A pool's name may be a glob. It matches whole words between hyphens: `a100` is in `gke-lab-a100-1f2e-x7k2`.
    """
    for name in filter(None, names):
        matching = [pool for pool in pools if fnmatchcase(f"-{name.lower()}-", f"*-{pool.lower()}-*")]
        if matching:
            return max(matching, key=lambda pool: (len(pool), pool))
    return None
