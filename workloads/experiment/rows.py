"""A point as a row: where it is on the axes, and each measure over its seeds."""

from typing import Any

import msgspec

from workloads.experiment.measures import over_seeds, value_of
from workloads.experiment.pursuit import Seen
from workloads.experiment.records import Experiment, Value
from workloads.outcome.interval import Interval
from workloads.outcome.verdict import worst


class Row(msgspec.Struct):
    """`held` is whether a search's objective held there; `values` are by measure, None where no run has the
    figure; `samples` are the same seed by seed.
    """

    name: str
    place: dict[str, Value]
    relieved: str
    held: bool | None
    seeds: int
    verdict: str
    reasons: list[str]
    values: dict[str, Interval | None]
    sets: dict[str, Any]
    samples: dict[str, list[float | None]] = {}


def row_of(experiment: Experiment, seen: Seen) -> Row:
    """Of a point that is done."""
    point, summaries = seen.point, seen.summaries
    return Row(
        name=point.name,
        place=dict(point.place),
        relieved=point.relieved,
        held=seen.held,
        seeds=len(summaries),
        verdict=worst([summary["verdict"] for summary in summaries]),
        reasons=[
            f"seed {summary['seed']}: {text}"
            for summary in summaries
            for text in summary["reasons"]
        ],
        values={measure.name: over_seeds(measure, summaries) for measure in experiment.measures},
        sets=dict(point.sets),
        samples={m.name: [value_of(m, one) for one in summaries] for m in experiment.measures},
    )
