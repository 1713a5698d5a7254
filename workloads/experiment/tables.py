"""Tables of figures that an experiment asks for: which figure stands where, and what is there once it has run."""

from collections.abc import Iterator

from workloads.experiment.analyses.contract import Figure, Figures
from workloads.experiment.clashes import Breach
from workloads.experiment.points import shown
from workloads.experiment.records import Axis, Experiment, Table, Value
from workloads.outcome.sweep_shape import TableShown
from workloads.wording import quote, suggestion

Place = dict[str, Value]


def tables(experiment: Experiment, known: Figures) -> list[TableShown]:
    """As cells of text; what has no value is "-"."""
    return [
        {
            "head": head(experiment, table),
            "rows": [
                [
                    *(shown(value) for value in place.values()),
                    *(
                        known.get(name, Figure(None)).text
                        for name in names(experiment, table, place)
                    ),
                ]
                for place in places(rows_of(experiment, table))
            ],
        }
        for table in experiment.tables
    ]


def head(experiment: Experiment, table: Table) -> list[str]:
    """Axes of the rows, then each figure; a measure once for each value of the axis across."""
    found = [
        axis.name + (f", {axis.unit}" if axis.unit else "") for axis in rows_of(experiment, table)
    ]
    for name in table.of:
        values = across(experiment, table) if is_measure(experiment, name) else []
        found += [f"{name}, {table.across} {shown(value)}" for value in values] or [name]
    return found


def names(experiment: Experiment, table: Table, place: Place) -> Iterator[str]:
    """Of the figures of a row."""
    for name in table.of:
        values = across(experiment, table) if is_measure(experiment, name) else []
        for one in [place | {table.across: value} for value in values] or [place]:
            where = (shown(one[axis.name]) for axis in experiment.axes if axis.name in one)
            yield " ".join((name, *where))


def is_measure(experiment: Experiment, name: str) -> bool:
    """Has it a value at every point, or one for several of them?"""
    return name in [measure.name for measure in experiment.measures]


def across(experiment: Experiment, table: Table) -> list[Value]:
    """Of the axis whose values are columns."""
    found = [axis for axis in experiment.axes if axis.name == table.across]
    return [choice.label for axis in found for choice in axis.choices]


def rows_of(experiment: Experiment, table: Table) -> list[Axis]:
    """The other axes."""
    return [axis for axis in experiment.axes if axis.name != table.across]


def places(axes: list[Axis]) -> Iterator[Place]:
    """Every combination of their values, the last axis fastest."""
    if not axes:
        yield {}
        return
    for before in places(axes[:-1]):
        for choice in axes[-1].choices:
            yield before | {axes[-1].name: choice.label}


def refused(experiment: Experiment) -> Iterator[Breach]:
    """Tables of nothing, or across no axis."""
    axes = [axis.name for axis in experiment.axes]
    for index, table in enumerate(experiment.tables):
        if not table.of:
            yield ("table", str(index), "of"), "not given, expected a list of measures or figures"
        if table.across and table.across not in axes:
            text = f"found {quote(table.across)}; {suggestion(table.across, axes)}"
            yield ("table", str(index), "across"), text
