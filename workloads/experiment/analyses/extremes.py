"""The least and the most of each measure over all points, and where."""

import math

from workloads.experiment.analyses.contract import Evidence, Figure, Figures
from workloads.outcome.interval import Interval

NOWHERE = "no point in particular"


def extremes(found: Evidence) -> Figures:
    """`least NAME`, `most NAME`, and `least NAME at`, `most NAME at` for the points' names.

    Where the runs do not tell the two apart they are at no point in particular, and `apart NAME` is "no".
    """
    figures: Figures = {}
    for measure in found.experiment.measures:
        rows = [(row, row.values[measure.name]) for row in found.rows if not row.relieved]
        some = [(row, value) for row, value in rows if value is not None]
        if not some:
            continue
        ends = [choose(some, key=lambda one: one[1].mean) for choose in (min, max)]
        apart = len(some) == 1 or told_apart(*(value for _, value in ends))
        note = f"The runs do not tell the least and the most {measure.name} apart."
        for word, (row, value) in zip(("least", "most"), ends, strict=True):
            figures[f"{word} {measure.name}"] = Figure(
                value.mean, measure.unit, value, note="" if apart else note
            )
            figures[f"{word} {measure.name} at"] = Figure(row.name if apart else NOWHERE)
        figures[f"apart {measure.name}"] = Figure("yes" if apart else "no")
    return figures


def told_apart(least: Interval, most: Interval) -> bool:
    """Is the difference of two means beyond its own 95% interval, as of independent runs? Of single ones any is."""
    return most.mean - least.mean > math.hypot(least.half or 0.0, most.half or 0.0)
