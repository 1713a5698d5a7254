"""The reference model in SimPy: what every way of writing it shares, and the fleet in one environment."""

from collections.abc import Callable, Generator, Sequence

import simpy
from simpy.events import Event

from actors.address import IOMMU, TDX, host_address, vm_address
from benchmarks.reference_model import LINK, Server, Shape, Tally, cost_model, cycles, until_own

Steps = Generator[Event, None, None]


class Vm:
    """A VM's draws and its counts."""

    def __init__(self, env: simpy.Environment, shape: Shape, host: int, number: int) -> None:
        self.env = env
        self.number = number
        self.vms = shape.vms
        self.cycles = cycles(shape.seed, vm_address(host, number), shape.conversions)
        self.op = self.aborted = self.completed = 0

    def think(self) -> int:
        """ns until the next conversion begins."""
        now = int(self.env.now)
        wait = self.cycles[self.op].think
        return wait + until_own(now + wait, self.number, self.vms)

    def decide(self) -> int:
        """ns until the decision is with the consumers."""
        now = int(self.env.now)
        return until_own(now - LINK, self.number, self.vms) + LINK

    def count(self) -> bool:
        """A conversion has ended; is there another?"""
        if not self.cycles[self.op].commit:
            self.aborted += 1
        self.completed += int(self.env.now)
        self.op += 1
        return self.op < len(self.cycles)


class Servers:
    """The two servers of a host."""

    def __init__(self, seed: int, host: int) -> None:
        base, costs = host_address(host), cost_model()
        self.tdx = Server("tdx", seed, base | TDX, costs)
        self.iommu = Server("iommu", seed, base | IOMMU, costs)


Populate = Callable[[simpy.Environment, Shape, int, Servers], Sequence[Vm]]
"""(environment, shape, number of the host, its servers) -> its VMs, begun: one way of writing the model."""


class Rival:
    """The whole fleet in one SimPy environment."""

    def __init__(self, populate: Populate, shape: Shape) -> None:
        self.env = simpy.Environment()
        self.vms = [
            vm
            for host in range(shape.hosts)
            for vm in populate(self.env, shape, host, Servers(shape.seed, host))
        ]

    def run(self) -> Tally:
        """To the end."""
        self.env.run()
        return Tally(
            sum(vm.op for vm in self.vms),
            sum(vm.aborted for vm in self.vms),
            sum(vm.completed for vm in self.vms),
        )
