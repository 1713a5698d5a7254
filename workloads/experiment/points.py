"""From an experiment's axes to points, and from a point to the scenario that it is."""

import copy
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from cluster.fault_points import FAULT_POINTS
from workloads.adjust import ADJUSTMENTS, Adjusted, adjusted
from workloads.experiment.records import Axis, Experiment, Search, Value
from workloads.scenario import Given, Protocol, from_document
from workloads.scenario.values import toml
from workloads.wording import printable

CANDIDATES_MAX = 1_000_000
PROTOCOL = "protocol.name"


class Point(msgspec.Struct, frozen=True):
    """A place on every axis, and the scenario's keys that it sets. `relieved` is a resource made cheaper there."""

    place: tuple[tuple[str, Value], ...]
    sets: tuple[tuple[str, Any], ...]
    relieved: str = ""

    @property
    def name(self) -> str:
        """For people: protocol undo, rate 0.1."""
        found = [f"{axis} {shown(value)}" for axis, value in self.place]
        return ", ".join(found + [f"{self.relieved} relieved"] * bool(self.relieved))

    def at(self, axis: str, value: Value, key: str) -> "Point":
        """The same with one more key."""
        return Point((*self.place, (axis, value)), (*self.sets, (key, value)), self.relieved)


def shown(value: Value) -> str:
    """A place on an axis for people: no more digits than it has, truth as in TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def combinations(axes: tuple[Axis, ...]) -> Iterator[Point]:
    """Every combination of their values, the last axis fastest; one point without keys where there are no axes."""
    for choices in itertools.product(*(axis.choices for axis in axes)):
        place = tuple((axis.name, choice.label) for axis, choice in zip(axes, choices, strict=True))
        yield Point(place, tuple(pair for choice in choices for pair in choice.sets))


def axes_of(experiment: Experiment) -> list[dict[str, Any]]:
    """For people and files: what is varied, and over which values."""
    return [
        {"name": axis.name, "unit": axis.unit, "values": [one.label for one in axis.choices]}
        for axis in experiment.axes
    ]


def candidates(search: Search) -> list[int | float]:
    """The values that a search may try, growing. A value without decimals is whole, as keys that count want it."""
    found: list[int | float] = []
    for number in range(CANDIDATES_MAX):
        value = (
            search.low * search.ratio**number
            if search.ratio > 1
            else search.low + number * search.step
        )
        if value > search.high * (1 + 1e-12):
            break
        if whole(search):
            value = round(value)
        if not found or value > found[-1]:
            found.append(round(value) if value == round(value) else float(f"{value:.6g}"))
    return found


def whole(search: Search) -> bool:
    """Where both ends and the step are whole, so are the values between."""
    return all(value == round(value) for value in (search.low, search.high, search.step))


def scenario_of(experiment: Experiment, point: Point) -> Adjusted:
    """The point's scenario, as its protocol can run it; a mistake in it is a UsageError that names the point."""
    place = f"{printable(experiment.where)}: {point.name}: " if point.name else ""
    document = copy.deepcopy(experiment.base)
    given = experiment.given | {
        key: Given(f"{key}={toml(value)}", f"{place}{key}") for key, value in point.sets
    }
    protocol = protocol_of(given, document)
    if protocol in ADJUSTMENTS:
        # What it cannot take is put right once the rest has been read.
        given = given | {PROTOCOL: Given(f"{PROTOCOL}={Protocol().name}", "")}
    found = from_document(document, experiment.where, [*given.values()], FAULT_POINTS)
    return adjusted(found, protocol if protocol in ADJUSTMENTS else found.protocol.name)


def protocol_of(given: Mapping[str, Given], document: Mapping[str, Any]) -> str:
    """Whichever is named, known or not."""
    if PROTOCOL in given:
        return given[PROTOCOL].text.partition("=")[2].strip().strip('"')
    section = document.get("protocol", {})
    return str(section.get("name", "")) if isinstance(section, dict) else ""
