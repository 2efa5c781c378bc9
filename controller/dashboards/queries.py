"""PromQL over our metrics, restricted to the dashboard's campaign.

Totals are taken over instances: a controller that was replaced does not count twice.
"""

from __future__ import annotations

from controller.dashboards.grafana import AMBER, GREEN, GREY, RED
from controller.families import PREFIX

WHERE = 'namespace=~"$namespace",campaign=~"$campaign"'


def metric(name: str, **labels: str) -> str:
    """A selector of one of our metrics in the chosen campaign; a value with | in it stands for any of several."""
    matchers = [f'{label}{"=~" if "|" in value else "="}"{value}"' for label, value in labels.items()]
    return f"{PREFIX}_{name}{{{','.join((WHERE, *matchers))}}}"


def increase(name: str, by: str, over: str = "1h", **labels: str) -> str:
    """How much a counter grew, summed over everything but `by`."""
    return f"sum by ({by}) (increase({metric(name, **labels)}[{over}]))"


def total(name: str, by: str, **labels: str) -> str:
    """The value now."""
    return f"max by ({by}) ({metric(name, **labels)})"


def quantile(share: float, name: str, **labels: str) -> str:
    """A quantile of a histogram over the last hour."""
    return f"histogram_quantile({share}, sum by (le) (rate({metric(f'{name}_bucket', **labels)}[1h])))"


DUTY = f"sum(avg_over_time({metric('slots_busy')}[1h])) / sum(avg_over_time({metric('slots')}[1h]))"
VERDICTS = {"keep": GREEN, "discard": GREY, "crash": AMBER, "reject": RED}
OUTCOMES = {"scored": GREEN, "crashed": AMBER, "timed_out": "yellow", "rejected": RED, "lost": "purple"}
