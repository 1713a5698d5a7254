"""The reference model as gmemsim actors, run by the engine as it is shipped: digest, fault points, facts and metrics on."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

import msgspec

from actors.address import (
    GMEM,
    GUEST,
    HOST_MAP,
    IOMMU,
    KVM,
    TDX,
    host_address,
    host_base,
    vm_address,
    vm_base,
    vm_of,
)
from actors.contract import Actor, Consumer, Context, Message, Reason, Share, opportunity
from actors.observations import Answered, ConsumerReplied, Requested
from benchmarks.reference_model import (
    Cycle,
    Shape,
    Tally,
    cost_model,
    cycle,
    cycle_key,
    until_own,
)
from cluster.faults import FaultPlan
from cluster.world import World
from workloads.meter import Meter


class Tick(Message, frozen=True, tag=1):
    """Timer of the guest: it has thought."""


class Convert(Message, frozen=True, tag=2):
    """Guest -> guest_memfd."""

    op: int
    commit: bool


class Prepare(Message, frozen=True, tag=3):
    """guest_memfd -> consumer."""

    op: int
    gmem: int


class Commit(Message, frozen=True, tag=4):
    """guest_memfd -> consumer."""

    op: int
    gmem: int


class Abort(Message, frozen=True, tag=5):
    """guest_memfd -> consumer."""

    op: int
    gmem: int


class Call(Message, frozen=True, tag=6):
    """KVM MMU -> TDX module."""

    op: int
    kvm: int


class Served(Message, frozen=True, tag=7):
    """Timer of a consumer or a server: the work for `client` is done."""

    op: int
    client: int


class Returned(Message, frozen=True, tag=8):
    """TDX module -> KVM MMU."""

    op: int


class Done(Message, frozen=True, tag=9):
    """Consumer -> guest_memfd."""

    op: int
    consumer: Consumer


class Converted(Message, frozen=True, tag=10):
    """guest_memfd -> guest."""

    op: int
    commit: bool


class Program(msgspec.Struct, frozen=True):
    """What a guest is going to do; environment, not state."""

    key: bytes
    vms: int
    conversions: int

    def cycle(self, number: int) -> Cycle:
        """Draws of the conversion of this number."""
        return cycle(self.key, number)


class Guest(Actor):
    """Thinks and converts; counts what came of it."""

    vm: int
    number: int
    program: Program
    op: int = 0
    asked: int = 0
    aborted: int = 0
    completed: int = 0

    def on_tick(self, message: Tick, context: Context) -> None:
        """Convert."""
        self.asked = context.now
        context.observe(Requested(self.vm, self.op, Share.SHARED))
        commit = self.program.cycle(self.op).commit
        context.send(self.vm | GMEM, Convert(self.op, commit), context.link)

    def on_converted(self, message: Converted, context: Context) -> None:
        """Think again."""
        now = context.now
        self.op += 1
        self.completed += now
        reason = Reason.NONE
        if not message.commit:
            self.aborted += 1
            reason = Reason.NO_MEMORY
        latency = now - self.asked
        context.observe(Answered(self.vm, message.op, 0, 1, Share.SHARED, reason, False, latency))
        program = self.program
        if self.op < program.conversions:
            think = program.cycle(self.op).think
            context.after(think + until_own(now + think, self.number, program.vms), Tick())

    HANDLERS: ClassVar = {Tick: on_tick, Converted: on_converted}


class Gmem(Actor):
    """Asks three consumers at once, decides, and tells them."""

    vm: int
    number: int
    vms: int
    waiting: int = 0
    began: int = 0
    preparing: bool = False
    commit: bool = False

    def on_convert(self, message: Convert, context: Context) -> None:
        """PREPARE."""
        self.preparing = True
        self.commit = message.commit
        self.tell(Prepare(message.op, self.vm | GMEM), context.link, context)

    def on_done(self, message: Done, context: Context) -> None:
        """The last answer of a phase ends it."""
        phase = "prepare" if self.preparing else "commit" if self.commit else "abort"
        took = context.now - self.began
        gmem = self.vm | GMEM
        context.observe(
            ConsumerReplied(gmem, message.op, phase, message.consumer, Reason.NONE, took)
        )
        self.waiting -= 1
        if self.waiting:
            return
        if not self.preparing:
            context.send(self.vm | GUEST, Converted(message.op, self.commit), context.link)
            return
        self.preparing = False
        wait = until_own(context.now - context.link, self.number, self.vms)
        decision = (Commit if self.commit else Abort)(message.op, gmem)
        self.tell(decision, wait + context.link, context)

    def tell(self, message: Message, delay: int, context: Context) -> None:
        """The same to all three."""
        self.waiting = 3
        self.began = context.now
        vm = self.vm
        context.send(vm | KVM, message, delay)
        context.send(vm | HOST_MAP, message, delay)
        context.send(host_base(vm) | IOMMU, message, delay)

    HANDLERS: ClassVar = {Convert: on_convert, Done: on_done}


class KvmMmu(Actor):
    """Passes each phase on to the host's TDX module."""

    vm: int

    def on_prepare(self, message: Prepare, context: Context) -> None:
        """Nothing is in the fault plan, but the point is passed."""
        context.choose("kvm.split_memory", 1, opportunity(self.vm, message.op))
        self.on_decision(message, context)

    def on_decision(self, message: Prepare | Commit | Abort, context: Context) -> None:
        """The TDX module does the work."""
        call = Call(message.op, self.vm | KVM)
        context.send(host_base(self.vm) | TDX, call, context.link)

    def on_returned(self, message: Returned, context: Context) -> None:
        """And here is its answer."""
        context.send(self.vm | GMEM, Done(message.op, Consumer.KVM_MMU), context.link)

    HANDLERS: ClassVar = {
        Prepare: on_prepare,
        Commit: on_decision,
        Abort: on_decision,
        Returned: on_returned,
    }


