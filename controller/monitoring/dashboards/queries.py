"""Builds PromQL expressions over our metrics for the campaign that the dashboard shows.

Every controller pod is an instance with series of its own. `max` over the instances counts a controller that was
replaced only once, because each one reports the totals of the whole campaign.
"""

from __future__ import annotations

from controller.monitoring.dashboards.grafana import AMBER, GREEN, GREY, RED
from controller.monitoring.snapshot_metrics import PREFIX

WHERE = 'namespace=~"$namespace",campaign=~"$campaign"'
"""Label matchers of the chosen namespace and campaign."""


def metric(name: str, **labels: str) -> str:
    """Select one of our metrics in the chosen campaign. A label's value may be several, joined by |."""
    matchers = [f'{label}{"=~" if "|" in value else "="}"{value}"' for label, value in labels.items()]
    return f"{PREFIX}_{name}{{{','.join((WHERE, *matchers))}}}"


def increase(name: str, by: str, over: str = "1h", **labels: str) -> str:
    """Growth of a counter during the time `over`, summed by the label `by`."""
    return f"sum by ({by}) (increase({metric(name, **labels)}[{over}]))"


def total(name: str, by: str, **labels: str) -> str:
    """Current value, by the labels `by`."""
    return f"max by ({by}) ({metric(name, **labels)})"


def quantile(share: float, name: str, **labels: str) -> str:
    """Quantile `share` (0 to 1) of a histogram over the last hour."""
    return f"histogram_quantile({share}, sum by (le) (rate({metric(f'{name}_bucket', **labels)}[1h])))"


DUTY = f"sum(avg_over_time({metric('slots_busy')}[1h])) / sum(avg_over_time({metric('slots')}[1h]))"
VERDICTS = {"keep": GREEN, "discard": GREY, "crash": AMBER, "reject": RED}
OUTCOMES = {"scored": GREEN, "crashed": AMBER, "timed_out": "yellow", "rejected": RED, "lost": "purple"}
