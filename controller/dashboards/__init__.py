"""The three Grafana dashboards, built by code: what a campaign does, what its cluster does, what it costs.

`python -m controller.dashboards helm/dashboards` writes them. Pure: no SDK, no Grafana.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.dashboards.campaign import CAMPAIGN
from controller.dashboards.cluster import CLUSTER
from controller.dashboards.grafana import DATASOURCE, render
from controller.dashboards.money import MONEY

TAG = "autoresearch"
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
"""All namespaces match `.*`, which a Prometheus without a namespace label satisfies too."""


def dashboards() -> dict[str, dict[str, Any]]:
    """The JSON of each dashboard by the name of its file."""
    built = {"campaign": CAMPAIGN, "cluster": CLUSTER, "money": MONEY}
    return {f"{name}.json": render(one, variables=VARIABLES, tag=TAG) for name, one in built.items()}
