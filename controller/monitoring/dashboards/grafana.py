"""Turns queries and panels into the dashboard JSON that Grafana imports.

All functions are pure and use no SDK. Only the four kinds of panels that our dashboards need exist here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA_VERSION = 42
"""Version of the JSON format, that of Grafana 12. Grafana 10 and 11 also read it: it uses none of the newer fields."""

COLUMNS = 24
"""Width of a dashboard in Grafana's grid."""

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
RED, AMBER, GREEN, BLUE, GREY = "red", "orange", "green", "blue", "#8a93a0"

Kind = Literal["stat", "timeseries", "bargauge", "table"]
Draw = Literal["line", "step", "dashed", "bars", "points", "edge", "band"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One PromQL expression of a panel."""

    expr: str
    name: str
    """Name of its series; Grafana replaces `{{label}}` by the label's value."""
    draw: Draw = "line"
    """`edge` and `band` are the lower and the upper end of a filled band, in this order."""
    colour: str = ""
    """Fixed colour; empty for Grafana's choice."""
    now: bool = False
    """True to ask for the newest value only. `$__range` in the expression is the dashboard's whole range."""
    unit: str = ""
    """Unit of this column of a table; empty for the panel's unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel of a dashboard."""

    title: str
    description: str
    """Shown when the pointer is on the panel's (i)."""
    queries: tuple[Query, ...]
    width: int
    """Columns, of 24."""
    height: int = 8
    """Rows of Grafana's grid, about 38 pixels each."""
    kind: Kind = "timeseries"
    unit: str = "short"
    """Grafana's name of the unit."""
    digits: int | None = None
    """Decimals; None for Grafana's choice."""
    stacked: bool = False
    least: float | None = None
    """Lower end of the axis; None for Grafana's choice."""
    most: float | None = None
    """Upper end of the axis; None for Grafana's choice."""
    colours: Mapping[str, str] = field(default_factory=dict)
    """Colour by name of the series."""
    limits: tuple[tuple[float, str], ...] = ()
    """Values and the colours that hold from them on."""
    empty: str = ""
    """Text while there is no value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One dashboard."""

    uid: str
    title: str
    description: str
    rows: tuple[tuple[Panel, ...], ...]
    """Panels by row; the widths of a row add up to 24."""
    hours: int = 24
    """Time that it shows when it is opened."""
    marks: tuple[tuple[str, str, str], ...] = ()
    """Vertical lines across all panels: name, colour, expression."""


def render(dashboard: Dashboard, *, variables: Sequence[Mapping[str, Any]], tag: str) -> dict[str, Any]:
    """Build the JSON that Grafana imports; raises ValueError for a row that does not fill the width."""
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
            left += panel.width
            number += 1
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
    """Yield the style of each query, then the colour of each series that has a fixed one."""
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
    """Join the queries of a table by the labels that they share: one column for each, under the query's name."""
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
