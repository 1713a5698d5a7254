"""What an analysis gets and gives."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from workloads.experiment.points import shown
from workloads.experiment.records import Experiment, Unit, Value
from workloads.experiment.rows import Row
from workloads.outcome.figures import UNITS
from workloads.outcome.interval import Interval


class Figure(NamedTuple):
    """A number with its unit, or a text; None where there is nothing to tell. `span` has the ends between which a
    number lies that the runs leave open, infinite ones too; `note` is a sentence that is told with it. `or_none`: it is
    a number that may also be the text "none".
    """

    value: float | str | None
    unit: Unit = "number"
    interval: Interval | None = None
    span: tuple[float, float] | None = None
    note: str = ""
    or_none: bool = False

    @property
    def kind(self) -> "Kind":
        """What it can be held against."""
        if self.or_none:
            return "answer"
        return "text" if isinstance(self.value, str) else self.unit

    @property
    def text(self) -> str:
        """For people."""
        if isinstance(self.value, str) or self.value is None:
            return self.value or "-"
        if self.span:
            low, high = map(self.shown, self.span)
            return f"at least {low}" if math.isinf(self.span[1]) else f"{low} to {high}"
        return self.shown(self.interval or self.value)

    def shown(self, value: float | Interval) -> str:
        """In its unit."""
        whole = isinstance(value, float) and value.is_integer()
        return UNITS[self.unit](int(value) if whole else value)  # type: ignore[arg-type]

    @property
    def ends(self) -> tuple[float, float]:
        """Of a number."""
        assert self.span or isinstance(self.value, int | float)
        return self.span or (self.value, self.value)  # type: ignore[return-value]


Figures = dict[str, Figure]
Kind = Unit | Literal["text", "answer"]
"""What a figure is: a number of a unit, a text, or a number that may be "none"."""
Kinds = dict[str, Kind]


def kinds(figures: Figures) -> Kinds:
    """Name -> kind."""
    return {name: figure.kind for name, figure in figures.items()}


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
    """Which figures it makes is known before any run: those that it makes of made-up points (`probe`). A figure may yet
    have no value. `options` are the keys of [conclusion.options] that it knows, with what they mean."""

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
