"""What summary.json says of VMs that arrive in a fleet."""

from collections.abc import Mapping
from typing import Any

from workloads.fleet_meter import REQUESTS
from workloads.outcome.figures import duration, number
from workloads.outcome.tally import Tally
from workloads.scenario import Scenario

RANKS = ("p50", "p90", "max")
WAITS = {"placement_seconds": "placed", "up_seconds": "up"}


def arrivals(scenario: Scenario, seen: Tally, waits: dict[str, Any]) -> dict[str, Any]:
    """Requests by what became of them, where there can be any, and what they waited for."""
    if scenario.arrivals.kind == "none":
        return {}
    found = {name: seen.count("vm_requests", name) for name in REQUESTS.values()}
    found["pending"] = found["came"] - found["placed"] - found["turned_away"]
    found["places_used_up"] = seen.count("places_used_up")
    return {"arrivals": {**found, **waits}}


def in_words(arrived: Mapping[str, Any]) -> str:
    """For people."""
    found = {name: number(count) for name, count in arrived.items() if name not in WAITS}
    waited = ""
    if arrived["places_used_up"]:
        waited = f"\n{found['places_used_up']} places have had all their VMs (fleet.generations)"
    for name, word in WAITS.items():
        waits = arrived.get(name, {})  # results may be of another version
        if waits.get("count"):
            ranks = ", ".join(f"{rank} {duration(waits[rank])}" for rank in RANKS)
            waited += f"\n{word} after: {ranks}"
    return (
        f"{found['came']} came: {found['placed']} placed, {found['turned_away']} turned away, "
        f"{found['pending']} pending; {found['left']} have left\n"
        f"{found['refused']} refused by a host, {found['queued']} found no host to ask and wait"
        f"{waited}"
    )
