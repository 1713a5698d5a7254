"""One seed, one scenario. What a rule between keys objects to is drawn again, so that all of them are valid."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from cluster.draws import key_of, uniform
from cluster.fault_points import FAULT_POINTS
from workloads.scenario import Scenario
from workloads.scenario.read import Origin, unruled
from workloads.scenario.rules import breaches
from workloads.swarm import space
from workloads.swarm.aims import AIMS, OFTEN, Aim
from workloads.swarm.space import Way, Ways

TRIES_MAX, TRIES_OF_AN_AIM = 10_000, 200
Drawn = dict[str, Any]
"""Key -> value as in TOML."""


class Draws:
    """Every key has its own chance: a pure function of the seed, the key, and how often it was drawn before."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.again: Counter[str] = Counter()

    def draw(self, key: str, way: Way) -> Any:
        """A value, the same one until `again` counts the key."""
        return way(uniform(key_of(self.seed, "swarm", key), self.again[key]))


def generate(seed: int) -> Scenario:
    """The scenario of this seed."""
    draws = Draws(seed)
    for tries in range(1, TRIES_MAX + 1):
        scenario = unruled(document(draws), Origin(f"swarm-{seed}"), FAULT_POINTS)
        wrong = next(breaches(scenario), None)
        if wrong is None:
            return scenario
        draws.again[drawn_as(wrong[0])] += 1
        if not tries % TRIES_OF_AN_AIM:  # what else was drawn may leave no way to it
            draws.again["aim"] += 1
    raise AssertionError(f"seed {seed}: no scenario in {TRIES_MAX} tries, {wrong}")


def drawn_as(key: str) -> str:
    """The key whose draw decides: a workload is drawn as a whole."""
    return ".".join(key.split(".")[:2]) if key.startswith("workload.") else key


def document(draws: Draws) -> dict[str, Any]:
    """As a file would have it."""
    aim = draws.draw("aim", space.one_of(*[Aim()] * len(AIMS), *AIMS))
    found: dict[str, Any] = {"scenario": {"name": f"swarm-{draws.seed}", "seed": draws.seed}}
    for key, value in sections(draws, aim).items():
        put(found, key.split("."), value)
    found["workload"] = list(workloads(draws, aim))
    found["fault"] = list(faults(draws, aim))
    return found


def sections(draws: Draws, aim: Aim) -> Drawn:
    """Of the sections. Who aims at something says himself what fleet it takes."""
    fleets = (space.STANDING,) if aim in AIMS else space.FLEETS
    fleet = draws.draw("fleet", space.one_of(*fleets))
    size = draws.draw("size", space.one_of(*space.SIZES))
    return drawn(draws, "", {**space.SPACE, **size, **fleet, **aim.keys})


def workloads(draws: Draws, aim: Aim) -> Iterator[dict[str, Any]]:
    """One or more; the first is the one that is aimed with."""
    for number in range(draws.draw("workloads", space.WORKLOADS)):
        where = f"workload.{number}"
        aimed = not number and aim in AIMS
        kind = draws.draw(where, aim.kind if aimed else space.KIND)
        ways = space.LOADS[kind]
        if aimed:
            ways = {**ways, **{key: way for key, way in aim.load.items() if key in ways}}
        # Drawn anew together with its kind.
        prefix = f"{where}.{draws.again[where]}."
        yield {"kind": kind, **drawn(draws, prefix, ways)}


def faults(draws: Draws, aim: Aim) -> Iterator[dict[str, Any]]:
    """Those that are aimed at, and none, or a few."""
    points = draws.draw("points", aim.points)
    for number in range(len(points) + draws.draw("faults", space.FAULTS)):
        where = f"fault.{number}."
        if number < len(points):
            yield {"point": points[number], **drawn(draws, where, OFTEN)}
        else:
            yield drawn(draws, where, space.FAULT)


def drawn(draws: Draws, prefix: str, ways: Ways) -> Drawn:
    """A value for each key that is not left at its default."""
    values = {key: draws.draw(prefix + key, way) for key, way in ways.items()}
    return {key: value for key, value in values.items() if value is not None}


def put(table: dict[str, Any], path: list[str], value: Any) -> None:
    """At a dotted key."""
    for name in path[:-1]:
        table = table.setdefault(name, {})
    table[path[-1]] = value
