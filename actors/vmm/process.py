"""VMM of one VM: serialises conversions, retries by policy, keeps the attribute bitmap and the devices' mappings."""

from typing import ClassVar

import msgspec

from actors import messages as m
from actors.address import GMEM, GUEST, HOST_MAP, IOMMU, KVM, PINS, host_base
from actors.contract import Actor, Context, Reason, Share
from actors.intervals import IntervalMap
from actors.locks.observations import LockAsked, LockLeft, LockWaited
from actors.messages import ATTEMPT_BITS, TRY_BITS
from actors.observations import (
    Answered,
    Requested,
    Retried,
    VmStopped,
)
from actors.slots import Slots, slot_of
from actors.vmm import balloon as vmm_balloon
from actors.vmm import exit as vmm_exit
from actors.vmm import kill as vmm_kill
from actors.vmm import listeners as vmm_listeners
from actors.vmm.kill import Life
from actors.vmm.listeners import Follow, Part, Round, Window
from actors.vmm.retry import Policy, draw

RETRYABLE = {
    Reason.NO_MEMORY,
    Reason.REFERENCES,
    Reason.BUSY,
    Reason.INTERRUPTED,
    Reason.TIMEOUT,
}
FATAL = {Reason.BUG, Reason.DEAD}
IDLE = -1  # nobody has the conversion lock; a window's number is below it


class Pending(msgspec.Struct):
    """A request that is not answered."""

    request: int
    start: int
    end: int
    to: Share
    since: int
    reply_to: int
    again: int = 0  # how often the same memory fault has asked before
    attempt: int = 0
    stuck: int = 0  # attempts that count against the policy's tries
    refused_at: int = -1  # the last page (a gfn) that references have kept from changing sides
    queued_at: int = 0
    unmapped: list[Part] = []  # of the devices' tables, and not mapped again yet


