"""Which points an experiment wants run, each chosen by what the ones before it came to. Runs nothing."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from workloads.experiment import relief, search
from workloads.experiment.measures import Summary, absolute, kinds, missed
from workloads.experiment.points import Point, candidates, combinations
from workloads.experiment.records import Experiment

Summaries = Sequence[Summary]
Pursuit = Generator[Point, Summaries, None]
"""Yields a point, is sent the summaries of its seeds."""


class Found(msgspec.Struct):
    """What a search came to. `limiting` is the resource that limits at the first miss, `relieved` the same search with
    more of it, `borne_out` whether that brought more; `control` is one with more of `idle`, which limits least. `over`
    once nothing more is to be run for it."""

    point: Point
    answer: search.Answer
    objective: Mapping[str, str]
    limiting: str = ""
    resources: dict[str, Any] = {}
    relieved: "Found | None" = None
    borne_out: relief.BorneOut = ""
    idle: str = ""
    control: "Found | None" = None
    over: bool = False


class Seen(msgspec.Struct):
    """A point with the summaries of its seeds; `held` is None where no objective is asked for."""

    point: Point
    summaries: Summaries
    held: bool | None = None


class Pursuits:
    """All of an experiment's, and what they have come to so far."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.seen: list[Seen] = []
        self.found: list[Found] = []

    def all(self) -> Iterator[Pursuit]:
        """One for each combination of the axes; they depend on nothing of each other's."""
        for point in combinations(self.experiment.axes):
            yield self.searching(point) if self.experiment.search else self.single(point)

    def in_order(self) -> tuple[list[Seen], list[Found]]:
        """Everything so far in the order of the axes' values, whichever was finished first."""
        axes = len(self.experiment.axes)
        places = [point.place for point in combinations(self.experiment.axes)]
        order = {place: number for number, place in enumerate(places)}

        def of(seen: Seen) -> tuple[int, str, tuple[Any, ...]]:
            place = seen.point.place
            return order[place[:axes]], seen.point.relieved, tuple(v for _, v in place[axes:])

        return sorted(self.seen, key=of), sorted(self.found, key=lambda one: order[one.point.place])

    def single(self, point: Point) -> Pursuit:
        """It is wanted, and that is all."""
        self.seen.append(Seen(point, (yield point)))

    def searching(self, point: Point) -> Pursuit:
        """The answer, then what limits it, then the answer with that relieved, and with what does not limit."""
        found = yield from self.one_search(point)
        self.found.append(found)
        known = [name for name, how in self.experiment.relief.items() if how]
        if found.limiting in known:
            cheaper = self.cheaper(point, found.limiting)
            found.relieved = yield from self.one_search(cheaper, found.objective)
            found.idle = relief.control(found.resources, found.limiting, known)
        if found.idle:
            cheaper = self.cheaper(point, found.idle)
            found.control = yield from self.one_search(cheaper, found.objective)
        if found.limiting:
            more, control = (one.answer if one else None for one in (found.relieved, found.control))
            found.borne_out = relief.borne_out(found.answer, more, control)
        found.over = True

    def cheaper(self, point: Point, resource: str) -> Point:
        """The same with more of a resource."""
        sets = relief.overrides(self.experiment, point, self.experiment.relief[resource])
        return Point(point.place, (*point.sets, *sets), resource)

    def one_search(
        self, point: Point, objective: Mapping[str, str] | None = None
    ) -> Generator[Point, Summaries, Found]:
        """For one combination. Limits that are multiples, are of what there is at its smallest value, or are given."""
        wanted = self.experiment.search
        assert wanted
        asking = search.largest(candidates(wanted))
        runs: dict[search.Number, Summaries] = {}
        value = next(asking)
        while True:
            here = point.at(wanted.title, value, wanted.key)
            runs[value] = yield here
            objective = objective or absolute(self.experiment.objective, runs[value])
            held = not missed(objective, runs[value])
            self.seen.append(Seen(here, runs[value], held))
            try:
                value = asking.send(held)
            except StopIteration as end:
                answer: search.Answer = end.value
                break
        # Where everything held, or nothing, no limit was met that could be named.
        edge = answer.missed if answer.value is not None else None
        if edge is None:
            return Found(point, answer, objective or {})
        resources = relief.pooled(runs[edge])
        what = kinds(missed(objective, runs[edge]), runs[edge])
        limiting = relief.limiting(resources, late=what.late, failing=what.failing)
        return Found(point, answer, objective, limiting, resources)
