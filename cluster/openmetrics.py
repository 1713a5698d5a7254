"""What a run's metrics were over time, as OpenMetrics text that Prometheus can be filled with afterwards.

A snapshot is a wall-clock time (s since 1970) with its Readings. A series that never changes has few
samples, any other one has all: rates over short windows need them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from cluster.histogram import NS
from cluster.label_sets import Labels
from cluster.metrics import FAMILIES, Family, Readings

MOST = 240  # snapshots; beyond, every other one is dropped and the interval doubled
INTERVAL_SECONDS = 1.0
GAP_SECONDS = 60.0  # Prometheus takes a series to be gone after five minutes without a sample
Snapshot = tuple[float, Readings]
Value = TypeVar("Value")


class History:
    """Snapshots of one run, a bounded number of them however long it takes."""

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self.interval = INTERVAL_SECONDS

    def due(self, now: float) -> bool:
        """Is it time for one?"""
        return not self.snapshots or now - self.snapshots[-1][0] >= self.interval

    def add(self, now: float, readings: Readings) -> None:
        """The latest."""
        self.snapshots.append((now, readings))
        if len(self.snapshots) > MOST:
            self.snapshots = self.snapshots[::2]
            self.interval *= 2


def openmetrics(snapshots: Sequence[Snapshot], labels: Mapping[str, str]) -> Iterator[str]:
    """Lines of the exposition; `labels` are added to those of each series."""
    for family in FAMILIES.values():
        name = family.name.removesuffix("_total").removesuffix("_info")
        yield f"# TYPE {name} {family.kind}"
        if family.unit:
            yield f"# UNIT {name} {family.unit}"
        yield f"# HELP {name} {family.help}"
        yield from _HOW[family.kind](family, snapshots, labels)
    yield "# EOF"


def _plain(
    family: Family, snapshots: Sequence[Snapshot], extra: Mapping[str, str]
) -> Iterator[str]:
    for values in snapshots[-1][1].values[family.name]:
        series = family.name + _braces(_own(family, values) | dict(extra))
        samples = [(at, found.values[family.name].get(values, 0.0)) for at, found in snapshots]
        for at, value in _telling(samples):
            yield f"{series} {value!r} {at:.3f}"


def _histogram(
    family: Family, snapshots: Sequence[Snapshot], extra: Mapping[str, str]
) -> Iterator[str]:
    bounds = [*(str(bound / NS) for bound in family.bounds), "+Inf"]
    for values in snapshots[-1][1].bars[family.name]:
        own = _own(family, values) | dict(extra)
        buckets = [f"{family.name}_bucket{_braces(own | {'le': bound})}" for bound in bounds]
        of_all = _braces(own)
        for at, bars in _telling(
            [(at, found.bars[family.name][values]) for at, found in snapshots]
        ):
            for series, below in zip(buckets, (*bars.below, bars.number), strict=True):
                yield f"{series} {below} {at:.3f}"
            yield f"{family.name}_count{of_all} {bars.number} {at:.3f}"
            yield f"{family.name}_sum{of_all} {bars.seconds!r} {at:.3f}"


_HOW = {"counter": _plain, "gauge": _plain, "info": _plain, "histogram": _histogram}


def _own(family: Family, values: Labels) -> dict[str, str]:
    return dict(zip(family.labels, values, strict=True))


def _braces(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{label}="{_escaped(value)}"' for label, value in labels.items()) + "}"


def _telling(samples: Sequence[tuple[float, Value]]) -> Iterator[tuple[float, Value]]:
    """Those that are needed to draw the series."""
    (first, constant), (last, _) = samples[0], samples[-1]
    changes = any(value != constant for _, value in samples)
    told = first - GAP_SECONDS
    for at, value in samples:
        if changes or at - told >= GAP_SECONDS or at == last:
            told = at
            yield at, value


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
