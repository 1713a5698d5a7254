"""A finished run on the time axis of every board: annotations for its start, its end, its faults and its violations.

Faults and violations have simulated times; on the axis of wall time they are marked over the whole run.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypedDict
from urllib.parse import quote

from dashboards.panels import Json
from dashboards.publisher import Grafana

TAG = "gmemsim"
MOST = 1000  # annotations of one run that are looked at


class Entry(TypedDict):
    """What is looked at of an annotation that is there."""

    time: int
    text: str


class Mark(NamedTuple):
    """Times are in ms since 1970."""

    kind: str
    text: str
    begin: int
    end: int

    def body(self, run_id: str) -> Json:
        """As Grafana takes it."""
        tags = [TAG, run_id, self.kind]
        return {"time": self.begin, "timeEnd": self.end, "text": self.text, "tags": tags}


def marks(summary: Mapping[str, Any], run_id: str, began: int) -> Iterator[Mark]:
    """Of a run that began then."""
    ended = began + round(1000 * summary["engine"]["wall_seconds"])
    what = f"{summary['scenario']}, protocol {summary['protocol']}, seed {summary['seed']}"
    yield Mark("start", f"{run_id} starts: {what}", began, began)
    yield Mark("end", f"{run_id} ends: {summary['verdict']}", ended, ended)
    for rule in summary["faults"]:
        if rule["struck"]:
            text = f"fault {rule['point']} struck {rule['struck']} of {rule['opportunities']}"
            yield Mark("fault", text, began, ended)
    for name, count in summary["invariant_violations"].items():
        yield Mark("violation", f"{name} violated {count} times", began, ended)


def annotate(
    grafana: Grafana, run_id: str, found: Iterable[Mark], dry: bool = False
) -> Iterator[str]:
    """One line for each; those that are there already stay alone."""
    query = f"/annotations?limit={MOST}&tags={TAG}&tags={quote(run_id, safe='')}"
    entries: list[Entry] = grafana.call("GET", query, shape=list[Entry])
    there = {(entry["time"], entry["text"]) for entry in entries}
    for mark in found:
        known = (mark.begin, mark.text) in there
        if not known and not dry:
            grafana.call("POST", "/annotations", mark.body(run_id))
        yield f"{'unchanged' if known else 'created':9} annotation {mark.text}"