class Vmm(Actor):
    """`bitmap` is gfn -> Share as the VMM believes it, `holes` gfn -> bits of the listeners whose map has failed.

    `queue` waits for the conversion lock, first in first out: requests, and windows of devices by negative numbers.
    """

    vm: int
    slots: Slots
    policy: Policy
    devices: int
    bitmap: IntervalMap
    holes: IntervalMap = msgspec.field(default_factory=lambda: IntervalMap.filled(0))
    follow: Follow = msgspec.field(default_factory=Follow)
    pending: dict[int, Pending] = {}
    queue: list[int] = []
    current: int = IDLE
    telling: Round | None = None
    windows: dict[int, Window] = {}
    windows_moved: int = 0
    dead: bool = False
    exits: bool = False  # of its own accord, as soon as nobody is in the kernel
    leaving: bool = False  # and its mm goes
    terminates: bool = False  # it calls KVM_TDX_TERMINATE_VM before it closes its files
    life: Life | msgspec.UnsetType = msgspec.UNSET  # where a fault plan may end it

    def on_request(self, message: m.ConvertRequest, context: Context) -> None:
        """A vCPU exits with a conversion to make."""
        pending = Pending(
            message.request,
            message.start,
            message.end,
            message.to,
            message.since,
            message.reply_to,
            message.again,
        )
        self.pending[message.request] = pending
        late = context.now - message.since
        context.observe(Requested(self.vm, message.request, message.to, late))
        if self.dead:
            self.answer(pending, Reason.DEAD, -1, False, context)
        else:
            self.enqueue(pending, context)

    def enqueue(self, pending: Pending, context: Context) -> None:
        """Wait for the conversion lock."""
        pending.queued_at = context.now
        self.line_up(pending.request, context)

    def line_up(self, number: int, context: Context) -> None:
        """Behind all others that want the conversion lock; if there are none, it is free."""
        free = self.idle and not self.queue and not self.exits
        context.observe(LockAsked(self.vm, "vmm", number, not free))
        if free:
            self.begin(number, context)
        else:
            self.queue.append(number)
            self.next(context)

    def next(self, context: Context) -> None:
        """Whoever is first in the queue makes its ioctl, or moves its window."""
        if self.exits:
            vmm_exit.go_on(self, context)
            return
        if self.idle and self.queue:
            number = self.queue.pop(0)
            wait = context.now - self.queued_at(number)
            context.observe(LockWaited(self.vm, "vmm", number, wait))
            self.begin(number, context)

    def begin(self, number: int, context: Context) -> None:
        """The conversion lock is held for this one."""
        self.current = number
        if number < IDLE:
            vmm_listeners.move(self, self.windows[self.current], context)
            return
        pending = self.in_hand()
        op = self.op_of(pending)
        if self.life is not msgspec.UNSET:
            vmm_kill.watch(self, op, 0, context)
        vmm_listeners.before(self, pending, op, context)

    @property
    def idle(self) -> bool:
        """Nobody has the conversion lock, and so nobody is in the kernel for a conversion or a window."""
        return self.current == IDLE

    def in_hand(self) -> Pending:
        """The request that has the conversion lock."""
        return self.pending[self.current]

    def queued_at(self, number: int) -> int:
        """When who has this number in the queue asked for the conversion lock."""
        return (self.windows if number < IDLE else self.pending)[number].queued_at

    @staticmethod
    def op_of(pending: Pending) -> int:
        """The number of the request's attempt (actors.messages). What goes beyond its bits has their last number."""
        again = min(pending.again, (1 << ATTEMPT_BITS - TRY_BITS) - 1)
        return (
            pending.request << ATTEMPT_BITS
            | again << TRY_BITS
            | min(pending.attempt, (1 << TRY_BITS) - 1)
        )

    @staticmethod
    def window_number(stream: int) -> int:
        """How the queue knows a stream's window."""
        return IDLE - 1 - stream

    def ioctl(self, pending: Pending, op: int, took: int, context: Context) -> None:
        """Ask guest_memfd to convert, after `took` in the VMM."""
        slot = slot_of(self.slots, pending.start)
        shift = slot.index - slot.gfn
        call = m.Convert(op, pending.start + shift, pending.end + shift, pending.to)
        context.send(self.vm | GMEM | slot.gmem, call, took + context.cost("convert_ioctl"))

    def on_converted(self, message: m.Converted, context: Context) -> None:
        """The ioctl returned: follow it in bitmap and devices, or decide what to do about the error."""
        if self.dead and vmm_kill.returned(self, context):
            return
        pending = self.pending[message.op >> ATTEMPT_BITS]
        assert pending.request == self.current, "an ioctl returns to a VMM that did not make it"
        if message.reason is Reason.NONE:
            pending.unmapped = []
            vmm_listeners.follow(self, pending, message.op, message.redundant, context)
            return
        slot = slot_of(self.slots, pending.start)
        offset = message.offset + slot.gfn - slot.index if message.offset >= 0 else -1
        vmm_listeners.refused(self, pending, message.op, message.reason, offset, context)

    def failed(self, pending: Pending, reason: Reason, offset: int, context: Context) -> None:
        """An error: again after a while, or to the guest, or the end of the VM."""
        policy = self.policy
        held = policy.drop_pins and reason is Reason.REFERENCES
        if held and offset > pending.refused_at:
            pending.stuck, pending.refused_at = 0, offset
        if reason in FATAL or (policy.fatal and reason in RETRYABLE):
            self.stop(context)
            self.done(pending, reason, offset, False, context)
        elif reason in RETRYABLE and (policy.tries < 0 or pending.stuck < policy.tries):
            if held and vmm_listeners.let_go(self, pending, self.op_of(pending), offset, context):
                return
            self.again(pending, offset if held else -1, context)
        else:
            self.done(pending, reason, offset, False, context)

    def again(self, pending: Pending, page: int, context: Context) -> None:
        """Make holders of the page let go, if there is one; release the conversion lock and come back later."""
        chance = draw(self.vm, pending.request, pending.attempt, context.now)
        wait = self.policy.wait(pending.stuck, chance)
        pending.attempt += 1
        pending.stuck += 1
        context.observe(Retried(self.vm, pending.request, pending.attempt, pending.stuck))
        if page >= 0:
            context.send(self.vm | PINS, m.DropPins(page, page + 1), context.link)
        context.after(max(wait, context.link), m.Retry(pending.request))
        self.release(pending.queued_at, context)

    def on_retry(self, message: m.Retry, context: Context) -> None:
        """The wait is over."""
        pending = self.pending.get(message.request)
        if pending:
            self.enqueue(pending, context)

    def done(
        self, pending: Pending, reason: Reason, offset: int, redundant: bool, context: Context
    ) -> None:
        """Answer and release the conversion lock; of what did not happen, devices keep no trace."""
        if pending.unmapped and not self.dead:
            telling = Round(self.op_of(pending), [], True, "answer", reason, offset, redundant)
            vmm_listeners.take_back(self, pending, telling, context)
            return
        self.answer(pending, reason, offset, redundant, context)
        self.release(pending.queued_at, context)

    def answer(
        self, pending: Pending, reason: Reason, offset: int, redundant: bool, context: Context
    ) -> None:
        """The request is over."""
        del self.pending[pending.request]
        latency = context.now - pending.since
        context.observe(
            Answered(
                self.vm,
                pending.request,
                pending.start,
                pending.end,
                pending.to,
                reason,
                redundant,
                latency,
            )
        )
        reply = m.ConvertAnswer(pending.request, reason, offset)
        context.send(pending.reply_to, reply, context.link)

    def release(self, asked_at: int, context: Context) -> None:
        """Who had asked for the conversion lock then gives it back: the next in the queue may go on."""
        self.left(self.current, asked_at, context)
        self.current = IDLE
        self.next(context)

    def left(self, number: int, asked_at: int, context: Context, waits: bool = False) -> None:
        """Who had asked for the conversion lock then has it no more, or wants it no more."""
        context.observe(LockLeft(self.vm, "vmm", number, context.now - asked_at, waits))

    # --- death -----------------------------------------------------------------------------------

    def on_vm_dead(self, _: m.VmDead, context: Context) -> None:
        """KVM bugged the VM, or the guest panicked."""
        self.stop(context)

    def stop(self, context: Context, regular: bool = False) -> None:
        """EIO for everybody who waits; then the VMM exits and the last reference to each file goes."""
        if not self.dead:
            self.give_up(context, regular)
            self.close(context)

    def give_up(self, context: Context, regular: bool = False) -> None:
        """Nothing is put back from here on; the request in hand is left to what is under way for it."""
        self.dead = True
        context.observe(VmStopped(self.vm, regular))
        for number in self.queue:
            self.left(number, self.queued_at(number), context, waits=True)
        self.queue = []
        for pending in [p for p in self.pending.values() if p.request != self.current]:
            self.answer(pending, Reason.DEAD, -1, False, context)

    def close(self, context: Context) -> None:
        """The process is gone, and with it whatever it had open."""
        for peer in (GUEST, KVM, HOST_MAP, PINS):
            context.send(self.vm | peer, m.VmDead(), context.link)
        if self.terminates and (self.life is msgspec.UNSET or self.life < Life.KILLED):
            context.send(self.vm | KVM, m.Terminate(), context.link)
        if self.devices:
            context.send(host_base(self.vm) | IOMMU, m.Detach(self.vm), context.link)
        for gmem in sorted({slot.gmem for slot in self.slots}):
            context.send(self.vm | GMEM | gmem, m.ReleaseFile(), context.cost("memory_fault_exit"))

    HANDLERS: ClassVar = {
        m.ConvertRequest: on_request,
        m.Converted: on_converted,
        m.DmaMapped: vmm_listeners.on_mapped,
        m.DmaUnmapped: vmm_listeners.on_unmapped,
        m.Discarded: vmm_listeners.on_discarded,
        m.MoveWindow: vmm_listeners.on_move_window,
        m.Retry: on_retry,
        m.VmDead: on_vm_dead,
        m.PunchHole: vmm_balloon.on_punch_hole,
        m.HolePunched: vmm_balloon.done,
        m.Exit: vmm_exit.on_exit,
        m.NotifierDone: vmm_exit.on_notifier_done,
        m.LifeSlice: vmm_kill.on_slice,
        m.Kill: vmm_kill.on_kill,
    }
