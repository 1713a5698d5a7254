"""The least and the most of each measure over all points, and where."""

from workloads.experiment.analyses.contract import Evidence, Figure, Figures


def extremes(found: Evidence) -> Figures:
    """`least NAME`, `most NAME`, and `least NAME at`, `most NAME at` for the points' names."""
    figures: Figures = {}
    for measure in found.experiment.measures:
        rows = [(row, row.values[measure.name]) for row in found.rows if not row.relieved]
        some = [(row, value) for row, value in rows if value is not None]
        if not some:
            continue
        for word, choose in (("least", min), ("most", max)):
            row, value = choose(some, key=lambda one: one[1].mean)
            figures[f"{word} {measure.name}"] = Figure(value.mean, measure.unit, value)
            figures[f"{word} {measure.name} at"] = Figure(row.name)
    return figures
