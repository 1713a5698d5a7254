"""A scenario that fails, made small: a table of reductions, each kept for as long as the failure stays the same."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from workloads.adjust import with_key
from workloads.scenario import Churn, Scenario
from workloads.scenario.keys import Section, entries
from workloads.scenario.rules import breaches
from workloads.scenario.struct import SECTIONS

MIB, MS = 1 << 20, 1_000_000
Reduce = Callable[[Scenario], Iterator[Scenario]]
# Numbers that make a run small, and the smallest that they are tried at.
SMALLEST = {
    "fleet.hosts": 1,
    "fleet.vms_per_host": 1,
    "arrivals.population": 1,
    "scenario.conversions": 1,
    "scenario.duration": MS // 10,
    "vm.memory": 2 * MIB,
    "vm.vcpus": 1,
}
STEPS = {"vm.memory": 2 * MIB, "scenario.duration": MS // 10}
# Where 0 is no limit, this is one to begin with.
LIMITS = {"scenario.conversions": 64}
KEPT = {"scenario.name", "scenario.seed", *SMALLEST}
"""Keys that are not put back to their defaults."""


def shrink(scenario: Scenario, fails: Callable[[Scenario], bool], tries: int) -> Scenario:
    """The smallest that greed finds: none of the reductions keeps the failure, or `tries` are used up."""
    seen: set[bytes] = set()

    def still(candidate: Scenario) -> bool:
        """Does it fail, too? Nothing is tried twice, nothing that is no scenario, and nothing beyond the tries."""
        name = msgspec.msgpack.encode(candidate)
        if len(seen) >= tries or name in seen or next(breaches(candidate), None):
            return False
        seen.add(name)
        return fails(candidate)

    before = None
    while scenario != before:
        before = scenario
        for _, reduce in REDUCTIONS:
            while found := next(filter(still, reduce(scenario)), None):
                scenario = found
    return scenario


def without(name: str) -> Reduce:
    """All of a list, then one of it."""

    def reduce(scenario: Scenario) -> Iterator[Scenario]:
        items = getattr(scenario, name)
        least = 1 if name == "workload" else 0
        if len(items) > least + 1:
            yield msgspec.structs.replace(scenario, **{name: items[:least]})
        for index in range(len(items) if len(items) > least else 0):
            yield msgspec.structs.replace(scenario, **{name: items[:index] + items[index + 1 :]})

    return reduce


def smaller(key: str) -> Reduce:
    """At once as small as can be, then half of it, then a little less."""
    section, _, field = key.partition(".")

    def reduce(scenario: Scenario) -> Iterator[Scenario]:
        now: int = getattr(getattr(scenario, section), field)
        low, step = SMALLEST[key], STEPS.get(key, 1)
        if not now and key in LIMITS:
            yield with_key(scenario, key, LIMITS[key])
        for value in dict.fromkeys((low, now // 2 // step * step, now - step)):
            if low <= value < now:
                yield with_key(scenario, key, value)

    return reduce


def nobody(*sections: str) -> Reduce:
    """Sections as they are by default, all at once: nobody arrives, and nobody moves."""

    def reduce(scenario: Scenario) -> Iterator[Scenario]:
        plain = {name: SECTIONS[name]() for name in sections}
        yield msgspec.structs.replace(scenario, **plain)

    return reduce


def defaults(scenario: Scenario) -> Iterator[Scenario]:
    """One key after the other that need not be what it is."""
    for name, kind in SECTIONS.items():
        for field, value in different(getattr(scenario, name), kind):
            if f"{name}.{field}" not in KEPT:
                yield with_key(scenario, f"{name}.{field}", value)
    for name, items in (("workload", scenario.workload), ("fault", scenario.fault)):
        for index, item in enumerate(items):
            for field, value in different(item, type(item)):
                if field != "point":
                    new = msgspec.structs.replace(item, **{field: value})
                    changed = (*items[:index], new, *items[index + 1 :])
                    yield msgspec.structs.replace(scenario, **{name: changed})


def different(section: Section, kind: type[Section]) -> Iterator[tuple[str, Any]]:
    """Fields that are not at their default, with that."""
    for entry in entries(kind).values():
        if getattr(section, entry.field) != entry.default:
            yield entry.field, entry.default


def churn(scenario: Scenario) -> Iterator[Scenario]:
    """The plainest load in place of each."""
    for index, load in enumerate(scenario.workload):
        if load != Churn():
            changed = (*scenario.workload[:index], Churn(), *scenario.workload[index + 1 :])
            yield msgspec.structs.replace(scenario, workload=changed)


REDUCTIONS: tuple[tuple[str, Reduce], ...] = (
    ("fewer workloads", without("workload")),
    ("fewer faults", without("fault")),
    ("nobody arrives", nobody("arrivals", "moves")),
    ("nobody moves", nobody("moves")),
    *((f"less {key}", smaller(key)) for key in SMALLEST),
    ("churn", churn),
    ("defaults", defaults),
)
