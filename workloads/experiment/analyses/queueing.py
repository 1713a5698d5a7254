"""A queue's measured wait beside what theory says of one with the same load and services, and a measure's knee."""

from collections import Counter

from workloads.experiment.analyses import lines
from workloads.experiment.analyses.contract import Evidence, Figure, Figures
from workloads.experiment.analyses.options import known
from workloads.experiment.points import shown
from workloads.experiment.records import Value
from workloads.theory.formulas import mg1_time, repair_time

OPTIONS = {
    **{name: lines.OPTIONS[name] for name in ("x", "y", "factor")},
    "station": "whose measures begin so: NAME load, NAME wait, NAME service, NAME scv",
}
THEORIES = ("M/G/1", "closed")
MEASURED = ("load", "wait", "service", "scv")


def queueing(found: Evidence) -> Figures:
    """Of each point, named by its place: `M/G/1 PLACE` and `closed PLACE` (mean waits), `M/G/1 over measured PLACE`.

    M/G/1 takes the station's load and its services' two moments: customers without number, each at any time. `closed`
    takes as many customers as the x axis says, each there once at most, with exponential services: M/M/1//N. How long
    a customer is away between two services is that of the least x. `worst M/G/1` and `worst closed` are the largest
    ratios to what was measured, above or below, where both are a tenth of a service at least. Knees: see `knee`.
    """
    figures: Figures = {}
    worst = dict.fromkeys(THEORIES, 1.0)
    x, _ = lines.axes(found)
    name = station(found)
    away: dict[tuple[str, ...], float] = {}
    for row in sorted(found.rows, key=lambda row: float(row.place[x])):
        values = [row.values[f"{name} {part}"] for part in MEASURED]
        if any(value is None for value in values) or row.relieved:
            continue
        load, wait, service, scv = (value.mean for value in values if value is not None)
        place = {axis: shown(at) for axis, at in row.place.items()}
        others = tuple(at for axis, at in place.items() if axis != x)
        gone = float(row.place[x]) * service / load - service - wait if load else 0.0
        theory = {
            "M/G/1": open_wait(load, service, scv),
            "closed": closed_wait(row.place[x], away.setdefault(others, gone), service),
        }
        for which, time in theory.items():
            if time is None:
                continue
            figures[lines.named(which, place)] = Figure(time, "duration")
            if not wait:
                continue
            ratio = time / wait
            figures[lines.named(f"{which} over measured", place)] = Figure(ratio)
            if min(wait, time) >= service / 10:
                worst[which] = max(worst[which], ratio, 1 / ratio)
    figures |= {f"worst {which}": Figure(ratio) for which, ratio in worst.items()}
    return figures | lines.knee(found)


def station(found: Evidence) -> str:
    """Whose measures there are."""
    names = [measure.name.rpartition(" ") for measure in found.experiment.measures]
    counts = Counter(start for start, _, end in names if end in MEASURED)
    return known(found, "station", [name for name, n in counts.items() if n == len(MEASURED)])


def open_wait(load: float, service: float, scv: float) -> float | None:
    """Mean wait (s) by Pollaczek and Khinchine; None where the queue would grow for ever."""
    if load >= 1:
        return None
    return mg1_time(load / service, service, (1 + scv) * service**2) - service


def closed_wait(customers: Value, away: float, service: float) -> float | None:
    """Mean wait (s) among so many customers, each away for so long in between; None where there is none."""
    number = int(customers)
    if number < 1 or away <= 0:
        return None
    if number == 1:
        return 0.0  # who is alone waits for nobody
    return repair_time(number, away, service) - service
