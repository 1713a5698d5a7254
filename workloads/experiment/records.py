"""What an experiment file says, as records: what is asked, which points are run, what is made of them."""

from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from workloads.scenario import Given, keys
from workloads.scenario.keys import Section

SEEDS_MAX = 1000
Unit = Literal["number", "count", "duration", "size", "ratio", "rate"]
Scale = Literal["linear", "log"]
Value = str | int | float | bool


class About(Section, frozen=True):
    """[experiment]: the question, and what was expected before anything was run."""

    name: Annotated[
        str, keys.text("names the results' folder; the file's stem if absent", "name")
    ] = ""
    question: Annotated[str, keys.text("what is to be found out")] = ""
    prediction: Annotated[str, keys.text("what was expected, written before the run")] = ""
    scenario: Annotated[str, keys.text("a file or a shipped one; empty = every key's default")] = ""
    seeds: Annotated[
        int, keys.count("seeds", "of each point: the scenario's and those after it", 1, SEEDS_MAX)
    ] = 1


class Choice(NamedTuple):
    """One value of an axis: how it is called, and the scenario's keys that it sets."""

    label: Value
    sets: tuple[tuple[str, Any], ...]


class Axis(NamedTuple):
    """What is varied, and over what."""

    name: str
    unit: str
    choices: tuple[Choice, ...]


class Search(Section, frozen=True):
    """[search]: for each combination of the axes, the largest value of a key at which the objective still holds. A
    duration may be limited by a multiple of what it is at the smallest value: "boot.p99 < 1.5x".

    ASSUMED: once it is missed it stays missed for larger values. The neighbours of the answer are run to look.
    """

    key: Annotated[str, keys.text("the scenario's key that is searched")] = ""
    name: Annotated[str, keys.text("how it is called; its key if absent")] = ""
    unit: Annotated[str, keys.text("of its values")] = ""
    low: Annotated[float, keys.number("value", "smallest", 0, 1e12)] = 1.0
    high: Annotated[float, keys.number("value", "largest", 0, 1e12)] = 1024.0
    step: Annotated[float, keys.number("value", "from each value to the next", 1e-9, 1e12)] = 1.0
    ratio: Annotated[
        float,
        keys.number("factor", "from each value to the next, instead of step; 1 = step", 1, 10),
    ] = 1.0
    objective: Annotated[
        str, keys.text('what must hold in the mean over seeds: "boot.p99 < 5s and ..."')
    ] = ""

    @property
    def title(self) -> str:
        """What is searched, as an axis."""
        return self.name or self.key


class Relief(msgspec.Struct, frozen=True):
    """What gives more of a resource: costs of the table that are halved, or keys of the scenario."""

    costs: tuple[str, ...] = ()
    sets: tuple[tuple[str, Any], ...] = ()

    def __bool__(self) -> bool:
        """Does it give more of anything?"""
        return bool(self.costs or self.sets)


class Measure(Section, frozen=True):
    """[[measure]]: a column of the results."""

    name: Annotated[str, keys.text("of the column")] = ""
    path: Annotated[
        str, keys.text("in summary.json, such as latency_seconds.p99, or a name of [checks]")
    ] = ""
    per: Annotated[str, keys.text("another one that it is divided by")] = ""
    unit: Annotated[Unit, keys.choice(Unit, "how it is shown")] = "number"
    meaning: Annotated[str, keys.text("one line for people")] = ""


class Plot(Section, frozen=True):
    """[[plot]]: measures over an axis, a line or a row of marks for each combination of the others."""

    x: Annotated[str, keys.text("an axis")] = ""
    y: Annotated[str, keys.text("a measure")] = ""
    xscale: Annotated[Scale, keys.choice(Scale, "of the axis")] = "linear"
    yscale: Annotated[Scale, keys.choice(Scale, "of the measure")] = "linear"


class Table(Section, frozen=True):
    """[[table]]: figures in columns, a row for each combination of the axes; for the report and a page."""

    of: Annotated[
        tuple[str, ...], keys.texts("names", "measures, or other figures without their place")
    ] = ()
    across: Annotated[str, keys.text("an axis whose values are columns of each measure")] = ""


class Conclusion(Section, frozen=True):
    """[conclusion]: what is made of the points."""

    analysis: Annotated[str, keys.text("one of `gmemsim list analyses`")] = "points"
    text: Annotated[str, keys.text("the answer in words; {figure} is filled in")] = ""
    paired: Annotated[
        str, keys.text("an axis whose first value is set against its others, seed by seed")
    ] = ""


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """A whole file, which `where` names. `base` is the scenario's document, `given` what is changed in every point."""

    where: str
    text: str
    about: About
    base: dict[str, Any]
    given: dict[str, Given]
    axes: tuple[Axis, ...] = ()
    search: Search | None = None
    objective: dict[str, str] = {}
    relief: dict[str, Relief] = {}
    measures: tuple[Measure, ...] = ()
    plots: tuple[Plot, ...] = ()
    tables: tuple[Table, ...] = ()
    conclusion: Conclusion = Conclusion()
    options: dict[str, Any] = {}
    checks: dict[str, str] = {}
