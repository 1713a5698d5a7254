"""KVM MMU of one VM: mirror of the secure EPT, shared EPT, mmu_lock, sequence; a consumer of guest_memfd."""

from typing import ClassVar

import msgspec

from actors import messages as m
from actors.address import GMEM, GUEST, VMM
from actors.contract import Actor, Consumer, Context, Message, Reason, Share
from actors.gmem.conversion import Verb
from actors.intervals import IntervalMap
from actors.kvm import accept as kvm_accept
from actors.kvm import fault as kvm_fault
from actors.kvm import hole as kvm_hole
from actors.kvm import invalidation as kvm_invalidation
from actors.kvm import mapgpa as kvm_mapgpa
from actors.kvm import memory as kvm_memory
from actors.kvm import notifier as kvm_notifier
from actors.kvm import pinned as kvm_pinned
from actors.kvm import remap as kvm_remap
from actors.kvm import split as kvm_split
from actors.kvm import teardown as kvm_teardown
from actors.kvm import walk as kvm_walk
from actors.kvm import zap as kvm_zap
from actors.kvm.fault import PageFault
from actors.kvm.mapgpa import MapGpaCall
from actors.kvm.memory import PageCache
from actors.kvm.plans import (
    LOOKING,
    MAPPING,
    SPLITTING,
    UNBLOCKING,
    ZAPPING,
    ZAPPING_SHARED,
    Walk,
)
from actors.kvm.tables import SeptTables
from actors.kvm.tickets import (
    ACCEPT,
    FAULT,
    FREEZE,
    MMU_LOCK,
    TEARDOWN,
    THAW,
    TICKETS,
    WALK,
)
from actors.kvm.walk import Way
from actors.locks.holders import ACCEPT_OP, FAULT_OP
from actors.locks.lock import RwLock
from actors.observations import VmBugged
from actors.slots import Slots
from actors.tdx.states import Call


