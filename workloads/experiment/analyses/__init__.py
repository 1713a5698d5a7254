"""What can be made of an experiment's points: analyses by name. An analysis is a pure function of what was found."""

from collections.abc import Mapping

from workloads.experiment.analyses import (
    capacity,
    extremes,
    lines,
    optimum,
    queueing,
    recovery,
    scaling,
)
from workloads.experiment.analyses.contract import Analysis, Evidence, Figure, Figures

__all__ = ["ANALYSES", "Analysis", "Evidence", "Figure", "Figures"]


def points(_: Evidence) -> Figures:
    """Nothing but the points' own figures."""
    return {}


def pick(options: Mapping[str, str], *names: str) -> dict[str, str]:
    """Some of them."""
    return {name: options[name] for name in names}


ANALYSES: Mapping[str, Analysis] = {
    "points": Analysis(points, "the points' own figures, such as {goodput undo 0.1}"),
    "extremes": Analysis(extremes.extremes, "the least and the most of each measure, and where"),
    "capacity": Analysis(
        capacity.capacity,
        "what searches found, which resource limits, what relieving it brings",
    ),
    "optimum": Analysis(
        optimum.optimum,
        "which value of an axis has the least or the most",
        optimum.OPTIONS,
    ),
    "recovery": Analysis(
        recovery.recovery,
        "when a measure is as usual again, and where it never is",
        recovery.OPTIONS,
    ),
    "line": Analysis(
        lines.straight,
        "the straight line of a measure over an axis",
        pick(lines.OPTIONS, "x", "y", "per", "against"),
    ),
    "knee": Analysis(
        lines.knee,
        "where a measure turns up over an axis; and extremes",
        pick(lines.OPTIONS, "x", "y", "factor"),
    ),
    "scalability": Analysis(
        scaling.scaling,
        "the Universal Scalability Law of a throughput over how many ask at once; and extremes",
        pick(lines.OPTIONS, "x", "y"),
    ),
    "queueing": Analysis(
        queueing.queueing,
        "a queue's waits beside those of M/G/1 and of M/M/1//N; and knee",
        queueing.OPTIONS,
    ),
}
