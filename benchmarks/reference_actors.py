"""The reference model as actors: the VM's guest, its guest_memfd and its KVM MMU."""

from typing import ClassVar

import msgspec

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
from benchmarks.reference_model import Cycle, cycle, until_own


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