class KvmMmu(Actor):
    """Maps are gfn -> leaf level (0 absent, 1 4 KiB, 2 2 MiB).

    `guest_inhibit` says what an ACCEPT at 4 KiB leaves behind (actors.kvm.accept); `inhibited` is gfn -> 1 there.
    """

    vm: int
    slots: Slots
    track_per_page: bool
    mirror: IntervalMap
    shared_ept: IntervalMap
    lock: RwLock = msgspec.field(default_factory=RwLock)
    # gfn -> 1 where a leaf was split: the page table stays, and serves the next split.
    tables: IntervalMap = msgspec.field(default_factory=lambda: IntervalMap.filled(0))
    sequence: int = 0
    invalidations: dict[int, tuple[int, int]] = {}
    freezing: dict[int, m.Freeze | m.Thaw] = {}  # op -> what waits for mmu_lock, to begin or end
    walks: dict[int, Walk] = {}
    faults: dict[int, PageFault] = {}
    parked: list[int] = []
    calls: dict[int, MapGpaCall] = {}
    guest_inhibit: str = kvm_accept.OFF
    inhibited: IntervalMap = msgspec.field(default_factory=lambda: IntervalMap.filled(0))
    kept_out: list[tuple[m.VpEnter, int]] | None = (
        None  # while wait_for_sept_zap is set, with delays
    )
    closing: list[m.Teardown] = []  # files that were closed while a vCPU was still in its ioctl
    ends: dict[int, kvm_teardown.Ending] = {}  # by instance: closed files that are mapped still
    ended: int = 0  # files that are not, any more
    hkid: kvm_teardown.Hkid = kvm_teardown.Hkid.HELD
    dead: bool = False
    notifiers: dict[int, int] = {}  # op of a walk -> number of the callback that it is for
    zaps: dict[int, int] = {}  # op of a walk -> guest_memfd that punches a hole
    left: IntervalMap | msgspec.UnsetType = (
        msgspec.UNSET
    )  # gfn -> 1: private leaves that stay for good
    cache: PageCache | msgspec.UnsetType = msgspec.UNSET
    sept: SeptTables | msgspec.UnsetType = msgspec.UNSET

    @property
    def consumer(self) -> Consumer:
        """Which of guest_memfd's consumers it is."""
        return Consumer.KVM_MMU

    def file(self, number: int) -> int:
        """The address of this guest_memfd."""
        return self.vm | GMEM | number

    def objection(self, message: m.Prepare | m.Invalidate, context: Context) -> Reason:
        """Why it says no before it has looked at anything, or NONE."""
        return Reason.DEAD if self.dead else Reason.NONE

    # --- what guest_memfd asks ---------------------------------------------------------------------

    def on_prepare(self, message: m.Prepare, context: Context) -> None:
        """Step 2 of the mail: split the boundary leaves, or say no.

        What KVM could not unmap once it can neither unmap now nor map anew.
        """
        walk = Walk(message.gmem, message.op, message.start, message.end, message.to)
        walk.busy_bugs = message.busy_bugs
        self.walks[message.op] = walk
        if reason := self.objection(message, context):
            kvm_split.refuse(self, walk, reason, message.start, context)
        elif (stays := kvm_zap.first_left(self, message.start, message.end)) >= 0:
            kvm_split.refuse(self, walk, Reason.BUG, stays, context)
        elif message.to is not Share.SHARED:
            kvm_split.ready(self, walk, context)
        elif message.looks:
            kvm_pinned.look(self, walk, context)
        else:
            kvm_split.prepare_split(self, walk, context)

    def on_commit(self, message: m.Commit, context: Context) -> None:
        """Step 4 of the mail: unmap, which cannot fail."""
        walk = self.walks.get(message.op)
        if walk is None:  # a protocol that does not ask first
            walk = Walk(message.gmem, message.op, message.start, message.end, message.to)
            walk.settled = True
            self.walks[message.op] = walk
        walk.trace, walk.bugs = message.trace, message.bugs
        kvm_zap.commit(self, walk, context)

    def on_abort(self, message: m.Abort, context: Context) -> None:
        """Step 3 of the mail, the other way: as before. Whoever has refused has nothing left to undo."""
        walk = self.walks.get(message.op)
        if walk is None:
            context.send(message.gmem, m.Aborted(message.op, self.consumer), context.link)
        else:
            kvm_split.abort(self, walk, context)

    def on_invalidate(self, message: m.Invalidate, context: Context) -> None:
        """Split and unmap in one go, failing where it fails."""
        walk = Walk(message.gmem, message.op, message.start, message.end, message.to)
        walk.verb, walk.whole, walk.trace = Verb.INVALIDATE, message.whole, message.trace
        walk.listed, walk.refusable = message.listed, message.refusable
        self.walks[message.op] = walk
        if reason := self.objection(message, context):
            kvm_split.refuse(self, walk, reason, message.start, context)
        elif message.to is Share.SHARED:
            kvm_split.prepare_split(self, walk, context)
        else:
            kvm_split.ready(self, walk, context)

    def on_remap(self, message: m.Remap, context: Context) -> None:
        """Map again what was zapped: entries come back PENDING, for their contents are gone."""
        walk = Walk(message.gmem, message.op, message.start, message.end, message.to)
        walk.verb = Verb.REMAP
        self.walks[message.op] = walk
        kvm_remap.remap(self, walk, message.unmapped, context)

    def answer(
        self,
        walk: Walk,
        reply: Message,
        delay: int,
        context: Context,
    ) -> None:
        """Tell guest_memfd, or whoever split a leaf for an ACCEPT. All but a READY ends the walk."""
        if walk.op & ACCEPT_OP:
            kvm_accept.split_over(self, walk, reply, delay, context)
            return
        kvm_memory.settled(walk, context)
        if type(reply) is not m.Ready:
            self.walks.pop(walk.op, None)
        context.send(walk.gmem, reply, max(delay, context.link))

    # --- mmu_lock --------------------------------------------------------------------------------

    def take(self, what: int, number: int, context: Context) -> None:
        """Ask for mmu_lock: faults read, all others write."""
        ticket = number * TICKETS + what
        if MMU_LOCK.take(self.lock, self.vm, ticket, what != FAULT, context):
            self.granted(ticket, context)

    def granted(self, ticket: int, context: Context) -> None:
        """The lock is held for this ticket."""
        number, what = divmod(ticket, TICKETS)
        if what == WALK:
            walk = self.walks[number]
            if number & ACCEPT_OP and kvm_accept.overtaken(self, walk):
                walk.aborting = True
            kvm_walk.locked(self, walk, context)
        elif what == FAULT:
            kvm_fault.locked(self, self.faults[number], context)
        elif what == FREEZE:
            kvm_invalidation.begin(self, number, context)
        elif what == THAW:
            kvm_invalidation.end(self, number, context)
        elif what == ACCEPT:
            kvm_accept.locked(self, self.faults[number], context)
        else:
            assert what == TEARDOWN, f"a ticket of kind {what} at mmu_lock"
            kvm_teardown.tear_down(self, number, context)

    def drop(self, what: int, number: int, context: Context) -> None:
        """Give mmu_lock back; waiters go on."""
        ticket = number * TICKETS + what
        for waiter in MMU_LOCK.drop(self.lock, self.vm, ticket, context):
            if context.now > waiter.since:
                kvm_fault.waited(self, waiter, context)
            self.granted(waiter.ticket, context)

    # --- answers that walks and faults wait for --------------------------------------------------

    def on_reserved(self, message: m.Reserved, context: Context) -> None:
        """Memory for a fault, for splitting or for mapping again, or none."""
        if message.ticket & FAULT_OP:
            fault = self.faults[message.ticket ^ FAULT_OP]
            kvm_fault.reserved(self, fault, message, context)
            return
        walk = self.walks[message.ticket]
        if walk.plan == MAPPING:
            kvm_remap.reserved(self, walk, message, context)
        else:
            kvm_split.reserved(self, walk, message, context)

    def on_seamcall_done(self, message: m.SeamcallDone, context: Context) -> None:
        """The TDX module answered a batch of ours."""
        number, what = divmod(message.ticket, TICKETS)
        if message.pairs:
            kvm_memory.moved(self, what, number, message.pairs, context)
        if what == WALK:
            kvm_walk.answered(self, self.walks[number], message, context)
        elif message.call == Call.SEPT_ADD:
            kvm_fault.table_added(self, self.faults[number], message, context)
        else:
            kvm_fault.augmented(self, self.faults[number], message, message.index, context)

    def on_kicked(self, message: m.Kicked, context: Context) -> None:
        """Every vCPU has been out."""
        kvm_walk.kicked(self, self.walks[message.ticket], context)

    def on_flushed(self, message: m.Flushed, context: Context) -> None:
        """No vCPU has a stale translation of shared memory."""
        kvm_zap.flushed(self, self.walks[message.ticket], context)

    def on_step(self, message: m.Step, context: Context) -> None:
        """The time of a walk's own work is over."""
        kvm_walk.stepped(self, self.walks[message.ticket], context)

    # --- faults and MapGPA -----------------------------------------------------------------------

    def on_access(self, message: m.Access, context: Context) -> None:
        """A vCPU touches shared memory."""
        kvm_fault.shared_access(self, message, context)

    def on_violation(self, message: m.Violation, context: Context) -> None:
        """A vCPU touched private memory that has no entry, or one that nobody accepted."""
        if message.pending:
            self.bug("access before acceptance", Reason.BUG, False, context)
        elif not self.dead:
            fault = PageFault(
                message.access, message.start, message.end, Share.PRIVATE, message.level
            )
            fault.suspect, fault.again = message.suspect, message.again
            if not (message.accept and kvm_accept.first(self, fault, context)):
                kvm_fault.begin(self, fault, context)

    def on_honoured(self, message: m.Honoured, context: Context) -> None:
        """The level of an ACCEPT is noted."""
        kvm_accept.noted(self, self.faults[message.access], context)

    def on_got_pfn(self, message: m.GotPfn, context: Context) -> None:
        """guest_memfd knows the folio, or why there is none."""
        kvm_fault.got_pfn(self, self.faults[message.access], message, context)

    def on_fault_scheduled(self, message: m.FaultScheduled, context: Context) -> None:
        """A preempted vCPU's thread runs again."""
        self.take(FAULT, message.access, context)

    def on_fault_done(self, message: m.FaultDone, context: Context) -> None:
        """A shared mapping is in place."""
        kvm_fault.installed(self, self.faults[message.access], context)

    def on_map_gpa(self, message: m.MapGpa, context: Context) -> None:
        """TDVMCALL MapGPA."""
        kvm_mapgpa.begin(self, message, context)

    def on_convert_answer(self, message: m.ConvertAnswer, context: Context) -> None:
        """The VMM is done with a MapGPA piece or with an implicit conversion."""
        if message.request in self.calls:
            kvm_mapgpa.answered(self, message, context)
        else:
            kvm_fault.converted(self, message, context)

    # --- death -----------------------------------------------------------------------------------

    def bug(self, site: str, reason: Reason, injected: bool, context: Context) -> None:
        """KVM_BUG_ON: the VM will not run again. Everybody who waits for it is told."""
        if self.dead:
            return
        self.dead = True
        context.observe(VmBugged(self.vm, site, reason, injected))
        for peer in (VMM, GUEST):
            context.send(self.vm | peer, m.VmDead(), context.link)

    def on_vm_dead(self, _: m.VmDead, context: Context) -> None:
        """The VMM stopped the VM."""
        self.dead = True

    def gone(self, gmem: int, context: Context) -> None:
        """Nothing of the closed file is mapped here."""
        kvm_teardown.gone(self, gmem, context)

    WAYS: ClassVar = {
        SPLITTING: Way(kvm_split.split_done, kvm_split.split_next, kvm_split.split_failed),
        UNBLOCKING: Way(kvm_split.unblock_done, kvm_split.settle, kvm_split.unblock_failed),
        ZAPPING: Way(kvm_zap.zapped, kvm_zap.next_step, kvm_zap.zap_failed),
        ZAPPING_SHARED: Way(kvm_zap.zapped, kvm_zap.next_step, kvm_zap.zap_failed),
        LOOKING: Way(kvm_pinned.looked, kvm_pinned.look_next, kvm_pinned.held),
        MAPPING: Way(kvm_remap.mapped, kvm_remap.map_next, kvm_remap.mapping_failed),
    }
    HANDLERS: ClassVar = {
        m.Freeze: kvm_invalidation.on_freeze,
        m.Thaw: kvm_invalidation.on_thaw,
        m.Prepare: on_prepare,
        m.Commit: on_commit,
        m.Abort: on_abort,
        m.Invalidate: on_invalidate,
        m.Remap: on_remap,
        m.Reserved: on_reserved,
        m.SeamcallDone: on_seamcall_done,
        m.Kicked: on_kicked,
        m.Flushed: on_flushed,
        m.Step: on_step,
        m.Access: on_access,
        m.Violation: on_violation,
        m.GotPfn: on_got_pfn,
        m.FaultScheduled: on_fault_scheduled,
        m.FaultDone: on_fault_done,
        m.Honoured: on_honoured,
        m.MapGpa: on_map_gpa,
        m.ConvertAnswer: on_convert_answer,
        m.VmDead: on_vm_dead,
        m.Terminate: kvm_teardown.on_terminate,
        m.Teardown: kvm_teardown.on_teardown,
        m.TakenOut: kvm_teardown.on_taken_out,
        m.HkidFreed: kvm_teardown.on_hkid_freed,
        m.RangeStart: kvm_notifier.on_range_start,
        m.RangeEnd: kvm_notifier.on_range_end,
        m.Zap: kvm_hole.on_zap,
        m.ZapEnd: kvm_hole.on_zap_end,
        m.Committed: kvm_hole.on_walked,
        m.Poison: kvm_hole.on_poison,
        m.KeepReference: kvm_hole.on_keep_reference,
    }
