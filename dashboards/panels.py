"""Panels of Grafana's classic dashboard model, as the few kinds that the boards are made of.

A panel knows its size and not its place: dashboards.board lays rows out. Units are Grafana's own names.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Json = dict[str, Any]

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
GREEN, YELLOW, RED = "green", "yellow", "red"
WIDTH = 24  # columns of Grafana's grid


class Query(NamedTuple):
    """One PromQL expression. `legend` names its series by their labels: `{{consumer}}`."""

    expr: str
    legend: str


class Panel(NamedTuple):
    """`text` says what good and bad look like. `steps` are (value from which on, colour), the first from nothing on."""

    kind: str
    title: str
    text: str
    queries: Sequence[Query]
    unit: str
    steps: Sequence[tuple[float | None, str]] = ((None, GREEN),)
    width: int = 8
    height: int = 8
    options: Mapping[str, Any] = {}
    custom: Mapping[str, Any] = {}
    transformations: Sequence[Json] = ()  # of the table that its query is asked for

    def model(self, number: int, x: int, y: int) -> Json:
        """As Grafana has it, at a place of the grid."""
        table = {"transformations": [*self.transformations]} if self.transformations else {}
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.text,
            "datasource": DATASOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "targets": [self._target(n, query) for n, query in enumerate(self.queries)],
            "options": dict(self.options),
            "fieldConfig": {"defaults": self._defaults(), "overrides": []},
            **table,
        }

    def _target(self, number: int, query: Query) -> Json:
        table = bool(self.transformations)
        shape = "heatmap" if self.kind == "heatmap" else "time_series"
        return {
            "refId": chr(ord("A") + number),
            "datasource": DATASOURCE,
            "expr": query.expr,
            "legendFormat": query.legend,
            "editorMode": "code",
            "format": "table" if table else shape,
            "instant": table,
            "range": not table,
        }

    def _defaults(self) -> Json:
        steps = [{"value": value, "color": color} for value, color in self.steps]
        return {
            "unit": self.unit,
            "color": {"mode": "thresholds" if self.kind == "stat" else "palette-classic"},
            "thresholds": {"mode": "absolute", "steps": steps},
            "noValue": "no data",
            "custom": dict(self.custom),
        }


LINES = {"drawStyle": "line", "fillOpacity": 10, "lineWidth": 1, "showPoints": "never"}
LEGEND = {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}


def number(title: str, text: str, query: Query, unit: str, *steps: tuple[float, str]) -> Panel:
    """One figure: the last that is known, in the colour of its threshold."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background",
        "graphMode": "area",
        "textMode": "value_and_name",
    }
    return Panel("stat", title, text, [query], unit, ((None, GREEN), *steps), 4, 4, options)


def lines(
    title: str,
    text: str,
    queries: Sequence[Query],
    unit: str,
    *steps: tuple[float, str],
    width: int = 12,
    stacked: bool = False,
) -> Panel:
    """Series over time. Thresholds are drawn as lines."""
    custom = LINES | {"thresholdsStyle": {"mode": "line" if steps else "off"}}
    if stacked:
        custom |= {"stacking": {"mode": "normal", "group": "A"}, "fillOpacity": 60}
    options = {"legend": LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}}
    all_steps = ((None, GREEN), *steps)
    return Panel("timeseries", title, text, queries, unit, all_steps, width, 8, options, custom)


def heatmap(title: str, text: str, expr: str, unit: str) -> Panel:
    """A histogram's buckets over time."""
    options = {
        "calculate": False,
        "yAxis": {"unit": unit, "axisPlacement": "left"},
        "color": {"mode": "scheme", "scheme": "Viridis", "steps": 64},
        "cellGap": 1,
        "tooltip": {"mode": "single", "yHistogram": True},
    }
    return Panel("heatmap", title, text, [Query(expr, "{{le}}")], unit, width=12, options=options)


def bars(title: str, text: str, query: Query, unit: str, *steps: tuple[float, str]) -> Panel:
    """One bar for each series, as it stands now."""
    options = {
        "orientation": "horizontal",
        "displayMode": "gradient",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showUnfilled": True,
    }
    return Panel("bargauge", title, text, [query], unit, ((None, GREEN), *steps), 12, 8, options)


def curves(title: str, text: str, query: Query, x: str, line: str, unit: str) -> Panel:
    """A line for each value of the label `line`, over the numbers that the label `x` has."""
    at = f"{x}\\{line}"  # so the matrix calls its first column
    transformations = (
        {
            "id": "groupingToMatrix",
            "options": {
                "columnField": line,
                "rowField": x,
                "valueField": "Value",
                "emptyValue": "null",
            },
        },
        {
            "id": "convertFieldType",
            "options": {"conversions": [{"targetField": at, "destinationType": "number"}]},
        },
        {"id": "sortBy", "options": {"sort": [{"field": at}]}},
    )
    custom = LINES | {"showPoints": "always", "spanNulls": True}
    options = {
        "xField": at,
        "legend": LEGEND | {"calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    steps = ((None, GREEN),)
    return Panel(
        "trend", title, text, [query], unit, steps, WIDTH, 12, options, custom, transformations
    )
