"""A plan: all that a partition must know to build its hosts, as one record that crosses to its worker."""

import msgspec

from actors.slots import Slot
from cluster.costs import Cost
from workloads.scenario import Scenario, Trace

GOLDEN = (
    0.6180339887498949  # multiples of it, modulo 1, fill the unit interval evenly from the start
)


class LogShape(msgspec.Struct, frozen=True):
    """What a trace log says of its VM; `source` is its number among the run's spools."""

    source: int
    slots: tuple[Slot, ...]
    vcpus: int
    conversions: int
    has_times: bool


class Plan(msgspec.Struct, frozen=True):
    """A scenario with everything looked up that it names. `logs` are by workload, then by log."""

    scenario: Scenario
    costs: tuple[Cost, ...]
    logs: tuple[tuple[LogShape, ...], ...] = ()
    arrivals: tuple[tuple[int, int], ...] = ()  # of a trace: when a VM comes, and its lifetime, ns

    @property
    def vms(self) -> int:
        """VMs of the fleet."""
        fleet = self.scenario.fleet
        return fleet.vms or fleet.hosts * fleet.vms_per_host

    @property
    def generations(self) -> int:
        """How many VMs a place on a host sees at most, one after the other."""
        fleet = self.scenario.fleet
        return fleet.generations if fleet.reuse == "readmit" else 1

    @property
    def arrives(self) -> bool:
        """Do VMs come and go, instead of being there from the start?"""
        return self.scenario.arrivals.kind != "none"

    @property
    def moves(self) -> bool:
        """Do VMs move between hosts?"""
        return self.scenario.moves.kind != "none"

    def vms_of(self, host: int) -> int:
        """VMs of one host."""
        full = self.scenario.fleet.vms_per_host
        return max(0, min(full, self.vms - host * full))

    def workload_of(self, number: int) -> int:
        """Which workload VM `number` of the fleet runs: dealt out evenly, in proportion to the shares."""
        workloads = self.scenario.workload
        if len(workloads) == 1:
            return 0
        point = (number + 0.5) * GOLDEN % 1.0 * sum(load.share for load in workloads)
        for index, load in enumerate(workloads):
            point -= load.share
            if point < 0:
                return index
        return len(workloads) - 1

    def log_of(self, number: int) -> LogShape | None:
        """The log of VM `number`, if a trace drives it: logs in turn."""
        index = self.workload_of(number)
        if not isinstance(self.scenario.workload[index], Trace):
            return None
        logs = self.logs[index]
        return logs[number % len(logs)]

    def quota_of(self, number: int) -> int:
        """How many of the fleet's conversions are VM `number`'s; 0 is no limit, -1 none at all."""
        total = self.scenario.scenario.conversions
        if not total:
            return 0
        share, rest = divmod(total, self.vms)
        return share + (number < rest) or -1


ENCODER = msgspec.msgpack.Encoder()
DECODER = msgspec.msgpack.Decoder(Plan)
