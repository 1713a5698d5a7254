"""What a run's metrics were over time, as OpenMetrics text that Prometheus can be filled with afterwards.

A snapshot is a wall-clock time (s since 1970) with its Readings. A series that never changes has few
samples, any other one has all: rates over short windows need them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from cluster.exposition import label_sets, numbers, series
from cluster.metrics import FAMILIES, Readings

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
        """Is it time for one? Words of a run come once in an interval, give or take a little."""
        return not self.snapshots or now - self.snapshots[-1][0] >= 0.9 * self.interval

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
        for values in label_sets(family, snapshots[-1][1]):
            names = series(family, values, labels)
            samples = [(at, numbers(family, found, values)) for at, found in snapshots]
            for at, told in _telling(samples):
                for one, number in zip(names, told, strict=True):
                    yield f"{one} {number!r} {at:.3f}"
    yield "# EOF"


def _telling(samples: Sequence[tuple[float, Value]]) -> Iterator[tuple[float, Value]]:
    """Those that are needed to draw the series."""
    (first, constant), (last, _) = samples[0], samples[-1]
    changes = any(value != constant for _, value in samples)
    told = first - GAP_SECONDS
    for at, value in samples:
        if changes or at - told >= GAP_SECONDS or at == last:
            told = at
            yield at, value
