"""A measure at the first value of an axis over that at its others, seed by seed: both had the same random numbers.

What the seeds have in common cancels out (common random numbers: A. M. Law, Simulation Modeling and Analysis (2015),
11.2), so that the interval of such a ratio can be far narrower than those of the two means.
"""

from collections.abc import Iterator

from workloads.experiment.analyses.contract import Evidence, Figure, Figures
from workloads.experiment.points import shown
from workloads.experiment.rows import Row
from workloads.outcome.interval import interval


def paired(found: Evidence) -> Figures:
    """`NAME A over B REST` of [conclusion] `paired`: the mean ratio with its 95% interval, of seeds that have both."""
    figures: Figures = {}
    axis = found.experiment.conclusion.paired
    for first, other in pairs(found, axis) if axis else ():
        rest = [shown(value) for name, value in first.place.items() if name != axis]
        words = (shown(first.place[axis]), "over", shown(other.place[axis]), *rest)
        for measure in found.experiment.measures:
            both = zip(first.samples[measure.name], other.samples[measure.name], strict=True)
            ratios = [a / b for a, b in both if a is not None and b]
            name = " ".join((measure.name, *words))
            figures[name] = Figure(None)
            if ratios:
                mean = interval(ratios)
                figures[name] = Figure(mean.mean, "number", mean)
    return figures


def pairs(found: Evidence, axis: str) -> Iterator[tuple[Row, Row]]:
    """Rows that differ in this axis alone, the first with the axis's first value."""
    firsts: dict[tuple[object, ...], Row] = {}
    for row in found.rows:
        rest = tuple(value for name, value in row.place.items() if name != axis)
        if rest in firsts:
            yield firsts[rest], row
        firsts.setdefault(rest, row)
