"""guest_memfd: owns shareability, folios and poison of one inode, and drives conversions by a protocol's table."""

from typing import ClassVar

import msgspec

from actors import messages as m
from actors.address import KVM, PINS, vm_base
from actors.contract import (
    KVMS,
    WORDS,
    Actor,
    Consumer,
    Context,
    Message,
    Reason,
    Trace,
)
from actors.fleet import carry
from actors.fleet.move_messages import Carried
from actors.gmem import failure as gmem_failure
from actors.gmem import faults as gmem_faults
from actors.gmem import frames as gmem_frames
from actors.gmem import marks as gmem_marks
from actors.gmem import punch as gmem_punch
from actors.gmem import ranges as gmem_ranges
from actors.gmem import release as gmem_release
from actors.gmem import steps as gmem_steps
from actors.gmem.conversion import PHASES, Conversion, Verb
from actors.gmem.own import fail, first_left
from actors.gmem.tickets import CONVERSION, GUEST_FAULT, HOST_FAULT, ILOCK, PUNCH, TICKETS
from actors.intervals import IntervalMap
from actors.locks.holders import RELEASE_OP
from actors.locks.lock import RwLock
from actors.observations import (
    ConsumerReplied,
    ConvertBegin,
    ErrorDropped,
    ReferenceKept,
    Spinning,
    VmBugged,
)
from actors.protocols import INDEX, Event, Options, Row, Stage

# What every conversion looks at, and a member is slow to look up.
NONE, PREPARE, COMMIT, INVALIDATE = Reason.NONE, Verb.PREPARE, Verb.COMMIT, Verb.INVALIDATE
READY, COMMITTED = Event.READY, Event.COMMITTED
SETTLED = {Verb.COMMIT: Event.ALL_COMMITTED, Verb.ABORT: Event.ALL_ABORTED}
"""What it is that the last answer to this request means."""


class Binding(msgspec.Struct, frozen=True, array_like=True):
    """`pages` pages of the file from `index` on are the memory slot at `gfn`."""

    index: int
    gfn: int
    pages: int


