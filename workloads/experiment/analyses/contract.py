"""What an analysis gets and gives."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from workloads.experiment.points import shown
from workloads.experiment.records import Experiment, Unit, Value
from workloads.experiment.rows import Row
from workloads.outcome.figures import UNITS
from workloads.outcome.interval import Interval


class Figure(NamedTuple):
    """A number with its unit, or a text; None where there is nothing to tell."""

    value: float | str | None
    unit: Unit = "number"
    interval: Interval | None = None

    @property
    def text(self) -> str:
        """For people."""
        if isinstance(self.value, str) or self.value is None:
            return self.value or "-"
        value = int(self.value) if self.value == int(self.value) else self.value
        return UNITS[self.unit](self.interval or value)


Figures = dict[str, Figure]


class Evidence(NamedTuple):
    """What was found: a row for each point that is done, what the searches came to, the experiment's own options."""

    experiment: Experiment
    rows: list[Row]
    found: list[dict[str, Any]]
    options: Mapping[str, Any]

    def where(self, place: Mapping[str, Value]) -> list[Row]:
        """Rows at this place, whatever their other axes."""
        return [
            row
            for row in self.rows
            if not row.relieved and all(row.place.get(axis) == at for axis, at in place.items())
        ]


class Analysis(NamedTuple):
    """`options` are the keys of [conclusion.options] that it knows, with what they mean."""

    function: Callable[[Evidence], Figures]
    meaning: str
    options: Mapping[str, str] = {}


def point_figures(found: Evidence) -> Figures:
    """Every measure at every point: "goodput undo 0.1" is its row's at these values of the axes."""
    return {
        " ".join((name, *map(shown, row.place.values()))): Figure(
            None if value is None else value.mean, unit, value
        )
        for row in found.rows
        if not row.relieved
        for (name, value), unit in zip(
            row.values.items(), (m.unit for m in found.experiment.measures), strict=True
        )
    }
