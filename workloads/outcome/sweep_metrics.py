"""metrics.om.gz of a sweep, made from points.json: its points and answers, to fill a Prometheus with."""

from collections.abc import Iterator, Mapping
from typing import Any

from cluster.experiment_metrics import (
    AT_LEAST,
    EXACTLY,
    ONE_EDGE,
    Capacity,
    Point,
    experiment_metrics,
)

Found = Mapping[str, Any]
NOTHING = "none"  # limits, as far as was looked: a label without a value would be no label


def openmetrics(found: Found, at: float, extra: Mapping[str, str]) -> Iterator[str]:
    """OpenMetrics text, at a wall-clock time (s since 1970). What has no value is not there."""
    return experiment_metrics(found["experiment"], points(found), capacities(found), at, extra)


def points(found: Found) -> Iterator[Point]:
    """Each measure at each point. Where a resource is relieved is a line of its own."""
    for row in found["rows"]:
        *others, last = row["place"].items()
        place = dict([*others, *relieved(row["relieved"]), last])
        for name, value in row["values"].items():
            if value is not None:
                yield Point(place, name, value["mean"], value["low"], value["high"])


def capacities(found: Found) -> Iterator[Capacity]:
    """What each search came to, as it is, with its limit relieved, and with what does not limit."""
    for one in found["found"]:
        for search, made in (
            (one, ""),
            (one["relieved"], one["limiting"]),
            (one["control"], one["idle"]),
        ):
            if search and search["answer"]["value"] is not None:
                place = dict([*one["place"].items(), *relieved(made)])
                answer = search["answer"]
                limiting = search["limiting"] or NOTHING
                yield Capacity(place, answer["value"], kind_of(answer), limiting)


def kind_of(answer: Mapping[str, Any]) -> str:
    """What its value is. Where even the last of all held nobody knows how far it goes."""
    if answer["most"]:
        return AT_LEAST
    return EXACTLY if answer["monotone"] else ONE_EDGE


def relieved(resource: str) -> list[tuple[str, str]]:
    """As one more axis, which no axis of an experiment can be called."""
    return [("", f"{resource} relieved")] if resource else []
