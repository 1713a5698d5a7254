"""The reference model in SimPy, twice: as processes, the way it is meant, and as bare callbacks."""

from collections.abc import Callable, Generator
from typing import Any

import simpy
from simpy.events import Event, Timeout

from actors.address import IOMMU, TDX, host_address, vm_address
from benchmarks.reference_model import (
    LINK,
    USERSPACE_NS,
    Server,
    Shape,
    Tally,
    cost_model,
    cycles,
    until_own,
)
from cluster.costs import CostModel

Steps = Generator[Event, None, None]


class Vm:
    """What both ways share: a VM's draws, its host's servers, and its counts."""

    def __init__(
        self, env: simpy.Environment, shape: Shape, place: tuple[int, int], servers: list[Server]
    ) -> None:
        host, self.number = place
        self.env = env
        self.shape = shape
        self.cycles = cycles(shape.seed, vm_address(host, self.number), shape.conversions)
        self.tdx, self.iommu = servers
        self.op = self.aborted = self.completed = 0

    def think(self) -> int:
        """ns until the next conversion begins."""
        now = int(self.env.now)
        wait = self.cycles[self.op].think
        return wait + until_own(now + wait, self.number, self.shape.vms)

    def decide(self) -> int:
        """ns until the decision is with the consumers."""
        now = int(self.env.now)
        return until_own(now - LINK, self.number, self.shape.vms) + LINK

    def count(self) -> bool:
        """A conversion has ended; is there another?"""
        if not self.cycles[self.op].commit:
            self.aborted += 1
        self.completed += int(self.env.now)
        self.op += 1
        return self.op < len(self.cycles)


class ProcessVm(Vm):
    """One process for the VM, one for each consumer at work. `yield` takes a message's time."""

    def start(self) -> None:
        """Begin."""
        self.env.process(self.live())

    def live(self) -> Steps:
        """Think, convert, again."""
        timeout = self.env.timeout
        more = True
        while more:
            yield timeout(self.think())
            yield timeout(LINK)
            yield self.phase(LINK)
            yield self.phase(self.decide())
            yield timeout(LINK)
            more = self.count()

    def phase(self, delay: int) -> Event:
        """PREPARE, COMMIT or ABORT at all three consumers."""
        process = self.env.process
        consumers = [self.kvm(delay), self.userspace(delay), self.iommu_driver(delay)]
        return self.env.all_of([process(consumer) for consumer in consumers])

    def kvm(self, delay: int) -> Steps:
        """Through the TDX module and back."""
        timeout = self.env.timeout
        yield timeout(delay)
        yield timeout(LINK)
        yield timeout(self.tdx.serve(int(self.env.now)))
        yield timeout(LINK)
        yield timeout(LINK)

    def userspace(self, delay: int) -> Steps:
        """A fixed time."""
        timeout = self.env.timeout
        yield timeout(delay)
        yield timeout(USERSPACE_NS)
        yield timeout(LINK)

    def iommu_driver(self, delay: int) -> Steps:
        """The invalidation queue."""
        timeout = self.env.timeout
        yield timeout(delay)
        yield timeout(self.iommu.serve(int(self.env.now)))
        yield timeout(LINK)


class CallbackVm(Vm):
    """No process and no generator: each message is one Timeout with one callback."""

    def start(self) -> None:
        """Begin."""
        self.waiting = 0
        self.preparing = False
        self.after(self.think(), self.tick)

    def after(self, delay: int, then: Callable[[Any], None]) -> None:
        """Call `then` after `delay`."""
        callbacks = Timeout(self.env, delay).callbacks
        assert callbacks is not None
        callbacks.append(then)

    def tick(self, _: Event) -> None:
        self.after(LINK, self.convert)

    def convert(self, _: Event) -> None:
        self.preparing = True
        self.tell(LINK)

    def tell(self, delay: int) -> None:
        self.waiting = 3
        self.after(delay, self.kvm)
        self.after(delay, self.userspace)
        self.after(delay, self.iommu_driver)

    def kvm(self, _: Event) -> None:
        self.after(LINK, self.call)

    def call(self, _: Event) -> None:
        self.after(self.tdx.serve(int(self.env.now)), self.called)

    def called(self, _: Event) -> None:
        self.after(LINK, self.served)

    def userspace(self, _: Event) -> None:
        self.after(USERSPACE_NS, self.served)

    def iommu_driver(self, _: Event) -> None:
        self.after(self.iommu.serve(int(self.env.now)), self.served)

    def served(self, _: Event) -> None:
        self.after(LINK, self.done)

    def done(self, _: Event) -> None:
        self.waiting -= 1
        if self.waiting:
            return
        if self.preparing:
            self.preparing = False
            self.tell(self.decide())
        else:
            self.after(LINK, self.converted)

    def converted(self, _: Event) -> None:
        if self.count():
            self.after(self.think(), self.tick)


class Rival:
    """The whole fleet in one SimPy environment."""

    def __init__(self, kind: type[ProcessVm] | type[CallbackVm], shape: Shape) -> None:
        self.env = simpy.Environment()
        costs = cost_model()
        self.vms = [vm for host in range(shape.hosts) for vm in self.host(kind, shape, host, costs)]
        for vm in self.vms:
            vm.start()

    def host(
        self, kind: type[ProcessVm] | type[CallbackVm], shape: Shape, host: int, costs: CostModel
    ) -> list[ProcessVm | CallbackVm]:
        """The VMs of a host, around its two servers."""
        base = host_address(host)
        servers = [
            Server("tdx", shape.seed, base | TDX, costs),
            Server("iommu", shape.seed, base | IOMMU, costs),
        ]
        return [kind(self.env, shape, (host, number), servers) for number in range(shape.vms)]

    def run(self) -> Tally:
        """To the end."""
        self.env.run()
        return Tally(
            sum(vm.op for vm in self.vms),
            sum(vm.aborted for vm in self.vms),
            sum(vm.completed for vm in self.vms),
        )
