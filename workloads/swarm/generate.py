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
from workloads.swarm.space import Way, Ways

TRIES_MAX = 10_000
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
    for _ in range(TRIES_MAX):
        scenario = unruled(document(draws), Origin(f"swarm-{seed}"), FAULT_POINTS)
        wrong = next(breaches(scenario), None)
        if wrong is None:
            return scenario
        draws.again[drawn_as(wrong[0])] += 1
    raise AssertionError(f"seed {seed}: no scenario in {TRIES_MAX} tries, {wrong}")


def drawn_as(key: str) -> str:
    """The key whose draw decides: a workload is drawn as a whole."""
    return ".".join(key.split(".")[:2]) if key.startswith("workload.") else key


def document(draws: Draws) -> dict[str, Any]:
    """As a file would have it."""
    found: dict[str, Any] = {"scenario": {"name": f"swarm-{draws.seed}", "seed": draws.seed}}
    for key, value in sections(draws).items():
        put(found, key.split("."), value)
    found["workload"] = list(workloads(draws))
    found["fault"] = list(faults(draws))
    return found


def sections(draws: Draws) -> Drawn:
    """Of the sections."""
    fleet = draws.draw("fleet", space.one_of(*space.FLEETS))
    size = draws.draw("size", space.one_of(*space.SIZES))
    return drawn(draws, "", {**space.SPACE, **size, **fleet})


def workloads(draws: Draws) -> Iterator[dict[str, Any]]:
    """One or more."""
    for number in range(draws.draw("workloads", space.WORKLOADS)):
        where = f"workload.{number}"
        kind = draws.draw(where, space.KIND)
        # Drawn anew together with its kind.
        prefix = f"{where}.{draws.again[where]}."
        yield {"kind": kind, **drawn(draws, prefix, space.LOADS[kind])}


def faults(draws: Draws) -> Iterator[dict[str, Any]]:
    """None, or a few."""
    for number in range(draws.draw("faults", space.FAULTS)):
        yield drawn(draws, f"fault.{number}.", space.FAULT)


def drawn(draws: Draws, prefix: str, ways: Ways) -> Drawn:
    """A value for each key that is not left at its default."""
    values = {key: draws.draw(prefix + key, way) for key, way in ways.items()}
    return {key: value for key, value in values.items() if value is not None}


def put(table: dict[str, Any], path: list[str], value: Any) -> None:
    """At a dotted key."""
    for name in path[:-1]:
        table = table.setdefault(name, {})
    table[path[-1]] = value
