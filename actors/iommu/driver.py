"""IOMMU driver of one unit, as a consumer of guest_memfd: asked before a conversion, and told to let go in it.

Domains are in tables.py, the invalidation queue that all VMs share in queue.py, what the VMM maps in vfio.py, DMA in
dma.py.
"""

from collections.abc import Iterable
from typing import ClassVar

import msgspec

from actors import messages as m
from actors.address import ALLOCATOR, IOMMU, VMM, vm_base
from actors.contract import (
    PAGES_2M,
    TELLS,
    Actor,
    Consumer,
    Context,
    Fault,
    Message,
    Reason,
    Share,
    Trace,
    opportunity,
)
from actors.gmem.conversion import Verb
from actors.holders import Waiting
from actors.intervals import IntervalMap
from actors.iommu import dma as iommu_dma
from actors.iommu import vfio as iommu_vfio
from actors.iommu.queue import Invalidation, depth, free_at, invalidate
from actors.iommu.tables import (
    Run,
    clear,
    domains_of,
    enter_again,
    entries,
    first_in_use,
    in_use,
    listener_of,
)
from actors.observations import LeftMapped, ReserveSettled, VmBugged
from actors.tdx.states import LEVEL_2M, LEVEL_4K

LISTENER_SHIFT = 4
QUEUE_SLOTS = (
    256  # descriptors of each queue: of a VT-d invalidation queue (docs/domain.md section 2.4)
)
# Whom guest_memfd's memory in a domain belongs to: it tells us to let go, pins keep it from changing sides, or the
# domains map another file's memory.
NOTIFY, PIN, APART = "notify", "pin", "apart"


class Unmap(msgspec.Struct):
    """A prepared unmap of one conversion."""

    gmem: int
    op: int
    start: int
    end: int
    to: Share
    splits: list[tuple[int, int]] = []  # (domain, first gfn) of entries at the edges
    slot: bool = False
    aborting: bool = False
    ready_at: int = -1  # when READY reaches guest_memfd
    early: bool = False  # unmapped in PREPARE
    verb: Verb = Verb.PREPARE
    listed: bool = False  # guest_memfd wants to know what was unmapped
    saved: list[tuple[int, Run]] = []  # (domain, entry) that may have to come back


