"""What summary.json says of VMs that move between hosts."""

from collections.abc import Callable, Mapping
from typing import Any

from cluster.histogram import Histogram
from cluster.label_sets import MOVE_OUTCOMES
from workloads.outcome.figures import duration, number
from workloads.outcome.tally import Tally
from workloads.scenario import Scenario

MOVE_COUNTS = ("begun", *MOVE_OUTCOMES, "under_way")
RANKS = ("p50", "p90", "max")


def moves(
    scenario: Scenario, seen: Tally, percentiles: Callable[[Histogram], dict[str, Any]]
) -> dict[str, Any]:
    """Moves by what became of them, where there can be any, and how long VMs stood still for them."""
    if scenario.moves.kind == "none":
        return {}
    found = {name: seen.count("vm_moves", name) for name in MOVE_OUTCOMES}
    begun = seen.count("moves_begun")
    times = {
        "downtime_seconds": percentiles(seen.histogram("move_downtime")),
        "evacuation_seconds": percentiles(seen.histogram("evacuation")),
    }
    return {"moves": {"begun": begun, **found, "under_way": begun - sum(found.values()), **times}}


def in_words(made: Mapping[str, Any]) -> str:
    """For people."""
    failed = [
        f"{number(made[name])} {name.replace('_', ' ')}"
        for name in MOVE_OUTCOMES
        if name != "moved" and made[name]
    ]
    under_way = f", {number(made['under_way'])} under way" if made["under_way"] else ""
    lines = [
        f"{number(made['begun'])} begun: {', '.join([number(made['moved']) + ' moved', *failed])}{under_way}"
    ]
    for name, what in (
        ("downtime_seconds", "VMs stood still for"),
        ("evacuation_seconds", "hosts emptied in"),
    ):
        times = made[name]
        if times["count"]:
            ranks = ", ".join(f"{rank} {duration(times[rank])}" for rank in RANKS)
            lines.append(f"{what}: {ranks}")
    return "\n".join(lines)
