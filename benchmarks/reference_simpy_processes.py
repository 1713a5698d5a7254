"""The reference model in SimPy as processes that wait: a message is a time that passes, nobody has a mailbox.

One process for the VM and one for each consumer at work, joined by AllOf. Servers are two lines of arithmetic, or
`simpy.Resource`, as SimPy's documentation has it.
"""

from abc import abstractmethod

import simpy
from simpy.events import Event

from benchmarks.reference_model import LINK, USERSPACE_NS, Server, Shape
from benchmarks.reference_simpy import Servers, Steps, Vm


class ProcessVm(Vm):
    """`yield` takes a message's time."""

    def begin(self) -> None:
        """Start."""
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

    @abstractmethod
    def kvm(self, delay: int) -> Steps:
        """Through the TDX module and back."""

    @abstractmethod
    def iommu_driver(self, delay: int) -> Steps:
        """The invalidation queue."""

    def userspace(self, delay: int) -> Steps:
        """A fixed time."""
        timeout = self.env.timeout
        yield timeout(delay)
        yield timeout(USERSPACE_NS)
        yield timeout(LINK)


class TightVm(ProcessVm):
    """A server says at once when a request will be done, so that a request waits once."""

    def __init__(
        self, env: simpy.Environment, shape: Shape, host: int, number: int, servers: Servers
    ) -> None:
        super().__init__(env, shape, host, number)
        self.servers = servers

    def kvm(self, delay: int) -> Steps:
        timeout = self.env.timeout
        yield timeout(delay)
        yield timeout(LINK)
        yield timeout(self.servers.tdx.serve(int(self.env.now)))
        yield timeout(LINK)
        yield timeout(LINK)

    def iommu_driver(self, delay: int) -> Steps:
        timeout = self.env.timeout
        yield timeout(delay)
        yield timeout(self.servers.iommu.serve(int(self.env.now)))
        yield timeout(LINK)


class Queue:
    """A server and those who wait for it."""

    def __init__(self, env: simpy.Environment, server: Server) -> None:
        self.resource = simpy.Resource(env, capacity=1)
        self.server = server


class ResourceVm(ProcessVm):
    """A server is a resource that is asked for, held and given back."""

    def __init__(
        self, env: simpy.Environment, shape: Shape, host: int, number: int, queues: list[Queue]
    ) -> None:
        super().__init__(env, shape, host, number)
        self.tdx, self.iommu = queues

    def kvm(self, delay: int) -> Steps:
        timeout = self.env.timeout
        yield timeout(delay)
        yield timeout(LINK)
        with self.tdx.resource.request() as turn:
            yield turn
            yield timeout(self.tdx.server.work())
        yield timeout(LINK)
        yield timeout(LINK)

    def iommu_driver(self, delay: int) -> Steps:
        timeout = self.env.timeout
        yield timeout(delay)
        with self.iommu.resource.request() as turn:
            yield turn
            yield timeout(self.iommu.server.work())
        yield timeout(LINK)


def tight(env: simpy.Environment, shape: Shape, host: int, servers: Servers) -> list[Vm]:
    """See benchmarks.reference_simpy.Populate."""
    return begun([TightVm(env, shape, host, number, servers) for number in range(shape.vms)])


def resources(env: simpy.Environment, shape: Shape, host: int, servers: Servers) -> list[Vm]:
    """See benchmarks.reference_simpy.Populate."""
    queues = [Queue(env, servers.tdx), Queue(env, servers.iommu)]
    return begun([ResourceVm(env, shape, host, number, queues) for number in range(shape.vms)])


def begun(vms: list[ProcessVm]) -> list[Vm]:
    """The same, at work."""
    for vm in vms:
        vm.begin()
    return [*vms]
