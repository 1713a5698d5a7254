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
    figure; `samples` are the same seed by seed. `left_out` is the share of conversions that latencies leave out of each
    seed's beginning (None: the rule cannot tell), where the scenario asks for that.
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
    left_out: list[float | None] = []


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
        left_out=[share_of(one["warm_up"]) for one in summaries if "warm_up" in one],
    )


def share_of(warm_up: dict[str, Any]) -> float | None:
    """What is left out of all."""
    return None if warm_up["seconds"] is None else float(warm_up["left_out"] / warm_up["of"])
