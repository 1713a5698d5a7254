"""What can be made of an experiment's points: analyses by name. An analysis is a pure function of what was found."""

from collections.abc import Mapping

from workloads.experiment.analyses import capacity, extremes
from workloads.experiment.analyses.contract import Analysis, Evidence, Figure, Figures

__all__ = ["ANALYSES", "Analysis", "Evidence", "Figure", "Figures"]


def points(_: Evidence) -> Figures:
    """Nothing but the points' own figures."""
    return {}


ANALYSES: Mapping[str, Analysis] = {
    "points": Analysis(points, lambda _: {}, "the points' own figures, such as {goodput undo 0.1}"),
    "extremes": Analysis(
        extremes.extremes, extremes.kinds, "the least and the most of each measure, and where"
    ),
    "capacity": Analysis(
        capacity.capacity,
        capacity.kinds,
        "what searches found, which resource limits, what relieving it brings",
    ),
}
