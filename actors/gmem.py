"""guest_memfd: owns shareability, folios and poison of one inode, and drives conversions by a protocol's table."""

from typing import ClassVar

import msgspec

from actors import gmem_steps
from actors import messages as m
from actors.address import KVM, host_base, vm_base
from actors.contract import PAGES_2M, Actor, Consumer, Context, Reason, Share
from actors.intervals import IntervalMap
from actors.locks import RwLock, Waiter
from actors.observations import (
    ConsumerReplied,
    ConvertBegin,
    FolioOrder,
    FramesFreed,
    LockOrder,
    LockWaited,
    VmBugged,
)
from actors.protocols import PROTOCOLS, Event, Stage

# What waits for the invalidate lock: a conversion (exclusive), a guest fault, a host fault (both shared).
CONVERSION, GUEST_FAULT, HOST_FAULT, RELEASE = range(4)
TICKETS = 4

_INDEX = {name: table.by_event() for name, table in PROTOCOLS.items()}


class Binding(msgspec.Struct, frozen=True, array_like=True):
    """`pages` pages of the file from `index` on are the memory slot at `gfn`."""

    index: int
    gfn: int
    pages: int


class Conversion(msgspec.Struct):
    """One conversion attempt; `shift` is gfn minus index, sets of consumers are bit masks."""

    op: int
    start: int
    end: int
    to: Share
    shift: int
    stage: Stage = Stage.WAITING
    waiting: int = 0
    refused: int = 0
    reason: Reason = Reason.NONE
    offset: int = -1
    reserved: int = 0
    poison: list[tuple[int, int]] = []
    locked_at: int = 0
    asked_at: int = 0
    timer: int = -1


