"""What can be made of an experiment's points: analyses by name. An analysis is a pure function of what was found."""

from collections.abc import Mapping

from workloads.experiment.analyses import capacity, extremes, optimum, recovery
from workloads.experiment.analyses.contract import Analysis, Evidence, Figure, Figures

__all__ = ["ANALYSES", "Analysis", "Evidence", "Figure", "Figures"]


def points(_: Evidence) -> Figures:
    """Nothing but the points' own figures."""
    return {}


ANALYSES: Mapping[str, Analysis] = {
    "points": Analysis(points, "the points' own figures, such as {goodput undo 0.1}"),
    "extremes": Analysis(extremes.extremes, "the least and the most of each measure, and where"),
    "capacity": Analysis(
        capacity.capacity, "what searches found, which resource limits, what relieving it brings"
    ),
    "optimum": Analysis(
        optimum.optimum, "which value of an axis has the least or the most", optimum.OPTIONS
    ),
    "recovery": Analysis(
        recovery.recovery,
        "when a measure is as usual again, and where it never is",
        recovery.OPTIONS,
    ),
}
