"""What many runs have reached of all that there is, so that what was never reached is visible. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from cluster.fault_points import FAULT_POINTS
from workloads.checkers import ANOMALIES
from workloads.swarm.rows import all_rows
from workloads.swarm.trial import Found

# What is counted -> all that could be.
KINDS: Mapping[str, Any] = {
    "fault_points": lambda: list(FAULT_POINTS),
    "table_rows": all_rows,
    "anomalies": lambda: [check.id for check in ANOMALIES],
}


def coverage(found: Iterable[Found]) -> dict[str, dict[str, Any]]:
    """Of each kind what was reached, in how many runs, and what never was."""
    runs: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for one in found:
        for kind, seen in runs.items():
            seen.update(getattr(one, kind).keys())
    return {
        kind: {
            "fired": {name: runs[kind][name] for name in names if runs[kind][name]},
            "never": [name for name in names if not runs[kind][name]],
        }
        for kind, names in ((kind, every()) for kind, every in KINDS.items())
    }
