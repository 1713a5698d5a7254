"""The Universal Scalability Law of a throughput over how many ask at once, for each place on the other axes."""

import math

from workloads.analysis import scalability
from workloads.experiment.analyses import lines
from workloads.experiment.analyses.contract import Evidence, Figure, Figures
from workloads.experiment.analyses.extremes import extremes
from workloads.experiment.points import shown

POINTS_MIN = 4


def scaling(found: Evidence) -> Figures:
    """`alone PLACE` is the throughput of one by the law, `contention PLACE` and `coherency PLACE` its coefficients.

    `peak PLACE` is how many ask at once where throughput is largest, "none" without coherency; `most PLACE` is what it
    tends to with more and more, or has at the peak; `off PLACE` the largest residual as a share of what was measured,
    `off at PLACE` where, `over at PLACE` "more" or "less", as was measured there; `off N PLACE` each residual, above 0
    where more was measured. `most off` is the largest of all. And what `extremes` gives.
    """
    figures, worst = extremes(found), list[float]()
    x, y = lines.axes(found)
    unit = next(measure.unit for measure in found.experiment.measures if measure.name == y)
    for place, points in lines.curves(found, x, y):
        users, throughputs = [at for at, _ in points], [value.mean for _, value in points]
        if len(points) < POINTS_MIN or min(throughputs) <= 0 or min(users) <= 0:
            continue
        law = scalability.fit(users, throughputs)
        residuals = zip(users, law.residuals, throughputs, strict=True)
        offs = [(n, r / x) for n, r, x in residuals]
        at, off = max(offs, key=lambda one: abs(one[1]))
        for users_there, share in offs:
            figures[lines.named(f"off {shown(users_there)}", place)] = Figure(share, "ratio")
        for name, figure in (
            ("alone", Figure(law.rate, unit)),
            ("contention", Figure(law.contention)),
            ("coherency", Figure(law.coherency)),
            ("peak", Figure(finite(law.peak) or "none", or_none=True)),
            ("most", Figure(finite(law.most), unit)),
            ("off", Figure(abs(off), "ratio")),
            ("off at", Figure(at)),
            ("over at", Figure("more" if off > 0 else "less")),
        ):
            figures[lines.named(name, place)] = figure
        worst.append(abs(off))
    if worst:
        figures["most off"] = Figure(max(worst), "ratio")
    return figures


def finite(value: float) -> float | None:
    """None where there is no end."""
    return value if math.isfinite(value) else None
