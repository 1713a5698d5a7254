"""From a scenario to a system that the explorer can go through."""

from collections.abc import Iterator

import msgspec

from cluster.explore import NEVER, Chances, System
from cluster.explore.chances import unexplored
from workloads.errors import UsageError
from workloads.explore.books import Books
from workloads.fleet import build
from workloads.loads.pace import is_open
from workloads.plan import ENCODER, Plan
from workloads.scenario import Scenario, Trace
from workloads.simulate import prepare


class Model:
    """A scenario's actors with their checkers, as built for a run; see cluster.explore.System for the rest."""

    def __init__(self, scenario: Scenario, faults: int, patient: bool) -> None:
        for key, text in unfit(scenario):
            raise UsageError(f"{key}: {text}")
        self.scenario = scenario
        plan = timeless(prepare(scenario).plan)
        world = build(ENCODER.encode(plan), range(scenario.fleet.hosts))
        for armed in world.faults.rules:
            if key := unexplored(armed.rule):
                found = f'found "{armed.rule.point}" with it, expected a fault that may strike at any time'
                raise UsageError(f"fault.{armed.number}.{key}: {found}")
        actors = {at: actor for members in world.actors.values() for at, actor in members.items()}
        first = [(address, message) for _, address, message in world.first]
        self.points = tuple(world.faults.armed)
        chances = Chances(world.faults)
        self.system = System(actors, first, chances, Books(plan), faults=faults, patient=patient)


def timeless(plan: Plan) -> Plan:
    """No load ends for the time."""
    general = msgspec.structs.replace(plan.scenario.scenario, duration=NEVER)
    scenario = msgspec.structs.replace(plan.scenario, scenario=general)
    return msgspec.structs.replace(plan, scenario=scenario)


def unfit(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """Keys that ask for what has no explorer, and why."""
    for key, kind in (
        ("arrivals.kind", scenario.arrivals.kind),
        ("moves.kind", scenario.moves.kind),
    ):
        if kind != "none":
            yield key, f'found "{kind}", expected "none": the explorer knows no fleet controller'
    for index, load in enumerate(scenario.workload):
        if isinstance(load, Trace):
            yield (
                f"workload.{index}.kind",
                'found "trace", expected a program of its own, such as "script"',
            )
        elif is_open(load):
            yield (
                f"workload.{index}.pace",
                'found "open", expected "closed": the explorer has no times',
            )
    if scenario.fleet.stagger:
        yield "fleet.stagger", "found a time, expected 0ns: the explorer has none"