class Gmem(Actor):
    """One guest_memfd inode, bound to one VM. Maps are by index; order 0 is 4 KiB, 9 is 2 MiB, -1 no folio."""

    address: int
    protocol: str
    bindings: tuple[Binding, ...]
    page_order: int
    prepare_timeout: int
    base_pfn: int
    share: IntervalMap
    folios: IntervalMap
    poison: IntervalMap
    ilock: RwLock = msgspec.field(default_factory=RwLock)
    conversions: dict[int, Conversion] = {}
    faults: dict[int, m.GetPfn | m.HostFault] = {}
    released: bool = False
    torn_down: bool = False

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
            ConvertBegin(
                self.address, conversion.op, start + shift, end + shift, Share(conversion.to)
            )
        )
        context.observe(
            LockOrder(vm_base(self.address), conversion.op, gmem_steps.ILOCK_RANK, True)
        )
        if self.released or not self.poison.only(start, end, 0):
            conversion.reason = Reason.DEAD if self.released else Reason.POISONED
            conversion.offset = start
            self.drive(conversion, Event.NOT_POSSIBLE, context)
        elif self.share.only(start, end, conversion.to):
            self.drive(conversion, Event.NOTHING_TO_DO, context)
        else:
            self.drive(conversion, Event.LOCKED, context)

    def drive(self, conversion: Conversion, event: Event, context: Context) -> None:
        """Take the protocol's row for this stage and event: the action, then the next stage."""
        row = _INDEX[self.protocol][conversion.stage, event]
        conversion.stage = row.then
        gmem_steps.ACTIONS[row.action](self, conversion, context)

    def on_reserved(self, message: m.Reserved, context: Context) -> None:
        """The allocator's answer to our own need."""
        conversion = self.conversions[message.ticket]
        if message.granted:
            self.drive(conversion, Event.RESERVED, context)
        else:
            gmem_steps.fail(self, conversion, Reason.NO_MEMORY, conversion.start, "gmem", context)
            self.drive(conversion, Event.NO_MEMORY, context)

    def on_frozen(self, message: m.Frozen, context: Context) -> None:
        """Faults in the range wait from now on."""
        self.drive(self.conversions[message.op], Event.FROZEN, context)

    def on_ready(self, message: m.Ready, context: Context) -> None:
        """A yes; it counts unless the decision has fallen."""
        conversion = self.conversions[message.op]
        self.note_reply(conversion, "prepare", message.consumer, Reason.NONE, context)
        deciding = conversion.stage is Stage.PREPARING
        self.drive(conversion, Event.READY, context)
        if deciding and not conversion.waiting:
            self.drive(conversion, Event.ALL_READY, context)

    def on_refused(self, message: m.Refused, context: Context) -> None:
        """A no: the first one decides."""
        conversion = self.conversions[message.op]
        self.note_reply(conversion, "prepare", message.consumer, message.reason, context)
        if conversion.stage is Stage.PREPARING:
            conversion.refused |= 1 << message.consumer
            who = message.consumer.name.lower()
            offset = message.offset - conversion.shift
            gmem_steps.fail(self, conversion, message.reason, offset, who, context)
        self.drive(conversion, Event.REFUSED, context)
        self.all_settled(conversion, context)

    def on_timeout(self, message: m.PrepareTimeout, context: Context) -> None:
        """Some consumer does not answer: that is a no."""
        conversion = self.conversions[message.op]
        silent = Consumer((conversion.waiting & -conversion.waiting).bit_length() - 1)
        gmem_steps.fail(
            self, conversion, Reason.TIMEOUT, conversion.start, silent.name.lower(), context
        )
        self.drive(conversion, Event.TIMED_OUT, context)

    def on_poison(self, message: m.Poison, context: Context) -> None:
        """The poison callback: a consumer could not unmap these pages."""
        conversion = self.conversions[message.op]
        conversion.poison.append((message.start - conversion.shift, message.end - conversion.shift))
        who = message.consumer.name.lower()
        if conversion.reason is Reason.NONE:
            offset = message.start - conversion.shift
            gmem_steps.fail(self, conversion, message.reason, offset, who, context)
            conversion.reason = Reason.BUG  # EFAULT, whatever the consumer's own trouble was
        if message.consumer is not Consumer.KVM_MMU:  # KVM reports its own KVM_BUG_ON
            context.observe(VmBugged(vm_base(self.address), f"{who}.commit", message.reason, False))
        self.drive(conversion, Event.POISONED, context)

    def on_committed(self, message: m.Committed, context: Context) -> None:
        """One consumer has unmapped."""
        conversion = self.conversions[message.op]
        self.note_reply(conversion, "commit", message.consumer, Reason.NONE, context)
        self.drive(conversion, Event.COMMITTED, context)
        self.all_settled(conversion, context)

    def on_aborted(self, message: m.Aborted, context: Context) -> None:
        """One consumer is as it was before PREPARE."""
        conversion = self.conversions[message.op]
        self.note_reply(conversion, "abort", message.consumer, Reason.NONE, context)
        self.drive(conversion, Event.ABORTED, context)
        self.all_settled(conversion, context)

    def all_settled(self, conversion: Conversion, context: Context) -> None:
        """The last acknowledgement of COMMIT or ABORT."""
        last = {Stage.COMMITTING: Event.ALL_COMMITTED, Stage.ABORTING: Event.ALL_ABORTED}
        if not conversion.waiting and conversion.stage in last:
            self.drive(conversion, last[conversion.stage], context)

    def on_thawed(self, message: m.Thawed, context: Context) -> None:
        """Faults go on; answer."""
        self.drive(self.conversions[message.op], Event.THAWED, context)

    def note_reply(
        self,
        conversion: Conversion,
        phase: str,
        consumer: Consumer,
        reason: Reason,
        context: Context,
    ) -> None:
        """Strike the consumer off the list of those still to answer in this phase."""
        expected = {"prepare": Stage.PREPARING, "commit": Stage.COMMITTING, "abort": Stage.ABORTING}
        if conversion.stage is expected[phase]:
            conversion.waiting &= ~(1 << consumer)
        took = context.now - conversion.asked_at
        context.observe(ConsumerReplied(self.address, conversion.op, phase, consumer, reason, took))

    # --- the invalidate lock ---------------------------------------------------------------------

    def take(self, ticket: int, exclusive: bool, context: Context) -> None:
        """Ask for ilock; goes on at once when it is free."""
        if self.ilock.take(ticket, exclusive, context.now):
            self.granted(ticket, context)

    def granted(self, ticket: int, context: Context) -> None:
        """The lock is held for this ticket: go on with what it stands for."""
        number, what = divmod(ticket, TICKETS)
        if what == CONVERSION:
            self.begin(self.conversions[number], context)
        elif what == GUEST_FAULT:
            self.answer_pfn(ticket, context)
        elif what == HOST_FAULT:
            self.answer_host(ticket, context)
        else:
            self.release(context)

    def drop(self, ticket: int, context: Context) -> None:
        """Give ilock back and let the next ones go on."""
        woken: list[Waiter] = self.ilock.drop(ticket)
        for waiter in woken:
            if context.now > waiter.since:
                context.observe(LockWaited("ilock", context.now - waiter.since))
            self.granted(waiter.ticket, context)

    # --- faults ----------------------------------------------------------------------------------

    def on_get_pfn(self, message: m.GetPfn, context: Context) -> None:
        """A guest fault. The attribute is read without the lock (KVM's sequence check makes that safe), then ilock."""
        if self.released or not self.poison.only(message.start, message.end, 0):
            reply = m.GotPfn(message.access, Reason.POISONED, 0, 0)
        elif not self.share.only(message.start, message.end, message.share):
            reply = m.GotPfn(message.access, Reason.REFERENCES, 0, 0)
        else:
            ticket = message.access * TICKETS + GUEST_FAULT
            self.faults[ticket] = message
            self.take(ticket, False, context)
            return
        context.send(vm_base(self.address) | KVM, reply, context.link)

    def answer_pfn(self, ticket: int, context: Context) -> None:
        """Look the folio up; the lock is not held beyond that."""
        fault = self.faults.pop(ticket)
        assert isinstance(fault, m.GetPfn)
        order = min(order for _, _, order in self.folios.runs(fault.start, fault.end))
        context.send(
            vm_base(self.address) | KVM,
            m.GotPfn(fault.access, Reason.NONE, order, self.base_pfn + fault.start),
            context.link,
        )
        self.drop(ticket, context)

    def on_host_fault(self, message: m.HostFault, context: Context) -> None:
        """A fault on the VMM's own mapping of the file; ilock is held until the PTE is there."""
        ticket = message.ticket * TICKETS + HOST_FAULT
        self.faults[ticket] = message
        self.take(ticket, False, context)

    def answer_host(self, ticket: int, context: Context) -> None:
        """SIGBUS unless the whole range is shared."""
        fault = self.faults.pop(ticket)
        assert isinstance(fault, m.HostFault)
        allowed = not self.released and self.share.only(fault.start, fault.end, Share.SHARED)
        context.send(fault.reply_to, m.HostPage(fault.ticket, allowed), context.link)
        if not allowed:
            self.drop(ticket, context)

    def on_host_faulted(self, message: m.HostFaulted, context: Context) -> None:
        """The host's PTEs are installed."""
        self.drop(message.ticket * TICKETS + HOST_FAULT, context)

    # --- the end ---------------------------------------------------------------------------------

    def on_release(self, _: m.ReleaseFile, context: Context) -> None:
        """Last close; a conversion under way finishes first."""
        self.take(RELEASE, True, context)

    def release(self, context: Context) -> None:
        """KVM and the TDX module give up what is mapped, then the memory goes back; who still comes is told EIO."""
        self.released = True
        context.send(vm_base(self.address) | KVM, m.Teardown(self.address), context.link)
        self.drop(RELEASE, context)

    def on_torn_down(self, _: m.TornDown, context: Context) -> None:
        """Free every frame but the poisoned ones: those stay owned by nobody for ever."""
        self.torn_down = True
        self.give_back_splits(context)
        vm = vm_base(self.address)
        for binding in self.bindings:
            first, last = binding.index, binding.index + binding.pages
            for start, end, bad in list(self.poison.runs(first, last)):
                if bad:
                    continue
                self.folios.set(start, end, -1)
                shift = binding.gfn - binding.index
                context.observe(FolioOrder(self.address, start + shift, end + shift, -1))
                frames = m.FreeMemory(self.base_pfn + start, self.base_pfn + end)
                context.observe(FramesFreed(vm, frames.start, frames.end, start + shift))
                context.send(host_base(self.address), frames, context.link)

    def give_back_splits(self, context: Context) -> None:
        """The metadata of folios that are split; at the beginning all folios of 2 MiB are whole."""
        whole = self.folios.starts[-1] // PAGES_2M * PAGES_2M if self.page_order else 0
        split = self.folios.pages(0, whole, 0) // PAGES_2M if whole else 0
        if split:
            pages = m.GiveBack(split * gmem_steps.SPLIT_PAGES)
            context.send(host_base(self.address), pages, context.link)

    def gfns(self, start: int, end: int) -> list[tuple[int, int]]:
        """The guest frames behind an index range: a folio may reach beyond the slot, or into two of them."""
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

    HANDLERS: ClassVar = {
        m.Convert: on_convert,
        m.Reserved: on_reserved,
        m.Frozen: on_frozen,
        m.Ready: on_ready,
        m.Refused: on_refused,
        m.PrepareTimeout: on_timeout,
        m.Poison: on_poison,
        m.Committed: on_committed,
        m.Aborted: on_aborted,
        m.Thawed: on_thawed,
        m.GetPfn: on_get_pfn,
        m.HostFault: on_host_fault,
        m.HostFaulted: on_host_faulted,
        m.ReleaseFile: on_release,
        m.TornDown: on_torn_down,
    }
