"""A measure against a numeric axis, for each place on the others: the line through it, or where it turns up."""

from collections.abc import Iterator

from workloads.analysis import knee as knees
from workloads.analysis import line
from workloads.experiment.analyses.contract import Evidence, Figure, Figures
from workloads.experiment.analyses.extremes import extremes
from workloads.experiment.analyses.options import known, number
from workloads.experiment.points import shown
from workloads.outcome.interval import Interval

OPTIONS = {
    "x": "the numeric axis",
    "y": "the measure",
    "per": "what slope and base are divided by",
    "against": "an axis whose first value is compared with its others",
    "factor": "a knee is where the measure is so many times what it is at the least x (2)",
}
Curve = list[tuple[float, Interval]]


def curves(found: Evidence, x: str, y: str) -> Iterator[tuple[dict[str, str], Curve]]:
    """(the place on the other axes, points by growing x), without points that have no value, or a text for x."""
    several: dict[tuple[tuple[str, str], ...], Curve] = {}
    for row in found.rows:
        value, at = row.values.get(y), row.place.get(x)
        if value is None or isinstance(at, str | bool) or at is None or row.relieved:
            continue
        others = tuple((axis, shown(place)) for axis, place in row.place.items() if axis != x)
        several.setdefault(others, []).append((float(at), value))
    for others, points in several.items():
        yield dict(others), sorted(points, key=lambda point: point[0])


def axes(found: Evidence) -> tuple[str, str]:
    """The options x and y: an axis of numbers, and a measure."""
    numeric = [
        axis.name
        for axis in found.experiment.axes
        if all(not isinstance(choice.label, str | bool) for choice in axis.choices)
    ]
    return known(found, "x", numeric), known(
        found, "y", [m.name for m in found.experiment.measures]
    )


def named(what: str, place: dict[str, str]) -> str:
    """As point_figures names a measure."""
    return " ".join((what, *place.values()))


def straight(found: Evidence) -> Figures:
    """`slope PLACE` (with its 95% interval), `base PLACE` at x = 0, `r2 PLACE`; `slopes A over B REST` of `against`.

    `least r2` is of the place that is least straight.
    """
    x, y = axes(found)
    per = number(found, "per", 1)
    unit = next(measure.unit for measure in found.experiment.measures if measure.name == y)
    figures: Figures = {}
    slopes: dict[tuple[tuple[str, str], ...], float] = {}
    straightness = []
    for place, points in curves(found, x, y):
        if len(points) < 3:
            continue
        fit = line.fit([at for at, _ in points], [value.mean for _, value in points])
        slope, half = fit.slope / per, fit.half / per
        figures[named("slope", place)] = Figure(slope, unit, Interval(slope, half, len(points)))
        figures[named("base", place)] = Figure(fit.base / per, unit)
        figures[named("r2", place)] = Figure(fit.r_squared)
        straightness.append(fit.r_squared)
        slopes[tuple(place.items())] = slope
    if straightness:
        figures["least r2"] = Figure(min(straightness))
    if "against" not in found.options:
        return figures
    against = known(found, "against", [axis.name for axis in found.experiment.axes])
    return figures | ratios(slopes, against)


def ratios(slopes: dict[tuple[tuple[str, str], ...], float], axis: str) -> Figures:
    """Of slopes that differ in one axis alone: the first value's over each other's."""
    figures: Figures = {}
    first: dict[str, tuple[str, float]] = {}
    for place, slope in slopes.items():
        others = dict(place)
        value = others.pop(axis, "")
        rest = " ".join(others.values())
        if rest not in first:
            first[rest] = value, slope
        elif slope:
            name = f"slopes {first[rest][0]} over {value} {rest}".strip()
            figures[name] = Figure(first[rest][1] / slope)
    return figures


def knee(found: Evidence) -> Figures:
    """`knee PLACE` in units of x, or "none"; `rise PLACE` is the measure at the largest x over that at the least.

    And what `extremes` gives.
    """
    figures = extremes(found)
    x, y = axes(found)
    factor = number(found, "factor", 2)
    for place, points in curves(found, x, y):
        xs, ys = [at for at, _ in points], [value.mean for _, value in points]
        if len(points) < 2 or not ys[0]:
            continue
        at = knees.knee(xs, ys, factor)
        figures[named("knee", place)] = Figure("none" if at is None else at, or_none=True)
        figures[named("rise", place)] = Figure(ys[-1] / ys[0])
    return figures
