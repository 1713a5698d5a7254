"""The reference model in SimPy as communicating processes: the same actors as gmemsim's, each with a mailbox.

A mailbox is the cable of SimPy's own example of event latency: a Store, and a process for each message on its way.
A lean one does without the process.
"""

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

import simpy
from simpy.events import Event, Timeout

from benchmarks.reference_model import LINK, USERSPACE_NS, Server, Shape
from benchmarks.reference_simpy import Servers, Steps, Vm

Taking = Generator[Event, Any, None]
"""A process that takes messages."""


class Mailbox:
    """Messages arrive after their delay and are taken in the order in which they came."""

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self.store = simpy.Store(env)
        self.get = self.store.get

    def latency(self, message: Any, delay: int) -> Steps:
        """One message under way."""
        yield self.env.timeout(delay)
        self.store.put(message)

    def put(self, message: Any, delay: int) -> None:
        """Send."""
        self.env.process(self.latency(message, delay))


class LeanMailbox(Mailbox):
    """A message on its way is a timeout that puts it where it goes."""

    def put(self, message: Any, delay: int) -> None:
        """Send."""
        callbacks = Timeout(self.env, delay, message).callbacks
        assert callbacks is not None
        callbacks.append(self.arrive)

    def arrive(self, message: Event) -> None:
        """One message is there."""
        self.store.put(message.value)


class Ask(NamedTuple):
    """PREPARE, COMMIT or ABORT to a consumer, and a call of the TDX module: the answer goes to `client`."""

    op: int
    client: Mailbox


def serve(mailbox: Mailbox, server: Server) -> Taking:
    """The TDX module or the IOMMU: one request at a time."""
    timeout = mailbox.env.timeout
    while True:
        ask = yield mailbox.get()
        yield timeout(server.work())
        ask.client.put(ask.op, LINK)


class MailboxVm(Vm):
    """Four actors: the guest, its guest_memfd, its KVM MMU and its host mapping."""

    def __init__(
        self, env: simpy.Environment, shape: Shape, host: int, number: int, servers: list[Mailbox]
    ) -> None:
        super().__init__(env, shape, host, number)
        self.tdx, self.iommu = servers
        kind = type(self.tdx)
        self.guest_box, self.gmem_box = kind(env), kind(env)
        self.kvm_box, self.userspace_box = kind(env), kind(env)
        for actor in (self.guest(), self.gmem(), self.kvm(), self.userspace()):
            env.process(actor)

    def guest(self) -> Taking:
        """Thinks and converts."""
        more = True
        while more:
            yield self.env.timeout(self.think())
            self.gmem_box.put(self.op, LINK)
            yield self.guest_box.get()
            more = self.count()

    def gmem(self) -> Taking:
        """Asks three consumers at once, decides, and tells them."""
        take = self.gmem_box.get
        consumers = [self.kvm_box, self.userspace_box, self.iommu]
        while True:
            op = yield take()
            self.tell(consumers, Ask(op, self.gmem_box), LINK)
            for _ in consumers:
                yield take()
            self.tell(consumers, Ask(op, self.gmem_box), self.decide())
            for _ in consumers:
                yield take()
            self.guest_box.put(op, LINK)

    def tell(self, consumers: Sequence[Mailbox], ask: Ask, delay: int) -> None:
        """The same to all three."""
        for consumer in consumers:
            consumer.put(ask, delay)

    def kvm(self) -> Taking:
        """Passes each phase on to the host's TDX module."""
        take = self.kvm_box.get
        while True:
            ask = yield take()
            self.tdx.put(Ask(ask.op, self.kvm_box), LINK)
            yield take()
            ask.client.put(ask.op, LINK)

    def userspace(self) -> Taking:
        """A fixed time."""
        timeout = self.env.timeout
        while True:
            ask = yield self.userspace_box.get()
            yield timeout(USERSPACE_NS)
            ask.client.put(ask.op, LINK)


def mailboxes(env: simpy.Environment, shape: Shape, host: int, servers: Servers) -> list[Vm]:
    """See benchmarks.reference_simpy.Populate."""
    return around([Mailbox(env), Mailbox(env)], shape, host, servers)


def lean_mailboxes(env: simpy.Environment, shape: Shape, host: int, servers: Servers) -> list[Vm]:
    """See benchmarks.reference_simpy.Populate."""
    return around([LeanMailbox(env), LeanMailbox(env)], shape, host, servers)


def around(boxes: list[Mailbox], shape: Shape, host: int, servers: Servers) -> list[Vm]:
    """The VMs of a host, around its two servers with these mailboxes."""
    env = boxes[0].env
    for box, server in zip(boxes, (servers.tdx, servers.iommu), strict=True):
        env.process(serve(box, server))
    return [MailboxVm(env, shape, host, number, boxes) for number in range(shape.vms)]