class Gmem(Actor):
    """One guest_memfd inode, bound to one VM. Maps are by index; orders are 0, 9 (2 MiB), 18 (1 GiB), < 0 no folio.

    `protocol` is a key of actors.protocols.INDEX. `kept` is 1 where a folio has a reference that nobody will drop,
    `stash` where a huge folio's metadata is set aside; `metadata` counts pages that splits hold.
    """

    address: int
    protocol: str
    bindings: tuple[Binding, ...]
    page_order: int
    prepare_timeout: int
    base_pfn: int
    share: IntervalMap
    folios: IntervalMap
    poison: IntervalMap
    options: Options = msgspec.field(default_factory=Options)
    kept: IntervalMap = msgspec.field(default_factory=lambda: IntervalMap.filled(0))
    stash: IntervalMap = msgspec.field(default_factory=lambda: IntervalMap.filled(0))
    metadata: int = 0
    ilock: RwLock = msgspec.field(default_factory=RwLock)
    conversions: dict[int, Conversion] = {}
    faults: dict[int, m.GetPfn | m.HostFault] = {}
    released: bool = False
    torn_down: bool = False
    punches: dict[int, gmem_punch.Punch] = {}
    fills: dict[int, gmem_punch.Fill] = {}
    failures: gmem_failure.Failures | msgspec.UnsetType = msgspec.UNSET
    pinned: bool | msgspec.UnsetType = msgspec.UNSET  # by the guest, which has trusted IO
    asked: int | msgspec.UnsetType = msgspec.UNSET  # at the last close: how many were, KVM as one
    tenancy: gmem_frames.Tenancy | msgspec.UnsetType = msgspec.UNSET  # else frames from base_pfn on

    # --- conversions -----------------------------------------------------------------------------

    def on_convert(self, message: m.Convert, context: Context) -> None:
        """Queue for the invalidate lock; one conversion at a time."""
        shift = self.shift_of(message.start, message.end)
        conversion = Conversion(message.op, message.start, message.end, message.to, shift)
        self.conversions[message.op] = conversion
        self.take(self.conversion_ticket(message.op), True, context)

    @staticmethod
    def conversion_ticket(op: int) -> int:
        """A conversion's ticket at the invalidate lock."""
        return op * TICKETS + CONVERSION

    def begin(self, conversion: Conversion, context: Context) -> None:
        """The lock is ours: is there anything to do, and may it be done?"""
        start, end, shift = conversion.start, conversion.end, conversion.shift
        conversion.locked_at = context.now
        context.observe(
            ConvertBegin(self.address, conversion.op, start + shift, end + shift, conversion.to)
        )
        if self.released or not self.poison.only(start, end, 0):
            conversion.reason = Reason.DEAD if self.released else Reason.POISONED
            poisoned = (s for s, _, bad in self.poison.runs(start, end) if bad)
            conversion.offset = start if self.released else next(poisoned)
            self.drive(conversion, Event.NOT_POSSIBLE, context)
        elif self.share.only(start, end, conversion.to):
            self.drive(conversion, Event.NOTHING_TO_DO, context)
        else:
            self.drive(conversion, Event.LOCKED, context)

    def row(self, conversion: Conversion, event: Event) -> Row:
        """The protocol's row for the conversion's stage and this event."""
        return INDEX[self.protocol, conversion.to][conversion.stage, event]

    def drive(self, conversion: Conversion, event: Event, context: Context) -> None:
        """Take the protocol's row: the next stage, and the action that leads there."""
        row = INDEX[self.protocol, conversion.to][conversion.stage, event]
        conversion.stage = row.then
        gmem_steps.ACTIONS[row.action](self, conversion, row.who, context)

    def on_reserved(self, message: m.Reserved, context: Context) -> None:
        """The allocator's answer to our own need."""
        conversion = self.conversions[message.ticket]
        if message.granted:
            conversion.reserved += conversion.asking
        else:
            conversion.denied = message.reason
        if conversion.stage is Stage.LISTING:
            gmem_ranges.listed(self, conversion, message.granted, context)
        elif message.granted:
            self.drive(conversion, Event.RESERVED, context)
        else:
            wanting = conversion.wanting
            first = wanting if wanting >= 0 else first_left(self, conversion)
            fail(self, conversion, message.reason, first, "gmem", context)
            self.drive(conversion, Event.NO_MEMORY, context)

    def on_proceed(self, message: m.Proceed, context: Context) -> None:
        """The time of a step of our own is over."""
        self.drive(self.conversions[message.op], Event(message.event), context)

    def on_frozen(self, message: m.Frozen, context: Context) -> None:
        """Faults in the range wait from now on."""
        self.drive(self.conversions[message.op], Event.FROZEN, context)

    def on_ready(self, message: m.Ready, context: Context) -> None:
        """A yes; it counts unless the decision has fallen."""
        conversion = self.conversions[message.op]
        self.answered(conversion, PREPARE, message.consumer, NONE, context)
        self.drive(conversion, READY, context)
        if conversion.verb is PREPARE and not conversion.waiting:
            self.drive(conversion, Event.ALL_READY, context)

    def on_refused(self, message: m.Refused, context: Context) -> None:
        """A no: the first one decides."""
        conversion = self.conversions[message.op]
        asked = INVALIDATE if conversion.verb is INVALIDATE else PREPARE
        self.answered(conversion, asked, message.consumer, message.reason, context, message.offset)
        if conversion.verb is asked:
            conversion.refused |= 1 << message.consumer
            who = WORDS[message.consumer]
            if self.row(conversion, Event.REFUSED).action == "discard":
                vm, phase = vm_base(self.address), conversion.stage.name.lower()
                context.observe(ErrorDropped(vm, conversion.op, who, phase, message.reason))
            else:
                offset = message.offset - conversion.shift
                fail(self, conversion, message.reason, offset, who, context)
        self.drive(conversion, Event.REFUSED, context)
        self.all_settled(conversion, context)

    def on_timeout(self, message: m.PrepareTimeout, context: Context) -> None:
        """Some consumer does not answer: that is a no."""
        conversion = self.conversions[message.op]
        conversion.timer = -1
        silent = Consumer((conversion.waiting & -conversion.waiting).bit_length() - 1)
        who = WORDS[silent]
        first = first_left(self, conversion)
        fail(self, conversion, Reason.TIMEOUT, first, who, context)
        self.drive(conversion, Event.TIMED_OUT, context)

    def on_poison(self, message: m.Poison, context: Context) -> None:
        """A consumer could not unmap these pages: the poison callback, or a flag if that holds."""
        if message.op & RELEASE_OP:
            gmem_release.stays(self, message, context)
            return
        conversion = self.conversions[message.op]
        offset, end = message.start - conversion.shift, message.end - conversion.shift
        if not gmem_marks.named(self, offset, end, paid=True):
            return
        conversion.poison.append((offset, end))
        who = WORDS[message.consumer]
        if conversion.reason is NONE:
            fail(self, conversion, message.reason, offset, who, context)
            conversion.reason = Reason.BUG  # EFAULT, whatever the consumer's own trouble was
        called = self.options.trace is Trace.CALLBACK
        if called and message.consumer not in KVMS:  # KVM reports its own KVM_BUG_ON
            bug = (f"{who}.commit", message.reason, message.injected)
            context.observe(VmBugged(vm_base(self.address), *bug))
        self.drive(conversion, Event.POISONED, context)

    def on_keep_reference(self, message: m.KeepReference, context: Context) -> None:
        """A reference count went up. Nobody tells guest_memfd: it will see it when it looks, or wait for ever."""
        shift = self.shift_at(message.start)
        self.kept.set(message.start - shift, message.end - shift, 1)
        context.observe(ReferenceKept(vm_base(self.address), message.start, message.end))
        context.send(vm_base(self.address) | PINS, message, context.link)

    def on_committed(self, message: m.Committed, context: Context) -> None:
        """One consumer has unmapped."""
        conversion = self.conversions[message.op]
        self.answered(conversion, COMMIT, message.consumer, NONE, context)
        self.drive(conversion, COMMITTED, context)
        self.all_settled(conversion, context)

    def on_aborted(self, message: m.Aborted, context: Context) -> None:
        """One consumer is as it was before PREPARE."""
        conversion = self.conversions[message.op]
        self.answered(conversion, Verb.ABORT, message.consumer, NONE, context)
        self.drive(conversion, Event.ABORTED, context)
        self.all_settled(conversion, context)

    def all_settled(self, conversion: Conversion, context: Context) -> None:
        """The last acknowledgement of COMMIT or ABORT."""
        if not conversion.waiting and conversion.verb in SETTLED:
            event, conversion.verb = SETTLED[conversion.verb], Verb.NONE
            self.drive(conversion, event, context)

    def on_invalidated(self, message: m.Invalidated, context: Context) -> None:
        """One consumer has unmapped, and the next one may fail."""
        conversion = self.conversions[message.op]
        self.answered(conversion, INVALIDATE, message.consumer, NONE, context)
        conversion.unmapped[message.consumer] = message.unmapped
        event = Event.INVALIDATED if conversion.todo else Event.ALL_INVALIDATED
        self.drive(conversion, event, context)

    def on_remapped(self, message: m.Remapped, context: Context) -> None:
        """One consumer has mapped again, or could not."""
        conversion = self.conversions[message.op]
        self.answered(conversion, Verb.REMAP, message.consumer, message.reason, context)
        event = Event.REMAPPED if conversion.todo else Event.ALL_REMAPPED
        self.drive(conversion, event, context)

    def on_quiet(self, message: m.Quiet, context: Context) -> None:
        """Nobody has a reference to the folios but the filemap."""
        conversion = self.conversions[message.op]
        conversion.disarm(context)
        conversion.spun_at = -1
        self.drive(conversion, Event.QUIET, context)

    def on_recounted(self, message: m.Recounted, context: Context) -> None:
        """Somebody has a reference, or nobody has."""
        conversion = self.conversions[message.op]
        conversion.seen = message.page - conversion.shift
        self.drive(conversion, Event.NOT_QUIET if message.extra else Event.QUIET, context)

    def on_spin_check(self, message: m.SpinCheck, context: Context) -> None:
        """Still no QUIET: the kernel would spin on."""
        conversion = self.conversions[message.op]
        conversion.timer = -1
        waited = context.now - conversion.spun_at
        context.observe(Spinning(self.address, conversion.op, waited))

    def on_thawed(self, message: m.Thawed, context: Context) -> None:
        """Faults go on."""
        self.drive(self.conversions[message.op], Event.THAWED, context)

    def answered(
        self,
        conversion: Conversion,
        verb: Verb,
        consumer: Consumer,
        reason: Reason,
        context: Context,
        offset: int = -1,
    ) -> None:
        """Strike the consumer off the list of those still to answer this request."""
        if conversion.verb is verb:
            conversion.waiting &= ~(1 << consumer)
            conversion.agreed |= (reason is NONE) << consumer
        took = context.now - conversion.asked_at
        phase, op = PHASES[verb], conversion.op
        context.observe(ConsumerReplied(self.address, op, phase, consumer, reason, took, offset))

    # --- the invalidate lock ---------------------------------------------------------------------

    def take(self, ticket: int, exclusive: bool, context: Context) -> None:
        """Ask for ilock; goes on at once when it is free."""
        if ILOCK.take(self.ilock, vm_base(self.address), ticket, exclusive, context):
            self.granted(ticket, context)

    def granted(self, ticket: int, context: Context) -> None:
        """The lock is held for this ticket: go on with what it stands for."""
        number, what = divmod(ticket, TICKETS)
        if what == CONVERSION:
            self.begin(self.conversions[number], context)
        elif what == GUEST_FAULT:
            gmem_faults.answer_pfn(self, ticket, context)
        elif what == HOST_FAULT:
            gmem_faults.answer_host(self, ticket, context)
        elif what == PUNCH:
            gmem_punch.locked(self, number, context)
        else:
            gmem_release.release(self, context)

    def drop(self, ticket: int, context: Context) -> None:
        """Give ilock back and let the next ones go on."""
        for waiter in ILOCK.drop(self.ilock, vm_base(self.address), ticket, context):
            if context.now > waiter.since:
                gmem_faults.waited(self, waiter, context)
            self.granted(waiter.ticket, context)

    # --- the KVMs that map it ---------------------------------------------------------------------

    def tell_kvms(self, message: Message, delay: int, context: Context) -> None:
        """The KVM of each file."""
        context.send(vm_base(self.address) | KVM, message, delay)

    def asker(self, access: int) -> int:
        """Whose fault it is."""
        return vm_base(self.address) | KVM

    # --- where its pages are ---------------------------------------------------------------------

    def gfns(self, start: int, end: int) -> list[tuple[int, int]]:
        """The guest frames behind an index range: a folio may reach beyond the slot, or into two of them."""
        slot = self.bindings[0]
        if slot.index <= start and end <= slot.index + slot.pages and len(self.bindings) == 1:
            return [(start + slot.gfn - slot.index, end + slot.gfn - slot.index)]
        return [
            (max(start, b.index) + b.gfn - b.index, min(end, b.index + b.pages) + b.gfn - b.index)
            for b in self.bindings
            if start < b.index + b.pages and b.index < end
        ]

    def shift_of(self, start: int, end: int) -> int:
        """gfn minus index for a range that lies in one binding."""
        for binding in self.bindings:
            if binding.index <= start and end <= binding.index + binding.pages:
                return binding.gfn - binding.index
        raise AssertionError(f"index {start:#x}..{end:#x} is in no binding")

    def shift_at(self, gfn: int) -> int:
        """gfn minus index for a guest frame of one of its slots."""
        return next(b.gfn - b.index for b in self.bindings if b.gfn <= gfn < b.gfn + b.pages)

    HANDLERS: ClassVar = {
        m.Convert: on_convert,
        m.Reserved: on_reserved,
        m.Proceed: on_proceed,
        m.Frozen: on_frozen,
        m.Ready: on_ready,
        m.Refused: on_refused,
        m.PrepareTimeout: on_timeout,
        m.Poison: on_poison,
        m.KeepReference: on_keep_reference,
        m.Committed: on_committed,
        m.Aborted: on_aborted,
        m.Invalidated: on_invalidated,
        m.Remapped: on_remapped,
        m.Quiet: on_quiet,
        m.Recounted: on_recounted,
        m.AwaitThaw: gmem_steps.on_await_thaw,
        m.SpinCheck: on_spin_check,
        m.Thawed: on_thawed,
        m.GetPfn: gmem_faults.on_get_pfn,
        m.HostFault: gmem_faults.on_host_fault,
        m.HostFaulted: gmem_faults.on_host_faulted,
        m.ReleaseFile: gmem_release.on_release,
        m.TornDown: gmem_release.on_torn_down,
        m.PunchHole: gmem_punch.on_punch_hole,
        m.NotZapped: gmem_punch.on_not_zapped,
        m.Zapped: gmem_punch.on_zapped,
        m.ZapEnded: gmem_punch.on_zap_ended,
        m.FramesTaken: gmem_punch.on_frames_taken,
        m.MemoryFailure: gmem_failure.on_memory_failure,
        m.Admit: gmem_frames.on_admit,
        Carried: carry.by_file,
    }
