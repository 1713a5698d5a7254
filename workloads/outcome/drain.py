"""What summary.json says of a load that ended at scenario.duration, before it was answered."""

from collections.abc import Mapping
from typing import Any

from workloads.outcome.figures import duration, number
from workloads.outcome.tally import NS, Tally
from workloads.scenario import Scenario


def drain(scenario: Scenario, seen: Tally, now: int) -> dict[str, Any]:
    """How long the run went on with what had been asked for by then, and how much of it was answered."""
    end = scenario.scenario.duration
    if now <= end:
        return {}
    answered = sum(row[1] for row in seen.timeline if row[0] >= end)
    return {
        "load_ended_seconds": end / NS,
        "drain": {"seconds": (now - end) / NS, "answered": answered},
    }


def in_words(summary: Mapping[str, Any]) -> str:
    """For people."""
    found = summary["drain"]
    answers = f": {number(found['answered'])} answers or more" if found["answered"] else ""
    return (
        f"the load ended at {duration(summary['load_ended_seconds'])} (scenario.duration); what was under way or "
        f"waited took another {duration(found['seconds'])}{answers}"
    )
