"""Which value of an axis serves best: the least or the most of a measure, or of a sum of measures."""

from collections.abc import Iterator, Mapping

from workloads.experiment.analyses.contract import Evidence, Figure, Figures
from workloads.experiment.analyses.options import known, named
from workloads.experiment.points import shown
from workloads.experiment.records import Value
from workloads.experiment.rows import Row

OPTIONS: Mapping[str, str] = {
    "axis": "whose values are weighed against each other",
    "of": "measures that are added up",
    "wants": "least | most of the sum",
}
TIE = 0.01
WANTS = ("least", "most")


def optimum(found: Evidence) -> Figures:
    """Of each combination of the other axes, named by its values.

    `optimum A B`: the value of the axis; `best A B` and `worst A B`: the sums there and at the worst one. Of values
    within 1% of the best the first counts: it is the least that will do; `alike A B` are the others, or "none".
    """
    axis = known(found, "axis", [axis.name for axis in found.experiment.axes])
    measures = found.options.get("of")
    several = measures if isinstance(measures, list) else [measures]
    names = [
        known(found, "of", [m.name for m in found.experiment.measures], one) for one in several
    ]
    sign = -1 if known(found, "wants", WANTS, found.options.get("wants", "least")) == "most" else 1
    unit = next(m.unit for m in found.experiment.measures if m.name == names[0])
    figures: Figures = {}
    for name, rows in named(found, axis).items():
        sums = list(added(rows, axis, names))
        if not sums:
            continue
        ordered = sorted(sums, key=lambda one: sign * one[1])
        best, worst = ordered[0][1], ordered[-1][1]
        first, *others = [shown(at) for at, total in sums if abs(total - best) <= TIE * abs(best)]
        figures[f"optimum {name}"] = Figure(first)
        figures[f"alike {name}"] = Figure(", ".join(others) or "none")
        figures[f"best {name}"] = Figure(best, unit)
        figures[f"worst {name}"] = Figure(worst, unit)
    return figures


def added(rows: list[Row], axis: str, names: list[str]) -> Iterator[tuple[Value, float]]:
    """(value of the axis, sum of the measures) of the rows that have them all."""
    for row in rows:
        values = [row.values[name] for name in names]
        some = [value.mean for value in values if value is not None]
        if len(some) == len(values):
            yield row.place[axis], sum(some)
