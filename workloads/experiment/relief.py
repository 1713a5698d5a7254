"""Which resource limits a host, from what runs measured of its queues; and what it would be with that made cheaper."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from workloads import cost_table
from workloads.experiment.clashes import COSTS
from workloads.experiment.points import Point, scenario_of
from workloads.experiment.records import Experiment
from workloads.outcome.little import SERVERS
from workloads.queues import LOCKS
from workloads.units import format_duration

Resources = dict[str, dict[str, float]]
# Who holds the first of a VM's holds the second within: the outer one is busy whenever the inner one is, whatever of
# its own it has to do. What is left is its own time.
INNER = {"vmm": "ilock", "ilock": "mmu_lock", "mmu_lock": "tdx_tree"}
# What can limit, as summary.json calls it: whoever is there is served, and others wait or are refused.
RESOURCES = (*LOCKS, "tdx_tree", *SERVERS, "boot_slots", "admission")
# Places where requests or pages are, that serve nobody one at a time.
NO_SERVERS = ("requests", "allocator")


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
    """Whose own time fills the largest share of a station's; "" where nobody has measured any."""
    shares = own(resources)
    return max(shares, key=lambda name: shares[name], default="")


def control(resources: Resources, limit: str, known: Iterable[str]) -> str:
    """Of those known, whose own time fills the smallest share, the limit apart: to relieve it should gain little."""
    shares = own(resources)
    others = [name for name in known if name in shares and name != limit]
    return min(others, key=lambda name: shares[name], default="")


def own(resources: Resources) -> dict[str, float]:
    """The share of its time in which a station does what is its own."""
    return {
        name: row["utilisation"] - resources.get(INNER.get(name, ""), {}).get("utilisation", 0.0)
        for name, row in resources.items()
        if name not in NO_SERVERS and "utilisation" in row
    }


def halved(
    experiment: Experiment, point: Point, costs: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """Overrides that halve these costs, from what they are at the point."""
    scenario = scenario_of(experiment, point).scenario.costs
    known = {cost.name: cost.mean for cost in cost_table.load(scenario.model, scenario.override)}
    return tuple(
        (f"{COSTS}.{name}", format_duration(max(1, round(known[name] / 2)))) for name in costs
    )
