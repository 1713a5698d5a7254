"""What a target is: figures, the runs behind them, and how the runs are read."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from workloads.validation.engine import Reading, Run, perform
from workloads.validation.rows import Figure, Row

Measure = Callable[[Sequence[Reading]], Sequence[float]]


class Target(NamedTuple):
    """`measure` turns the readings of `runs` into one value for each of `figures`, in their order."""

    figures: tuple[Figure, ...]
    runs: tuple[Run, ...]
    measure: Measure
    missing: str = ""  # what the model would need

    def judged(self, keys: Sequence[str], until: float = math.inf) -> Iterator[tuple[Row, int]]:
        """Run everything, with further keys of the scenario; rows, each with its share of the events."""
        if self.missing:
            yield from ((figure.missing(self.missing), 0) for figure in self.figures)
            return
        readings = [perform(run, keys, until) for run in self.runs]
        events = [reading.outcome.totals.events for reading in readings]
        shares = [sum(events), *(0 for _ in self.figures[1:])]
        values = self.measure(readings)
        for figure, value, share in zip(self.figures, values, shares, strict=True):
            yield figure.row(value), share


def single(figure: Figure, run: Run, value: Callable[[Reading], float]) -> Target:
    """One figure of one run."""
    return Target((figure,), (run,), lambda readings: [value(readings[0])])


def absent(figure: Figure, missing: str) -> Target:
    """One figure that the model has nothing for."""
    return Target((figure,), (), lambda _: [], missing)
