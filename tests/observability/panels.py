"""The queries of the committed dashboards as Grafana would send them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "helm" / "dashboards"
NEEDS_CLUSTER = ("autoresearch_kube_api_", "autoresearch_watch_")


@dataclass(frozen=True)
class PanelQuery:
    """One query of one panel; now: whether only its newest value is asked for."""

    place: str
    expr: str
    now: bool

    @property
    def needs_cluster(self) -> bool:
        """True if only a controller of Kubernetes Jobs has the metrics that it asks for."""
        return any(name in self.expr for name in NEEDS_CLUSTER)


def panel_queries(campaign: str) -> list[PanelQuery]:
    """Every query, with Grafana's variables filled in: all namespaces, one campaign, a rate over five scrapes."""
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        content = json.loads(path.read_text())
        for panel in content["panels"]:
            for target in panel["targets"]:
                place = f"{path.stem}: {panel['title']}: {target['legendFormat']}"
                found.append(PanelQuery(place, _filled(target["expr"], campaign), bool(target["instant"])))
        marks = content["annotations"]["list"]
        found += [PanelQuery(f"{path.stem}: marks: {m['name']}", _filled(m["expr"], campaign), False) for m in marks]
    return found


def _filled(expr: str, campaign: str) -> str:
    values = {"$namespace": ".*", "$campaign": campaign, "$__rate_interval": "5s", "$__range": "24h"}
    for name, value in values.items():
        expr = expr.replace(name, value)
    assert "$" not in expr, expr
    return expr
