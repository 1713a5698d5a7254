"""What summary.json says of queues: how busy and how long each was, and that Little's law holds at each (L12)."""

from collections.abc import Mapping
from typing import Any

from workloads.inside import PARTS, QUEUES
from workloads.outcome.shape import Resource
from workloads.queues import MILLION, MOST

NS = 1_000_000_000
SERVERS = ("iommu_queue", "tdx_aug")  # in virtual time: what is inside has been told in advance
Sums = Mapping[str, Mapping[str, int]]


def resources(sums: Sums) -> dict[str, Resource]:
    """Up to each host's last answer, for the mean station of each resource."""
    return {name: resource(of) for name, of in sorted(sums.items()) if of["window"]}


def resource(of: Mapping[str, int]) -> Resource:
    """From its sums (workloads.queues)."""
    window, arrivals = of["window"], of["arrivals"]
    found = Resource(
        utilisation=of["busy"] / window,
        utilisation_max=of[MOST] / MILLION,
        mean_waiting=of["area_waiting"] / window,
        mean_in_system=of["area"] / window,
        arrivals=arrivals,
        refused=of["refused"],
        mean_wait_seconds=of["area_waiting"] / arrivals / NS if arrivals else 0.0,
        stations=of["stations"],
    )
    if served := of["services"]:
        mean = of["service"] / served
        found["mean_service_seconds"] = mean / NS
        square = of["service_squares"] * MILLION / served
        found["service_scv"] = max(square / mean**2 - 1, 0.0) if mean else 0.0
    return found


def breaches(sums: Sums, states: Mapping[str, int]) -> list[str]:
    """L12, one line for each queue at which Little's law does not hold."""
    found = []
    for name in (*QUEUES, *SERVERS):
        for number, came, who in ((*PARTS[:2], "in the system"), (*PARTS[2:], "waiting")):
            told = sums.get(name, {})
            count, due = told.get(number, 0), told.get(came, 0)
            here, since = states.get(f"{number}.{name}", 0), states.get(f"{came}.{name}", 0)
            if count != here:
                found.append(f"{name}: by who came and left {count} are {who}, by its state {here}")
            elif due != since:
                found.append(
                    f"{name}: the integral of the number {who} is {since - due:+,} ns from the sum of their times"
                )
    return found


def findings(sums: Sums, states: Mapping[str, int], now: int) -> list[dict[str, Any]]:
    """The same as lines of anomalies.jsonl; `now` is the run's end (ns)."""
    return [
        {
            "time_seconds": now / NS,
            "id": "L12",
            "vm": "all",
            "op": None,
            "text": text,
            "admitted": False,
            "story": [],
        }
        for text in breaches(sums, states)
    ]
