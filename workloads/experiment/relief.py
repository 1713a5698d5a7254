"""Which resource limits a host, from what runs measured of its queues; and what it would be with more of that."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from workloads import cost_table
from workloads.experiment.clashes import COSTS
from workloads.experiment.points import Point, scenario_of
from workloads.experiment.records import Experiment, Relief
from workloads.experiment.search import Answer
from workloads.outcome.little import SERVERS
from workloads.queues import LOCKS
from workloads.units import format_duration

Resources = dict[str, dict[str, float]]
# Who holds the first of a VM's holds the second within: the outer one is busy whenever the inner one is, whatever of
# its own it has to do. What is left is its own time.
INNER = {"vmm": "ilock", "ilock": "mmu_lock", "mmu_lock": "tdx_tree"}
# What has room for so many, and refuses more, or has them wait for room.
ROOM = ("allocator", "boot_slots", "admission")
# What can limit, as summary.json calls it: whoever is there is served, and others wait or are refused.
RESOURCES = (*LOCKS, "tdx_tree", *SERVERS, *ROOM)
# Places where requests or pages are, that serve nobody one at a time.
NO_SERVERS = ("requests", "allocator")
# Who comes at random finds somebody at work with this chance (PASTA; R. W. Wolff, Oper. Res. 30 (1982)): of a station
# that is busy less than 1% of the time not one in a hundred has to wait, so no p99 is its doing.
EXPLAINS = 0.01
BorneOut = Literal["yes", "no", "unchecked", ""]
"""Whether more of what is named brought more; "" where nothing is."""


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


def limiting(resources: Resources, *, late: bool, failing: bool) -> str:
    """Where something else than a time was missed (`failing`), who had no room for the most of what was asked: who is
    refused tries again, so that its times are late, too. Else, where a time was missed (`late`), whose own time fills
    the largest share of a station's. "" where nobody refused, or is busy enough to explain it: then it is not known."""
    shares = refusals(resources) if failing else {}
    if late and not shares:
        shares = {name: part for name, part in own(resources).items() if busy(resources[name])}
    return max(shares, key=lambda name: shares[name], default="")


def busy(row: Mapping[str, float]) -> bool:
    """Is its busiest station at work often enough for anybody to notice?"""
    return row.get("utilisation_max", row["utilisation"]) >= EXPLAINS


def refusals(resources: Resources) -> dict[str, float]:
    """How much each that has room for so many refused."""
    return {
        name: row["refused"]
        for name, row in resources.items()
        if name in ROOM and row.get("refused")
    }


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
        if name not in NO_SERVERS and row.get("utilisation")
    }


def borne_out(answer: Answer, relieved: Answer | None, control: Answer | None) -> BorneOut:
    """Did more of what limits bring more, and more than the control brought?"""
    if relieved is None:
        return "unchecked"
    before, after, other = (
        -1 if one is None or one.value is None else one.value for one in (answer, relieved, control)
    )
    return "yes" if after > max(before, other) else "no"


def overrides(experiment: Experiment, point: Point, relief: Relief) -> tuple[tuple[str, Any], ...]:
    """What relieves a resource at the point: half of its costs there, and its settings."""
    scenario = scenario_of(experiment, point).scenario.costs
    known = {cost.name: cost.mean for cost in cost_table.load(scenario.model, scenario.override)}
    halves = tuple(
        (f"{COSTS}.{name}", format_duration(max(1, round(known[name] / 2))))
        for name in relief.costs
    )
    return halves + relief.sets
