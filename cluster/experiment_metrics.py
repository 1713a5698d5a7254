"""An experiment's points as OpenMetrics text, for a Prometheus that is filled afterwards (dashboards.experiment)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from cluster.exposition import series
from cluster.label_sets import Labels
from cluster.metrics import EXPERIMENT

# What a search's value is: the last before a miss; the last that was looked at, and none missed; one edge of several.
ANSWERS = EXACTLY, AT_LEAST, ONE_EDGE = "exactly", "at least", "one edge of several"
Place = Mapping[str, object]
"""Axis -> its value; of a closed set, which the experiment names. What it is searched by may be one of them."""


class Point(NamedTuple):
    """A measure at a place, over seeds. `low` and `high` are None for a single one."""

    place: Place
    measure: str
    mean: float
    low: float | None = None
    high: float | None = None


class Capacity(NamedTuple):
    """What a search came to at a place of the other axes; `limiting` names the resource that it ran into.

    `answer` says what the value is: one of ANSWERS.
    """

    place: Place
    value: float
    answer: str = EXACTLY
    limiting: str = ""


def experiment_metrics(
    experiment: str,
    points: Iterable[Point],
    capacities: Iterable[Capacity],
    at: float,
    extra: Mapping[str, str],
) -> Iterator[str]:
    """Lines of the exposition, at a wall-clock time (s since 1970); `extra` are the labels that tell it from others.

    A curve is drawn over the last axis of a place: the axes before it, in their order, make its line.
    """
    values: dict[str, dict[Labels, float]] = {name: {} for name in EXPERIMENT}
    for place, measure, mean, low, high in points:
        (axis, value), line = last(place)
        labels: Labels = (experiment, measure, line, axis, shown(value))
        for end, number in (("mean", mean), ("low", low), ("high", high)):
            if number is not None:
                values[f"gmemsim_experiment_{end}"][labels] = number
    for place, number, answer, limiting in capacities:
        values["gmemsim_experiment_capacity"][experiment, words(place), answer, limiting] = number
    for name, found in values.items():
        family = EXPERIMENT[name]
        yield f"# TYPE {name} {family.kind}"
        yield f"# HELP {name} {family.help}"
        for labels, number in found.items():
            (one,) = series(family, labels, extra)
            yield f"{one} {float(number)!r} {at:.3f}"
    yield "# EOF"


def last(place: Place) -> tuple[tuple[str, object], str]:
    """The axis that a curve is over, with its value; and the line, by the others."""
    *others, axis = place.items()
    return axis, words(dict(others))


def words(place: Place) -> str:
    """two-phase, 2 MiB."""
    return ", ".join(shown(value) for value in place.values())


def shown(value: object) -> str:
    """Numbers without a needless fraction, so that one value has one label."""
    return f"{value:g}" if isinstance(value, float) else str(value)
