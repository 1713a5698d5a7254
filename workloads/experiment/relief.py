"""Which resource limits a host, from what runs measured of its queues; and what it would be with that made cheaper."""

from collections.abc import Mapping, Sequence
from typing import Any

from workloads import cost_table
from workloads.experiment.points import Point, scenario_of
from workloads.experiment.records import Experiment
from workloads.units import format_duration

Resources = dict[str, dict[str, float]]


def pooled(summaries: Sequence[Mapping[str, Any]]) -> Resources:
    """`resources` of the runs' summaries, each figure as the mean over the runs that have the resource."""
    names = dict.fromkeys(name for summary in summaries for name in summary.get("resources", {}))
    return {
        name: mean([s["resources"][name] for s in summaries if name in s.get("resources", {})])
        for name in names
    }


def mean(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Key by key; what is no number is left out."""
    keys = dict.fromkeys(key for row in rows for key, value in row.items() if number(value))
    columns = {key: [row[key] for row in rows if number(row.get(key))] for key in keys}
    return {key: sum(column) / len(column) for key, column in columns.items()}


def number(value: object) -> bool:
    """Truth is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def limiting(resources: Resources) -> str:
    """Where most is waiting: a busy server nobody waits for limits nobody. None where nobody waits anywhere."""
    waiting = {name: row.get("mean_waiting", 0.0) for name, row in resources.items()}
    most = max(waiting, key=lambda name: waiting[name], default="")
    return most if most and waiting[most] > 0 else ""


def halved(
    experiment: Experiment, point: Point, costs: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """Overrides that halve these costs, from what they are at the point."""
    scenario = scenario_of(experiment, point).scenario.costs
    known = {cost.name: cost.mean for cost in cost_table.load(scenario.model, scenario.override)}
    return tuple(
        (f"costs.override.{name}", format_duration(max(1, round(known[name] / 2))))
        for name in costs
    )
