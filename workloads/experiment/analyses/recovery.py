"""When something is as usual again after a disturbance, and where it never is."""

from collections.abc import Mapping

from workloads.experiment.analyses.contract import Evidence, Figure, Figures
from workloads.experiment.analyses.options import known, named, number

OPTIONS: Mapping[str, str] = {
    "axis": "time since the disturbance, numbers that grow",
    "of": "the measure that has to come down",
    "normal": "the most that is as usual",
}
NEVER = "never"


def recovery(found: Evidence) -> Figures:
    """Of each combination of the other axes, named by its values.

    `recovered A B`: the first time from which on the measure is `normal` at most, else "never". `metastable`: those
    that never are and have no less at the end than half way, so that nothing drains; "none", if so. `slow`: those that
    are not normal at the end, but come down.
    """
    axis = known(found, "axis", [axis.name for axis in found.experiment.axes])
    of = known(found, "of", [m.name for m in found.experiment.measures])
    normal = number(found, "normal", 0)
    figures: Figures = {}
    stuck, slow = list[str](), list[str]()
    for name, rows in named(found, axis).items():
        values = [(row.place[axis], row.values[of]) for row in rows]
        curve = sorted((float(at), value.mean) for at, value in values if value is not None)
        if len(curve) < len(rows) or not curve:
            continue
        at = back(curve, normal)
        figures[f"recovered {name}"] = Figure(NEVER if at is None else at, or_none=True)
        if at is None:
            middle = curve[(len(curve) - 1) // 2][1]
            (stuck if curve[-1][1] >= middle else slow).append(name)
    for what, names in (("metastable", stuck), ("slow", slow)):
        figures[what] = Figure(", ".join(names) or "none")
    return figures


def back(curve: list[tuple[float, float]], normal: float) -> float | None:
    """The first time from which on the value is normal; None where the last one is not."""
    over = [place for place, (_, value) in enumerate(curve) if value > normal]
    after = over[-1] + 1 if over else 0
    return curve[after][0] if after < len(curve) else None