class Userspace(Actor):
    """The host's mapping: a fixed time, and nobody to wait for."""

    vm: int

    def on_phase(self, message: Prepare | Commit | Abort, context: Context) -> None:
        """Work."""
        context.after(context.cost("userspace"), Served(message.op, message.gmem))

    def on_served(self, message: Served, context: Context) -> None:
        """Answer."""
        context.send(message.client, Done(message.op, Consumer.HOST_MAP), context.link)

    HANDLERS: ClassVar = {
        Prepare: on_phase,
        Commit: on_phase,
        Abort: on_phase,
        Served: on_served,
    }


class Tdx(Actor):
    """One server for all VMs of the host, first come first served."""

    free: int = 0

    def on_call(self, message: Call, context: Context) -> None:
        """Queue and serve."""
        self.free = max(context.now, self.free) + context.cost("tdx")
        context.after(self.free - context.now, Served(message.op, message.kvm))

    def on_served(self, message: Served, context: Context) -> None:
        """Return."""
        context.send(message.client, Returned(message.op), context.link)

    HANDLERS: ClassVar = {Call: on_call, Served: on_served}


class Iommu(Actor):
    """One invalidation queue for all VMs of the host, first come first served."""

    free: int = 0

    def on_prepare(self, message: Prepare, context: Context) -> None:
        """Nothing is in the fault plan, but the point is passed."""
        context.choose("iommu.slots", 1, opportunity(vm_base(message.gmem), message.op))
        self.on_decision(message, context)

    def on_decision(self, message: Prepare | Commit | Abort, context: Context) -> None:
        """Queue and serve."""
        self.free = max(context.now, self.free) + context.cost("iommu")
        context.after(self.free - context.now, Served(message.op, message.gmem))

    def on_served(self, message: Served, context: Context) -> None:
        """Answer."""
        context.send(message.client, Done(message.op, Consumer.IOMMU), context.link)

    HANDLERS: ClassVar = {
        Prepare: on_prepare,
        Commit: on_decision,
        Abort: on_decision,
        Served: on_served,
    }


def build(encoded: bytes, hosts: Sequence[int]) -> World:
    """The hosts of one partition (cluster.world.Build)."""
    shape = msgspec.msgpack.decode(encoded, type=Shape)
    members = {host: host_actors(shape, host) for host in hosts}
    first = [
        (first_tick(actor), address, Tick())
        for actors in members.values()
        for address, actor in actors.items()
        if isinstance(actor, Guest)
    ]
    return World(
        seed=shape.seed,
        actors=members,
        first=first,
        costs=cost_model(),
        faults=FaultPlan(shape.seed, []),
        watchers={"meter": Meter("two-phase")},
        census=tally,
    )


def host_actors(shape: Shape, host: int) -> dict[int, Actor]:
    """Address -> actor."""
    base = host_address(host)
    actors: dict[int, Actor] = {base | TDX: Tdx(), base | IOMMU: Iommu()}
    for number in range(shape.vms):
        vm = vm_address(host, number)
        program = Program(cycle_key(shape.seed, vm), shape.vms, shape.conversions)
        actors[vm | GUEST] = Guest(vm, number, program)
        actors[vm | GMEM] = Gmem(vm, number, shape.vms)
        actors[vm | KVM] = KvmMmu(vm)
        actors[vm | HOST_MAP] = Userspace(vm)
    return actors


def first_tick(guest: Guest) -> int:
    """When the guest has thought for the first time."""
    think = guest.program.cycle(0).think
    return think + until_own(think, vm_of(guest.vm), guest.program.vms)


def tally(actors: Iterable[Actor]) -> dict[str, int]:
    """A partition's part of the Tally."""
    guests = [actor for actor in actors if isinstance(actor, Guest)]
    return Tally(
        sum(guest.op for guest in guests),
        sum(guest.aborted for guest in guests),
        sum(guest.completed for guest in guests),
    )._asdict()
