"""The committed dashboards: what the code builds, on metrics that exist, with pictures that do not overlap."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric

from controller.monitoring.dashboards import dashboards
from controller.monitoring.dashboards.grafana import Dashboard, Panel, Query, render
from controller.monitoring.metrics import Metrics
from tests.support.scripted import settings

FOLDER = Path(__file__).resolve().parents[3] / "helm" / "dashboards"
COMMITTED = {path.name: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",), "gauge": ("",)}


def exported() -> set[str]:
    """Names of all series there can be."""
    metrics: list[Metric] = list(Metrics(settings()).registry.collect())
    return {family.name + suffix for family in metrics for suffix in SUFFIXES[family.type]}


def test_committed_dashboards_are_what_the_code_builds() -> None:
    assert dashboards() == COMMITTED, "run: python -m controller.monitoring.dashboards helm/dashboards"


@pytest.mark.parametrize("name", COMMITTED)
def test_every_query_asks_for_metrics_that_are_exported(name: str) -> None:
    used = set(re.findall(r"autoresearch_\w+(?=\{)", json.dumps(COMMITTED[name])))

    assert len(used) > 5
    assert used <= exported()


@pytest.mark.parametrize("name", COMMITTED)
def test_every_panel_says_what_it_means_and_nothing_overlaps(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in COMMITTED[name]["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert panel["description"].endswith(".")
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells


def test_identifiers_are_unique_and_links_lead_from_one_dashboard_to_the_others() -> None:
    assert len({content["uid"] for content in COMMITTED.values()}) == len(COMMITTED) == 3
    for content in COMMITTED.values():
        assert content["tags"] == content["links"][0]["tags"] == ["autoresearch"]
        assert content["links"][1]["url"] == "${page}"


@pytest.mark.parametrize("name", COMMITTED)
def test_every_data_source_is_the_one_that_the_reader_chose(name: str) -> None:
    sources = list(_values(COMMITTED[name], "datasource"))

    assert sources
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)


def test_row_that_leaves_a_hole_is_refused() -> None:
    panel = Panel(title="a", description="b.", queries=(Query(expr="up", name="up"),), width=8)

    with pytest.raises(ValueError, match="do not fill"):
        render(Dashboard(uid="u", title="t", description="d", rows=((panel, panel),)), variables=(), tag="t")


def _values(node: Any, key: str) -> Iterator[Any]:
    if isinstance(node, dict):
        yield from (value for name, value in node.items() if name == key)
        for value in node.values():
            yield from _values(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from _values(value, key)
