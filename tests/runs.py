"""Runs for tests: a silent listener, scenarios from overrides, and their outcomes."""

import math
from collections.abc import Callable, Sequence

import msgspec

from cluster import run as engine
from cluster.drive import Listener, Totals
from cluster.run import Executor, Fleet, Outcome, in_this_process
from tests import toy
from workloads import scenario, simulate

SMALL = ("scenario.conversions=300", "fleet.hosts=4", "fleet.vms_per_host=2")
FAULTS = (
    'fault=[{point="pins.transient",probability=0.05},{point="tdx.busy",probability=0.02},'
    '{point="kvm.split_memory",probability=0.05},{point="tdx.bug",probability=0.002}]',
)
FILES = ('fault=[{point="kvm.file_split",nth=[2,5]},{point="kvm.split_memory",probability=0.05}]',)
# Rules that remember or have a scope: schedules, a duration, a range, another class.
RULES = (
    '{point="tdx.interrupted",nth=[3,5],vms=1}',
    '{point="tdx.busy",every=7}',
    '{point="alloc.pages",probability=0.01,lasts="2ms"}',
    '{point="pins.long",probability=0.01,range=["0B","4GiB"]}',
    '{point="tdx.bug",nth=40,reason="busy"}',
)
SCHEDULED = (f"fault=[{','.join(RULES)}]",)

KILLS = ('fault=[{point="vmm.kill",probability=2e-5},{point="vmm.kill",nth=300,vms=1}]',)
PINNED = (
    "vm.td_pinned=true",
    "vm.start=mapped-4k",
    "vm.accept_level=4k",
    'fault=[{point="guest.release",probability=1e-3},{point="guest.release",every=700}]',
)
# VMs die, others come after them, and some get frames that they must not have.
READMITS = (
    "fleet.reuse=readmit",
    "fleet.generations=3",
    "vm.memory=32MiB",
    'workload=[{kind="churn",pace="open",rate=500,size_mean="256KiB",touch=1.0}]',
    "protocol.name=two-phase-untraced",
    'costs.override={"hkid_reclaim"="300us"}',
    'fault=[{point="vmm.kill",probability=2e-5},{point="tdx.bug",probability=0.002,vms=1}]',
)

ON_RAY = ("engine.executor=ray", "engine.yield_after=20ms")
LONG = ("scenario.conversions=2000", "fleet.hosts=6", "fleet.vms_per_host=2", *FAULTS)


class Silent:
    """Listens to nothing; stops after `reports` words when that is given."""

    tell_every = math.inf

    def __init__(self, reports: int | None = None) -> None:
        self.left = reports

    def progress(self, totals: Totals, watched: Sequence[bytes]) -> None:
        """See cluster.drive.Listener."""

    def should_stop(self) -> bool:
        """See cluster.drive.Listener."""
        if self.left is not None:
            self.left -= 1
        return self.left is not None and self.left < 0


class At(Silent):
    """Does something when the driver looks up for the n-th time."""

    def __init__(self, look: int, deed: Callable[[], None]) -> None:
        super().__init__()
        self.looks = 0
        self.look = look
        self.deed = deed

    def should_stop(self) -> bool:
        """See cluster.drive.Listener."""
        self.looks += 1
        if self.looks == self.look:
            self.deed()
        return False


def simulated(
    *overrides: str, source: str | None = None, text: str = "", listener: Listener | None = None
) -> Outcome:
    """The outcome of a scenario: a shipped one, or the text's."""
    found = (
        scenario.load(source, overrides)
        if source
        else scenario.decode(text, "test.toml", list(overrides))
    )
    return simulate.run(simulate.prepare(found), listener or Silent())


def toyed(executor: Executor, plan: toy.ToyPlan) -> Outcome:
    """The outcome of the toy fleet."""
    fleet = Fleet(toy.build, msgspec.msgpack.encode(plan), plan.hosts, toy.LOOKAHEAD)
    return engine.run(fleet, executor, lambda source, page: b"", Silent())


def in_pieces(*overrides: str, placement: str, partitions: int = 0) -> Outcome:
    """The outcome under a placement that Ray would have, with every partition in this process."""
    found = scenario.decode("", "test.toml", list(overrides))
    job = simulate.prepare(found)
    fleet = simulate.fleet_of(job.plan)
    executor = Executor("ray", partitions, placement, pace=found.engine.pace)
    return engine.run_on(fleet, executor, in_this_process, job.page, Silent())
