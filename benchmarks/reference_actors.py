"""The reference model as actors: the VM's guest, its guest_memfd and its KVM MMU."""

from typing import ClassVar

from actors.address import GMEM, GUEST, HOST_MAP, IOMMU, KVM, TDX, host_base
from actors.contract import Actor, Consumer, Context, Message, Reason, Share, opportunity
from actors.observations import Answered, ConsumerReplied, Requested
from benchmarks.reference_messages import (
    Abort,
    Call,
    Commit,
    Convert,
    Converted,
    Done,
    Prepare,
    Returned,
    Tick,
)
from benchmarks.reference_model import Cycle, until_own

KVM_MMU, SHARED = Consumer.KVM_MMU, Share.SHARED
NONE, NO_MEMORY = Reason.NONE, Reason.NO_MEMORY


class Program:
    """What a guest is going to do; environment, not state, so no record."""

    def __init__(self, vms: int, cycles: tuple[Cycle, ...]) -> None:
        self.vms = vms
        self.cycles = cycles


class Guest(Actor):
    """Thinks and converts; counts what came of it."""

    vm: int
    number: int
    program: Program
    gmem: int
    op: int = 0
    asked: int = 0
    aborted: int = 0
    completed: int = 0

    @classmethod
    def of(cls, vm: int, number: int, program: Program) -> "Guest":
        """The guest of this VM."""
        return cls(vm, number, program, vm | GMEM)

    def on_tick(self, message: Tick, context: Context) -> None:
        """Convert."""
        op = self.op
        self.asked = context.now
        context.observe(Requested(self.vm, op, SHARED))
        context.send(self.gmem, Convert(op, self.program.cycles[op].commit), context.link)

    def on_converted(self, message: Converted, context: Context) -> None:
        """Think again."""
        now = context.now
        self.op = op = self.op + 1
        self.completed += now
        reason = NONE
        if not message.commit:
            self.aborted += 1
            reason = NO_MEMORY
        latency = now - self.asked
        context.observe(Answered(self.vm, message.op, 0, 1, SHARED, reason, False, latency))
        program = self.program
        if op < len(program.cycles):
            think = program.cycles[op].think
            context.after(think + until_own(now + think, self.number, program.vms), Tick())

    HANDLERS: ClassVar = {Tick: on_tick, Converted: on_converted}


class Gmem(Actor):
    """Asks three consumers at once, decides, and tells them. It knows its peers by their addresses."""

    gmem: int
    number: int
    vms: int
    guest: int
    kvm: int
    host_map: int
    iommu: int
    waiting: int = 0
    began: int = 0
    phase: str = ""
    commit: bool = False

    @classmethod
    def of(cls, vm: int, number: int, vms: int) -> "Gmem":
        """The guest_memfd of this VM."""
        iommu = host_base(vm) | IOMMU
        return cls(vm | GMEM, number, vms, vm | GUEST, vm | KVM, vm | HOST_MAP, iommu)

    def on_convert(self, message: Convert, context: Context) -> None:
        """PREPARE."""
        self.phase = "prepare"
        self.commit = message.commit
        self.tell(Prepare(message.op, self.gmem), context.link, context)

    def on_done(self, message: Done, context: Context) -> None:
        """The last answer of a phase ends it."""
        gmem, phase, now, op = self.gmem, self.phase, context.now, message.op
        context.observe(ConsumerReplied(gmem, op, phase, message.consumer, NONE, now - self.began))
        self.waiting = waiting = self.waiting - 1
        if waiting:
            return
        link = context.link
        if phase != "prepare":
            context.send(self.guest, Converted(op, phase == "commit"), link)
            return
        wait = until_own(now - link, self.number, self.vms)
        if self.commit:
            self.phase = "commit"
            self.tell(Commit(op, gmem), wait + link, context)
        else:
            self.phase = "abort"
            self.tell(Abort(op, gmem), wait + link, context)

    def tell(self, message: Message, delay: int, context: Context) -> None:
        """The same to all three."""
        self.waiting = 3
        self.began = context.now
        context.send(self.kvm, message, delay)
        context.send(self.host_map, message, delay)
        context.send(self.iommu, message, delay)

    HANDLERS: ClassVar = {Convert: on_convert, Done: on_done}


class KvmMmu(Actor):
    """Passes each phase on to the host's TDX module."""

    vm: int
    kvm: int
    gmem: int
    tdx: int

    @classmethod
    def of(cls, vm: int) -> "KvmMmu":
        """The KVM MMU of this VM."""
        return cls(vm, vm | KVM, vm | GMEM, host_base(vm) | TDX)

    def on_prepare(self, message: Prepare, context: Context) -> None:
        """Nothing is in the fault plan, but the point is passed."""
        context.choose("kvm.split_memory", 1, opportunity(self.vm, message.op))
        self.on_decision(message, context)

    def on_decision(self, message: Prepare | Commit | Abort, context: Context) -> None:
        """The TDX module does the work."""
        context.send(self.tdx, Call(message.op, self.kvm), context.link)

    def on_returned(self, message: Returned, context: Context) -> None:
        """And here is its answer."""
        context.send(self.gmem, Done(message.op, KVM_MMU), context.link)

    HANDLERS: ClassVar = {
        Prepare: on_prepare,
        Commit: on_decision,
        Abort: on_decision,
        Returned: on_returned,
    }
