"""Builds the three Grafana dashboards: progress of a campaign, its cluster, and its costs.

`python -m controller.monitoring.dashboards helm/dashboards` writes them as JSON. All functions are pure and need
neither an SDK nor Grafana.

| module | holds |
|---|---|
| `campaign`, `cluster`, `money` | the panels of each dashboard |
| `queries` | PromQL expressions over our metrics |
| `grafana` | turns panels into the JSON that Grafana imports |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.monitoring.dashboards.campaign import CAMPAIGN
from controller.monitoring.dashboards.cluster import CLUSTER
from controller.monitoring.dashboards.grafana import DATASOURCE, render
from controller.monitoring.dashboards.money import MONEY

TAG = "autoresearch"
"""Tag by which the dashboards link to each other."""

VARIABLES: Sequence[Mapping[str, Any]] = (
    {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "refresh": 1},
    {
        "type": "query",
        "name": "namespace",
        "label": "Namespace",
        "datasource": DATASOURCE,
        "query": {"query": "label_values(autoresearch_build_info, namespace)", "refId": "namespace"},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    },
    {
        "type": "query",
        "name": "campaign",
        "label": "Campaign",
        "datasource": DATASOURCE,
        "query": {
            "query": 'label_values(autoresearch_slots{namespace=~"$namespace"}, campaign)',
            "refId": "campaign",
        },
        "refresh": 2,
    },
    {
        "type": "textbox",
        "name": "page",
        "label": "Live page",
        "query": "http://localhost:8080",
        "current": {"text": "http://localhost:8080", "value": "http://localhost:8080"},
    },
)
"""Choices at the top of each dashboard. "All" namespaces is `.*`, which in PromQL also matches a missing label."""


def dashboards() -> dict[str, dict[str, Any]]:
    """Build all dashboards: JSON by file name."""
    built = {"campaign": CAMPAIGN, "cluster": CLUSTER, "money": MONEY}
    return {f"{name}.json": render(one, variables=VARIABLES, tag=TAG) for name, one in built.items()}
