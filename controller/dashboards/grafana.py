"""Grafana's dashboard JSON from a few values: which queries, drawn how, how large. Pure, without an SDK.

It knows the four kinds of panels that our dashboards need and refuses to know more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA_VERSION = 42
"""Of Grafana 12; older ones read it as well, as nothing here is newer than Grafana 10."""

COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
RED, AMBER, GREEN, BLUE, GREY = "red", "orange", "green", "blue", "#8a93a0"

Kind = Literal["stat", "timeseries", "bargauge", "table"]
Draw = Literal["line", "step", "dashed", "bars", "points", "edge", "band"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One expression. name: how its series are called, `{{label}}` in it replaced.

    draw: edge and band are the lower and upper ends of a filled band, the lower one first.
    now: only its newest value is wanted, over the dashboard's whole range where the expression says `$__range`.
    unit: of this column of a table, where it is not the panel's.
    """

    expr: str
    name: str
    draw: Draw = "line"
    colour: str = ""
    now: bool = False
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture. description: what it says that its title does not. limits: (value, colour) from where on it holds.

    empty: what stands there while there is nothing.
    """

    title: str
    description: str
    queries: tuple[Query, ...]
    width: int
    height: int = 8
    kind: Kind = "timeseries"
    unit: str = "short"
    digits: int | None = None
    stacked: bool = False
    least: float | None = None
    most: float | None = None
    colours: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[tuple[float, str], ...] = ()
    empty: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """Rows of panels, whose widths add up to 24. marks: (name, colour, expression) of lines across all panels."""

    uid: str
    title: str
    description: str
    rows: tuple[tuple[Panel, ...], ...]
    hours: int = 24
    marks: tuple[tuple[str, str, str], ...] = ()


def render(dashboard: Dashboard, *, variables: Sequence[Mapping[str, Any]], tag: str) -> dict[str, Any]:
    """The JSON that Grafana imports. Raises ValueError for a row that does not fill the width."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": [tag],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": f"now-{dashboard.hours}h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": [_mark(*mark) for mark in dashboard.marks]},
        "links": _links(tag),
        "templating": {"list": list(variables)},
        "panels": list(_placed(dashboard.rows)),
    }


def _placed(rows: Iterable[Sequence[Panel]]) -> Iterable[dict[str, Any]]:
    top, number = 0, 1
    for row in rows:
        if sum(panel.width for panel in row) != COLUMNS:
            raise ValueError(f"the panels of the row {[panel.title for panel in row]} do not fill {COLUMNS} columns")
        left = 0
        for panel in row:
            yield _panel(panel, number, {"x": left, "y": top, "w": panel.width, "h": panel.height})
            left, number = left + panel.width, number + 1
        top += max(panel.height for panel in row)


def _panel(panel: Panel, number: int, place: Mapping[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": place,
        "targets": [_target(query, index, panel) for index, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": list(_overrides(panel))},
        "options": _options(panel),
        "transformations": _transformations(panel),
    }


def _target(query: Query, index: int, panel: Panel) -> dict[str, Any]:
    return {
        "refId": chr(ord("A") + index),
        "datasource": DATASOURCE,
        "expr": query.expr,
        "legendFormat": query.name,
        "instant": query.now,
        "range": not query.now,
        "format": "table" if panel.kind == "table" else "time_series",
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": GREEN if panel.limits else BLUE, "value": None}]
    steps += [{"color": colour, "value": value} for value, colour in panel.limits]
    bounds = {"min": panel.least, "max": panel.most, "decimals": panel.digits}
    return {
        "unit": panel.unit,
        **{name: bound for name, bound in bounds.items() if bound is not None},
        **({"noValue": panel.empty} if panel.empty else {}),
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "custom": _drawing(panel) if panel.kind == "timeseries" else {},
    }


def _drawing(panel: Panel) -> dict[str, Any]:
    return {
        "lineWidth": 2,
        "fillOpacity": 60 if panel.stacked else 0,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
    }


DRAWN: Mapping[Draw, Mapping[str, Any]] = {
    "line": {},
    "step": {"lineInterpolation": "stepAfter"},
    "dashed": {"lineStyle": {"fill": "dash", "dash": [8, 6]}, "lineWidth": 1},
    "bars": {"drawStyle": "bars", "lineWidth": 0, "fillOpacity": 80},
    "points": {"drawStyle": "points", "showPoints": "always", "pointSize": 7},
    "edge": {"lineWidth": 0, "lineInterpolation": "stepAfter"},
    "band": {"lineWidth": 0, "lineInterpolation": "stepAfter", "fillOpacity": 18},
}


def _overrides(panel: Panel) -> Iterable[dict[str, Any]]:
    """How each query is drawn, then which colour each series has by its name."""
    for index, query in enumerate(panel.queries):
        properties = [{"id": f"custom.{name}", "value": value} for name, value in DRAWN[query.draw].items()]
        if query.draw == "band":
            properties.append({"id": "custom.fillBelowTo", "value": panel.queries[index - 1].name})
        if query.draw in ("edge", "band"):
            properties.append({"id": "custom.hideFrom", "value": {"legend": True, "tooltip": False, "viz": False}})
        if query.colour:
            properties.append(_fixed(query.colour))
        if query.unit:
            digits = [{"id": "unit", "value": query.unit}, {"id": "decimals", "value": 2}]
            yield {"matcher": {"id": "byName", "options": query.name}, "properties": digits}
        if properties:
            yield {"matcher": {"id": "byFrameRefID", "options": chr(ord("A") + index)}, "properties": properties}
    for name, colour in panel.colours.items():
        yield {"matcher": {"id": "byName", "options": name}, "properties": [_fixed(colour)]}


def _fixed(colour: str) -> dict[str, Any]:
    return {"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}


def _options(panel: Panel) -> dict[str, Any]:
    newest = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    match panel.kind:
        case "stat":
            return {"reduceOptions": newest, "colorMode": "value", "graphMode": "area", "textMode": "auto"}
        case "bargauge":
            return {"reduceOptions": newest, "orientation": "horizontal", "displayMode": "gradient", "minVizWidth": 0}
        case "table":
            return {"showHeader": True, "cellHeight": "sm"}
        case _:
            return {
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }


def _transformations(panel: Panel) -> list[dict[str, Any]]:
    """A table is its queries side by side, joined by the labels they share, under the queries' names."""
    if panel.kind != "table":
        return []
    names = {f"Value #{chr(ord('A') + index)}": query.name for index, query in enumerate(panel.queries)}
    return [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "indexByName": {}, "renameByName": names}},
    ]


def _mark(name: str, colour: str, expr: str) -> dict[str, Any]:
    return {
        "name": name,
        "enable": True,
        "iconColor": colour,
        "datasource": DATASOURCE,
        "expr": expr,
        "step": "60s",
        "titleFormat": name,
        "textFormat": "",
    }


def _links(tag: str) -> list[dict[str, Any]]:
    ours = {"type": "dashboards", "title": "Autoresearch", "tags": [tag], "asDropdown": False, "includeVars": True}
    page = {"type": "link", "title": "Live page", "url": "${page}", "targetBlank": True, "icon": "external link"}
    return [{**ours, "keepTime": True}, page]
