"""A whole scenario as one frozen record."""

import typing

import msgspec

from workloads.scenario.arrivals import Arrivals
from workloads.scenario.keys import Section
from workloads.scenario.kinds import AnyWorkload, Churn
from workloads.scenario.moves import Moves
from workloads.scenario.sections import (
    Costs,
    Engine,
    Fault,
    Fleet,
    General,
    Metrics,
    Protocol,
    Vm,
    Vmm,
)


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides a run; fields are named as the sections of the file."""

    scenario: General = General()
    fleet: Fleet = Fleet()
    arrivals: Arrivals = Arrivals()
    moves: Moves = Moves()
    vm: Vm = Vm()
    vmm: Vmm = Vmm()
    protocol: Protocol = Protocol()
    costs: Costs = msgspec.field(default_factory=Costs)
    workload: tuple[AnyWorkload, ...] = (Churn(),)
    fault: tuple[Fault, ...] = ()
    checks: dict[str, str] = msgspec.field(default_factory=dict)
    engine: Engine = Engine()
    metrics: Metrics = Metrics()


# The sections that are one table each.
SECTIONS: dict[str, type[Section]] = {
    name: kind
    for name, kind in typing.get_type_hints(Scenario).items()
    if isinstance(kind, type) and issubclass(kind, Section)
}
