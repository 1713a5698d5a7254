"""A board: rows of panels, read top-down, with the variables that their queries use and links to its sisters."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dashboards.panels import DATASOURCE, WIDTH, Json, Panel

SCHEMA = 39  # of the classic model: Grafana 10 to 13 read it
TAG = "gmemsim"
# A run is scraped each second; Grafana's own minimum is five times as long.
REFRESH = "5s"


class Row(NamedTuple):
    """A question, and the panels that answer it."""

    title: str
    panels: Sequence[Panel]


class Variable(NamedTuple):
    """What a reader may choose: values of a label, several or all."""

    name: str
    label: str
    text: str
    query: str


OF_THE_RUN = 'run_id=~"$run_id", job=~"$job", instance=~"$instance"'
# What else a reader chooses by, in families with that label.
CHOSEN = {
    label: f'{label}=~"${label}"' for label in ("protocol", "host_group", "experiment", "measure")
}
# Series that every run has, or every experiment.
ABOUT = '__name__=~"gmemsim_run_info|gmemsim_experiment_mean"'
VARIABLES = (
    Variable("job", "Job", "scrape job", f"label_values({{{ABOUT}}}, job)"),
    Variable(
        "instance",
        "Instance",
        "exporter",
        f'label_values({{{ABOUT}, job=~"$job"}}, instance)',
    ),
    Variable(
        "run_id",
        "Run",
        "one run has one exporter",
        f'label_values({{{ABOUT}, job=~"$job", instance=~"$instance"}}, run_id)',
    ),
    Variable(
        "protocol",
        "Protocol",
        "of the conversions",
        f"label_values(gmemsim_conversions_total{{{OF_THE_RUN}}}, protocol)",
    ),
    Variable(
        "host_group",
        "Hosts",
        "numbers of the first and the last, at most 16 groups",
        f"label_values(gmemsim_host_group_conversions_total{{{OF_THE_RUN}}}, host_group)",
    ),
    Variable(
        "experiment",
        "Experiment",
        "by its name",
        f"label_values(gmemsim_experiment_mean{{{OF_THE_RUN}}}, experiment)",
    ),
    Variable(
        "measure",
        "Measure",
        "what was measured at each point",
        f"label_values(gmemsim_experiment_mean{{{OF_THE_RUN}}}, measure)",
    ),
)


class Event(NamedTuple):
    """Something to mark on every time axis: where `expr` has a value."""

    name: str
    expr: str
    title: str
    color: str


class Board(NamedTuple):
    """`uid` is for ever: links and publishing go by it."""

    uid: str
    title: str
    text: str
    rows: Sequence[Row]
    events: Sequence[Event] = ()

    def model(self) -> Json:
        """As Grafana imports it."""
        panels = list(self._panels())
        return {
            "id": None,
            "uid": self.uid,
            "title": self.title,
            "description": self.text,
            "tags": [TAG],
            "schemaVersion": SCHEMA,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "timezone": "browser",
            "time": {"from": "now-15m", "to": "now"},
            "refresh": REFRESH,
            "templating": {"list": [_datasource(), *map(_variable, self._variables())]},
            "annotations": {"list": [_event(event) for event in self.events]},
            "links": [_sisters()],
            "panels": panels,
        }

    def _variables(self) -> Iterator[Variable]:
        asked = " ".join(query.expr for row in self.rows for p in row.panels for query in p.queries)
        return (variable for variable in VARIABLES if f"${variable.name}" in asked)

    def _panels(self) -> Iterator[Json]:
        number, y = 1, 0
        for row in self.rows:
            yield _title(row, number, y)
            number, y, x, tallest = number + 1, y + 1, 0, 0
            for panel in row.panels:
                if x + panel.width > WIDTH:
                    x, y, tallest = 0, y + tallest, 0
                yield panel.model(number, x, y)
                number, x, tallest = number + 1, x + panel.width, max(tallest, panel.height)
            y += tallest


def _title(row: Row, number: int, y: int) -> Json:
    place = {"h": 1, "w": WIDTH, "x": 0, "y": y}
    return {"id": number, "type": "row", "title": row.title, "collapsed": False, "panels": [],
            "gridPos": place}  # fmt: skip


def _datasource() -> Json:
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "refresh": 1,
    }


def _variable(variable: Variable) -> Json:
    return {
        "type": "query",
        "name": variable.name,
        "label": variable.label,
        "description": variable.text,
        "datasource": DATASOURCE,
        "query": variable.query,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "refresh": 2,  # when the time range changes
        "sort": 1,
        "hide": 0,
    }


def _event(event: Event) -> Json:
    return {
        "name": event.name,
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": event.color,
        "expr": event.expr,
        "titleFormat": event.title,
        "step": "1s",
    }


def _sisters() -> Json:
    return {
        "title": "gmemsim",
        "type": "dashboards",
        "icon": "external link",
        "tooltip": "the other boards, for the same run and time",
        "tags": [TAG],
        "asDropdown": True,
        "targetBlank": False,
        "includeVars": True,
        "keepTime": True,
    }
