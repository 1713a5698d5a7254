"""All bugs that the tests plant in actors, or in what actors tell of themselves."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from pytest import MonkeyPatch

from tests.negative import little_cases, move_cases, test_planted_bugs, test_whole_runs

Plant = Callable[[Any, MonkeyPatch], None]
"""Plants a bug in a world (tests.helpers.World or tests.negative.everywhere.Everywhere)."""


class Planted(NamedTuple):
    """A bug, the checks that have to find it, and where."""

    bug: Callable[..., Any]
    ids: str
    where: str
    plant: Plant

    @property
    def name(self) -> str:
        """No two bugs have the same."""
        return self.bug.__name__


def catalogue() -> Iterator[Planted]:
    """A bug that is planted in several places comes as often."""
    for case in test_planted_bugs.CASES:
        yield Planted(case.bug, case.ids, words(case.run), case.bug)
    for run, bug, ids in test_whole_runs.CASES:
        yield Planted(bug, ids, f"scenario {run.source}", bug)
    for ids, plant, _ in move_cases.CASES:
        yield Planted(plant, ids, "VMs move", in_no_world(plant))
    for little in little_cases.CASES:
        yield Planted(little.bug, little.ids, f"the queue {little.queue}", in_no_world(little.bug))


def bugs() -> dict[str, Plant]:
    """By name, each once."""
    return {planted.name: planted.plant for planted in catalogue()}


def in_no_world(plant: Callable[[MonkeyPatch], None]) -> Plant:
    """What is a patch alone."""
    return lambda _, patch: plant(patch)


def words(run: Callable[..., Any]) -> str:
    """A function's name as a sentence, with what it is given."""
    name = run.func.__name__ if isinstance(run, partial) else run.__name__
    return name.replace("_", " ")