class Iommu(Actor):
    """`domains` is domain -> iova map (gfn -> page table level, 0 unmapped); see iommu_tables for their numbers.

    `slots` is how many descriptors of the queue are reserved or outstanding. A stuck queue is one whose `free_at`
    lies too far ahead. `own` is VM -> `free_at`, of a unit that has a queue for each VM. `lingering` is domain -> gfn
    -> 1 where entries are cleared and no invalidation has completed since.
    """

    host: int
    timeout: int
    domains: dict[int, IntervalMap]
    mode: str = NOTIFY
    hangs: bool = False  # an invalidation that a device holds up is waited for, however long
    listeners: int = 1  # of each VMM
    streams: bool = False  # some VM's devices have DMA of their own
    free_at: int = 0
    slots: int = 0
    detached: list[int] = []  # VMs whose domain is gone
    owed: Waiting = msgspec.UNSET
    scattered: dict[int, bool] = {}  # VMs with frames of 4 KiB anywhere: no larger entry fits
    unmaps: dict[int, Unmap] = {}
    tickets: dict[tuple[int, int], int] = {}
    asked: int = 0
    lingering: dict[int, IntervalMap] = {}
    closing: list[tuple[int, int, int, int]] = []  # (domain, start, end, until): unmaps under way
    tables: dict[int, int] | msgspec.UnsetType = (
        msgspec.UNSET
    )  # VM -> pages that splits of its entries have taken
    own: dict[int, int] | msgspec.UnsetType = msgspec.UNSET

    # --- PREPARE ---------------------------------------------------------------------------------

    def on_prepare(self, message: m.Prepare, context: Context) -> None:
        """Room to unmap (iommu_prepare = check_only): a live queue, a free descriptor, memory to split entries."""
        unmap = Unmap(message.gmem, message.op, message.start, message.end, message.to)
        unmap.early = message.early
        self.consider(unmap, context)

    def on_invalidate(self, message: m.Invalidate, context: Context) -> None:
        """The same question, and if nothing is in the way the unmap at once: it may fail in the middle."""
        unmap = Unmap(message.gmem, message.op, message.start, message.end, message.to)
        unmap.verb, unmap.listed = Verb.INVALIDATE, message.listed
        self.consider(unmap, context)

    def consider(self, unmap: Unmap, context: Context) -> None:
        """Is there anything to unmap, and can it be?"""
        key = self.key(unmap.gmem, unmap.op)
        self.unmaps[key] = unmap
        if self.nothing_to_do(unmap):
            unmap.end = unmap.start
            self.ready(unmap, context.link, context)
        elif self.mode == PIN:
            self.refuse(key, unmap, Reason.REFERENCES, context)
        elif free_at(self, vm_base(unmap.gmem)) - context.now > self.timeout:
            self.refuse(key, unmap, Reason.TIMEOUT, context)
        elif depth(self, vm_base(unmap.gmem)) >= QUEUE_SLOTS:
            self.refuse(key, unmap, Reason.NO_MEMORY, context)
        elif fault := self.choose("iommu.slots", unmap, context):
            self.refuse(key, unmap, fault.reason, context)
        else:
            self.reserve(key, unmap, context)

    def nothing_to_do(self, unmap: Unmap) -> bool:
        """Nothing of the range can be reached by a device, or what is mapped is other memory."""
        if unmap.to is Share.SHARED or self.mode == APART:
            return True
        domains = domains_of(self, vm_base(unmap.gmem))
        return not any(in_use(self, domain, unmap.start, unmap.end) for domain in domains)

    def choose(self, point: str, unmap: Unmap, context: Context) -> Fault | None:
        """Does the fault point strike this unmap?"""
        key = opportunity(vm_base(unmap.gmem), unmap.op, unmap.start)
        return context.choose(point, 1, key, unmap.end - unmap.start)

    def key(self, gmem: int, op: int) -> int:
        """A small number of our own for (guest_memfd, op), which serves as allocator ticket too."""
        found = self.tickets.get((gmem, op))
        if found is None:
            self.asked += 1
            found = self.tickets[gmem, op] = self.asked
        return found

    def reserve(self, key: int, unmap: Unmap, context: Context) -> None:
        """Take a descriptor; boundary entries of 2 MiB have to be split now, which takes a page each."""
        self.slots += 1
        unmap.slot = True
        vm = vm_base(unmap.gmem)
        for domain in domains_of(self, vm):
            for edge in (unmap.start, unmap.end):
                leaf = edge // PAGES_2M * PAGES_2M
                huge = edge != leaf and self.domains[domain].get(leaf) == LEVEL_2M
                if huge and (domain, leaf) not in unmap.splits:
                    unmap.splits.append((domain, leaf))
        if not unmap.splits:
            self.ready(unmap, context.link, context)
            return
        pages = len(unmap.splits)
        memory = unmap.start, unmap.end
        request = m.Reserve(self.host | IOMMU, key, pages, vm, unmap.op, *memory)
        context.send(self.host | ALLOCATOR, request, context.link)

    def on_reserved(self, message: m.Reserved, context: Context) -> None:
        """Split the boundary entries; they stay split whatever comes."""
        unmap = self.unmaps[message.ticket]
        if not message.granted:
            leaf = unmap.splits[0][1]  # the first that needs a page
            self.refuse(message.ticket, unmap, message.reason, context, leaf)
            return
        pages = len(unmap.splits)
        gone = vm_base(unmap.gmem) in self.detached
        used, returned = (0, pages) if gone else (pages, 0)
        context.observe(ReserveSettled(unmap.gmem, unmap.op, used, returned))
        if gone:
            spare = m.GiveBack(pages, vm_base(unmap.gmem), unmap.op)
            context.send(self.host | ALLOCATOR, spare, context.link)
            self.refuse(message.ticket, unmap, Reason.DEAD, context)
            return
        if self.tables is msgspec.UNSET:
            self.tables = {}
        vm = vm_base(unmap.gmem)
        self.tables[vm] = self.tables.get(vm, 0) + pages
        for domain, leaf in unmap.splits:
            self.domains[domain].set(leaf, leaf + PAGES_2M, LEVEL_4K)
        unmap.early = unmap.early and not unmap.aborting
        self.ready(unmap, context.cost("ept_split_2m", len(unmap.splits)), context)
        if unmap.aborting:
            self.aborted(message.ticket, unmap, context)

    def ready(self, unmap: Unmap, delay: int, context: Context) -> None:
        """Nothing can stop the unmap now, but for a queue that hangs. Whoever wants it early has it now."""
        key = self.key(unmap.gmem, unmap.op)
        delay = max(delay, context.link)
        if (unmap.early or unmap.verb is Verb.INVALIDATE) and unmap.start < unmap.end:
            delay, failure, _ = self.unmap_now(unmap, delay, context)
            if failure is not Reason.NONE:  # the driver knows when its wait is over, and not before
                context.after(max(delay - context.link, 1), m.WaitFailed(key, failure))
                return
        unmap.ready_at = context.now + delay
        if unmap.verb is Verb.INVALIDATE:
            self.forget(key, unmap)
            unmapped = listed(unmap.saved) if unmap.listed else ()
            context.send(unmap.gmem, m.Invalidated(unmap.op, Consumer.IOMMU, unmapped), delay)
        else:
            context.send(unmap.gmem, m.Ready(unmap.op, Consumer.IOMMU), delay)

    def on_wait_failed(self, message: m.WaitFailed, context: Context) -> None:
        """The invalidation did not complete. What was unmapped early is there again: nothing is kept of a no."""
        unmap = self.unmaps[message.key]
        first = min((start for _, (start, *_) in unmap.saved), default=-1)
        if unmap.early:
            self.map_again(unmap, context)
        self.refuse(message.key, unmap, message.reason, context, first)

    def refuse(
        self, key: int, unmap: Unmap, reason: Reason, context: Context, offset: int = -1
    ) -> None:
        """No, at `offset` or else at the first page that would have to be unmapped; nothing is kept."""
        held = first_in_use(self, vm_base(unmap.gmem), unmap.start, unmap.end)
        first = max(offset if offset >= 0 else held, unmap.start)
        no = m.Refused(unmap.op, Consumer.IOMMU, reason, first)
        context.send(unmap.gmem, no, context.link)
        if unmap.aborting:
            self.aborted(key, unmap, context)
        else:
            self.forget(key, unmap)

    def forget(self, key: int, unmap: Unmap) -> None:
        """The conversion is over for this unit."""
        self.slots -= unmap.slot
        assert self.slots >= 0, "a queue descriptor was given back twice"
        del self.unmaps[key]
        del self.tickets[unmap.gmem, unmap.op]

    # --- COMMIT and ABORT ------------------------------------------------------------------------

    def on_commit(self, message: m.Commit, context: Context) -> None:
        """Unmap, invalidate the IOTLB, wait. A wait that fails is told of the way that was asked for (AN28)."""
        done = m.Committed(message.op, Consumer.IOMMU)
        unmap = self.prepared(message)
        if unmap.start == unmap.end or unmap.early:
            context.send(message.gmem, done, context.link)
            return
        took, failure, injected = self.unmap_now(unmap, 0, context)
        failed = failure is not Reason.NONE
        if failed:
            vm = vm_base(message.gmem)
            where = unmap.start, unmap.end
            context.observe(LeftMapped(vm, unmap.op, *where, message.trace, Consumer.IOMMU))
            word: Message = m.KeepReference(*where)
            if message.trace in TELLS:
                word = m.Poison(unmap.op, Consumer.IOMMU, failure, *where, injected)
            if message.trace is not Trace.NONE:
                context.send(message.gmem, word, took)
            if message.trace is not Trace.CALLBACK:
                context.observe(VmBugged(vm, "iommu.commit", failure, injected))
                context.send(vm | VMM, m.VmDead(), took)
        context.send(message.gmem, done, max(took, context.link) + failed)

    def prepared(self, message: m.Commit) -> Unmap:
        """What PREPARE left, or what it would have looked at."""
        key = self.tickets.get((message.gmem, message.op))
        if key is not None:
            unmap = self.unmaps[key]
            self.forget(key, unmap)
            return unmap
        unmap = Unmap(message.gmem, message.op, message.start, message.end, message.to)
        if self.nothing_to_do(unmap):
            unmap.end = unmap.start
        return unmap

    def unmap_now(self, unmap: Unmap, after: int, context: Context) -> tuple[int, Reason, bool]:
        """Clear the entries and wait for the invalidation: as `invalidate`."""
        vm, start, end = vm_base(unmap.gmem), unmap.start, unmap.end
        domains = [each for each in domains_of(self, vm) if in_use(self, each, start, end)]
        if not domains:  # the VM has died since PREPARE, and its domains are gone
            return after, Reason.NONE, False
        took = after
        for domain in domains:
            unmap.saved += [(domain, run) for run in entries(self, domain, start, end)]
            took += clear(self, domain, start, end, context)
        return invalidate(self, Invalidation(vm, unmap.op, start, end, domains), took, context)

    def map_again(self, unmap: Unmap, context: Context) -> int:
        """Entries on the list are there again; the time it takes."""
        took = self.enter_again(vm_base(unmap.gmem), unmap.saved, context)
        unmap.saved = []
        return max(took, context.link)

    def enter_again(self, vm: int, saved: Iterable[tuple[int, Run]], context: Context) -> int:
        """Entries as they were, unless the domain is gone; the time it takes."""
        here = domains_of(self, vm)
        return sum(
            enter_again(self, domain, run, context) for domain, run in saved if domain in here
        )

    def on_remap(self, message: m.Remap, context: Context) -> None:
        """Map what INVALIDATE unmapped, as the VMM would: new page table pages may be refused."""
        reason, took = Reason.NONE, context.link
        vm = vm_base(message.gmem)
        if message.unmapped and vm not in self.detached:
            key = opportunity(vm, message.op, message.start)
            fault = context.choose("iommu.map", 1, key, message.end - message.start)
            reason = fault.reason if fault else Reason.NONE
            if not fault:
                took = max(took, self.enter_again(vm, told(vm, message.unmapped), context))
        context.send(message.gmem, m.Remapped(message.op, Consumer.IOMMU, reason), took)

    def on_abort(self, message: m.Abort, context: Context) -> None:
        """Give the descriptor back; with check_only nothing was unmapped."""
        key = self.tickets.get((message.gmem, message.op))
        if key is None:
            context.send(message.gmem, m.Aborted(message.op, Consumer.IOMMU), context.link)
            return
        unmap = self.unmaps[key]
        if unmap.ready_at >= 0:
            self.aborted(key, unmap, context)
        else:
            unmap.aborting = True  # the allocator has still to answer, or the queue

    def aborted(self, key: int, unmap: Unmap, context: Context) -> None:
        """As before PREPARE; told after whatever was answered to PREPARE."""
        self.forget(key, unmap)
        took = self.map_again(unmap, context) if unmap.early else context.link
        delay = max(unmap.ready_at - context.now, took) + 1
        context.send(unmap.gmem, m.Aborted(unmap.op, Consumer.IOMMU), delay)

    HANDLERS: ClassVar = {
        m.DmaMap: iommu_vfio.on_map,
        m.DmaUnmap: iommu_vfio.on_unmap,
        m.Detach: iommu_vfio.on_detach,
        m.Teardown: iommu_vfio.on_teardown,
        m.DmaAccess: iommu_dma.on_access,
        m.Prepare: on_prepare,
        m.Reserved: on_reserved,
        m.Commit: on_commit,
        m.Abort: on_abort,
        m.Invalidate: on_invalidate,
        m.Remap: on_remap,
        m.WaitFailed: on_wait_failed,
    }


def listed(saved: Iterable[tuple[int, Run]]) -> tuple[m.Mapped, ...]:
    """Entries for guest_memfd's list, which knows no domains: the listener stands above the level."""
    return tuple(
        (start, end, level | listener_of(domain) << LISTENER_SHIFT)
        for domain, (start, end, level) in saved
    )


def told(vm: int, unmapped: Iterable[m.Mapped]) -> list[tuple[int, Run]]:
    """And back."""
    mask = (1 << LISTENER_SHIFT) - 1
    return [
        (vm | value >> LISTENER_SHIFT, (start, end, value & mask)) for start, end, value in unmapped
    ]
