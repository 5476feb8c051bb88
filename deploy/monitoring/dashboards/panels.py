"""What dashboards are made of, in Grafana's JSON (schema 39, of Grafana 10 and 11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Grafana's grid has 24 columns.
_COLUMNS, _HEIGHT, _STAT_HEIGHT = 24, 8, 4
# Grafana replaces it by the tenants that were chosen, all of them being `.*`.
TENANT = 'tenant=~"$tenant"'
WINDOW = "$__rate_interval"


@dataclass(frozen=True)
class Line:
    """What a panel shows. expression: PromQL. legend: of each series, in Grafana's notation."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """A panel. unit: Grafana's name of one. text: what it shows, for whoever points at it.

    is_stat: the newest values as numbers in place of their course. least, most: ends of the axis,
    None for those of the values. names: words in place of values, as `{0: "down"}`.
    """

    title: str
    unit: str
    lines: Sequence[Line]
    text: str = ""
    width: int = 8
    is_stat: bool = False
    least: float | None = 0
    most: float | None = None
    names: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Dashboard:
    """uid: by which links find it, also after it was renamed."""

    uid: str
    title: str
    rows: Sequence[Row]

    def document(self) -> dict[str, Any]:
        """The dashboard as Grafana reads it."""
        return {
            "uid": self.uid,
            "title": self.title,
            "tags": ["face"],
            "schemaVersion": 39,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"},
            "timezone": "browser",
            "links": [
                {
                    "type": "dashboards",
                    "tags": ["face"],
                    "title": "Face service",
                    "asDropdown": True,
                }
            ],
            "templating": {"list": _variables()},
            "annotations": {"list": [_alerts()]},
            "panels": _laid_out(self.rows),
        }


def _variables() -> list[dict[str, Any]]:
    query = "label_values(face_gateway_requests_limit, tenant)"
    return [
        {
            "type": "datasource",
            "name": "datasource",
            "label": "Prometheus",
            "query": "prometheus",
            "hide": 0,
        },
        {
            "type": "query",
            "name": "tenant",
            "label": "Tenant",
            "datasource": _SOURCE,
            "definition": query,
            "query": {"query": query, "refId": "tenant"},
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        },
    ]


def _alerts() -> dict[str, Any]:
    """Alerts that fire, as marks in every panel."""
    return {
        "name": "Alerts",
        "enable": True,
        "iconColor": "red",
        "datasource": _SOURCE,
        "expr": f'ALERTS{{alertstate="firing",{TENANT}}}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{severity}}",
    }


def _laid_out(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The panels from left to right, and each row below the one before."""
    found: list[dict[str, Any]] = []
    top = 0
    for row in rows:
        place = {"x": 0, "y": top, "w": _COLUMNS, "h": 1}
        found.append({"id": len(found) + 1, "type": "row", "title": row.title, "gridPos": place,
                      "collapsed": False, "panels": []})  # fmt: skip
        top += 1
        left = height = 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                left, top = 0, top + height
                height = 0
            tall = _STAT_HEIGHT if panel.is_stat else _HEIGHT
            place = {"x": left, "y": top, "w": panel.width, "h": tall}
            found.append({"id": len(found) + 1, "gridPos": place, **_panel(panel)})
            left, height = left + panel.width, max(height, tall)
        top += height
    return found


def _panel(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.least is not None:
        defaults["min"] = panel.least
    if panel.most is not None:
        defaults["max"] = panel.most
    if panel.names:
        defaults["mappings"] = [
            {"type": "value", "options": {
                str(value): {"text": text, "color": "red" if value == 0 else "green"}
                for value, text in panel.names.items()
            }}
        ]  # fmt: skip
    return {
        "type": "stat" if panel.is_stat else "timeseries",
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _OF_STAT if panel.is_stat else _OF_COURSE,
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": _SOURCE, "expr": line.expression,
             "legendFormat": line.legend, "range": not panel.is_stat, "instant": panel.is_stat}
            for number, line in enumerate(panel.lines)
        ],
    }  # fmt: skip


_OF_STAT = {
    "reduceOptions": {"calcs": ["lastNotNull"], "values": False},
    "colorMode": "value",
    "graphMode": "none",
    "textMode": "value_and_name",
}
_OF_COURSE = {
    "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
    "tooltip": {"mode": "multi", "sort": "desc"},
}


def rate(metric: str, *, by: str, where: str = "") -> str:
    """The sum of counters' rates. by: labels that stay. where: more conditions on labels."""
    selected = ",".join(filter(None, [TENANT, where]))
    return f"sum by ({by}) (rate({metric}{{{selected}}}[{WINDOW}]))"


def gauge(metric: str, where: str = "") -> str:
    """A gauge of the tenants that were chosen."""
    return f"{metric}{{{','.join(filter(None, [TENANT, where]))}}}"


def quantile(share: float, histogram: str, *, by: str, where: str = "") -> str:
    """A quantile of a histogram in the time between two points."""
    return (
        f"histogram_quantile({share}, {rate(f'{histogram}_bucket', by=f'{by}, le', where=where)})"
    )


def mean(histogram: str, *, by: str) -> str:
    """The mean of a histogram in the time between two points."""
    return f"{rate(f'{histogram}_sum', by=by)} / {rate(f'{histogram}_count', by=by)}"
