"""IOMMU driver of one unit: a domain for each VM, and one invalidation queue that all of them share."""

from collections.abc import Iterable
from typing import ClassVar

import msgspec

from actors import messages as m
from actors.address import ALLOCATOR, IOMMU, VMM, vm_base
from actors.contract import (
    PAGES_2M,
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
from actors.conversion import Verb
from actors.intervals import IntervalMap
from actors.observations import Dma, IotlbQueued, LeftMapped, Reserving, VmBugged
from actors.tdx_states import LEVEL_2M, LEVEL_4K

QUEUE_SLOTS = 256  # descriptors of a VT-d invalidation queue (docs/domain.md section 2.4)


class Unmap(msgspec.Struct):
    """A prepared unmap of one conversion."""

    gmem: int
    op: int
    start: int
    end: int
    to: Share
    splits: list[int] = []
    slot: bool = False
    aborting: bool = False
    ready_at: int = -1  # when READY reaches guest_memfd
    early: bool = False  # unmapped in PREPARE
    verb: Verb = Verb.PREPARE
    listed: bool = False  # guest_memfd wants to know what was unmapped
    saved: list[m.Mapped] = []  # entries that were unmapped and may have to come back


class Iommu(Actor):
    """`domains` is VM base address -> iova map (gfn -> page table level, 0 unmapped).

    The queue is a server in virtual time: `free_at` is when its last wait descriptor completes, `slots` how many
    descriptors are reserved or outstanding. A stuck queue is one whose `free_at` lies too far ahead. `lingering` is
    VM -> gfn -> 1 where entries are cleared and no invalidation has completed since.
    """

    host: int
    timeout: int
    domains: dict[int, IntervalMap]
    free_at: int = 0
    slots: int = 0
    detached: list[int] = []  # VMs whose domain is gone
    scattered: dict[int, bool] = {}  # VMs with frames of 4 KiB anywhere: no larger entry fits
    unmaps: dict[int, Unmap] = {}
    tickets: dict[tuple[int, int], int] = {}
    asked: int = 0
    lingering: dict[int, IntervalMap] = {}

    # --- mapping, for the VMM --------------------------------------------------------------------

    def on_dma_map(self, message: m.DmaMap, context: Context) -> None:
        """Map a range that became shared: 2 MiB entries where it is aligned, 4 KiB elsewhere."""
        start, end = message.start, message.end
        if message.vm in self.detached:
            self.mapped(message, Reason.DEAD, context.link, context)
            return
        key = opportunity(message.vm, message.op, start)
        fault = context.choose("iommu.map", 1, key, end - start)
        if fault:
            self.mapped(message, fault.reason, context.link, context)
            return
        self.mapped(message, Reason.NONE, self.map(message.vm, start, end, context), context)

    def map(self, vm: int, start: int, end: int, context: Context) -> int:
        """Enter a range; the time it takes."""
        first, last = (start, start) if vm in self.scattered else huge_part(start, end)
        small = end - start - (last - first)
        took = context.cost("vfio_map_4k", small) if small else 0
        parts = ((start, first, LEVEL_4K), (first, last, LEVEL_2M), (last, end, LEVEL_4K))
        for s, e, level in parts:
            if s < e:
                self.write(vm, s, e, level)
        if first < last:
            took += context.cost("vfio_map_2m", (last - first) // PAGES_2M)
        context.observe(Dma(vm, start, end, True))
        return took

    def write(self, vm: int, start: int, end: int, level: int) -> None:
        """New entries; what an IOTLB may still know of the range is current again."""
        self.domains[vm].set(start, end, level)
        if vm in self.lingering:
            self.lingering[vm].set(start, end, 0)

    def on_detach(self, message: m.Detach, context: Context) -> None:
        """The domain is torn down; the unit is flushed before anything else is done with the frames."""
        domain = self.domains[message.vm]
        self.detached.append(message.vm)
        for start, end, level in list(domain.runs(0, domain.starts[-1] + 1)):
            if level:
                domain.set(start, end, 0)
                context.observe(Dma(message.vm, start, end, False))
        self.flushed(message.vm, context)

    def mapped(self, message: m.DmaMap, reason: Reason, delay: int, context: Context) -> None:
        reply = m.DmaMapped(message.op, reason)
        context.send(message.vm | VMM, reply, max(delay, context.link))

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
        if not self.in_use(unmap):
            unmap.end = unmap.start
            self.ready(unmap, context.link, context)
        elif self.free_at - context.now > self.timeout:
            self.refuse(key, unmap, Reason.TIMEOUT, context)
        elif self.slots >= QUEUE_SLOTS:
            self.refuse(key, unmap, Reason.NO_MEMORY, context)
        elif fault := self.choose("iommu.slots", unmap, context):
            self.refuse(key, unmap, fault.reason, context)
        else:
            self.reserve(key, unmap, self.domains[vm_base(unmap.gmem)], context)

    def in_use(self, unmap: Unmap) -> bool:
        """May a device reach a page of the range: by an entry, or by an IOTLB that was never flushed of it?"""
        start, end = unmap.start, unmap.end
        domain = self.domains.get(vm_base(unmap.gmem))
        if unmap.to is Share.SHARED or domain is None:
            return False
        lingering = self.lingering.get(vm_base(unmap.gmem))
        return not domain.only(start, end, 0) or (
            lingering is not None and not lingering.only(start, end, 0)
        )

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

    def reserve(self, key: int, unmap: Unmap, domain: IntervalMap, context: Context) -> None:
        """Take a descriptor; boundary entries of 2 MiB have to be split now, which takes a page each."""
        self.slots += 1
        unmap.slot = True
        for edge in (unmap.start, unmap.end):
            leaf = edge // PAGES_2M * PAGES_2M
            if edge != leaf and domain.get(leaf) == LEVEL_2M and leaf not in unmap.splits:
                unmap.splits.append(leaf)
        if not unmap.splits:
            self.ready(unmap, context.link, context)
            return
        pages = len(unmap.splits)
        context.observe(Reserving(unmap.gmem, unmap.op, pages))
        vm = vm_base(unmap.gmem)
        memory = unmap.start, unmap.end
        request = m.Reserve(self.host | IOMMU, key, pages, vm, unmap.op, *memory)
        context.send(self.host | ALLOCATOR, request, context.link)

    def on_reserved(self, message: m.Reserved, context: Context) -> None:
        """Split the boundary entries; they stay split whatever comes."""
        unmap = self.unmaps[message.ticket]
        if not message.granted:
            self.refuse(message.ticket, unmap, message.reason, context)
            return
        if vm_base(unmap.gmem) in self.detached:
            pages = m.GiveBack(len(unmap.splits))
            context.send(self.host | ALLOCATOR, pages, context.link)
            self.refuse(message.ticket, unmap, Reason.DEAD, context)
            return
        domain = self.domains[vm_base(unmap.gmem)]
        for leaf in unmap.splits:
            domain.set(leaf, leaf + PAGES_2M, LEVEL_4K)
        unmap.early = unmap.early and not unmap.aborting
        self.ready(unmap, context.cost("ept_split_2m", len(unmap.splits)), context)
        if unmap.aborting:
            self.aborted(message.ticket, unmap, context)

    def ready(self, unmap: Unmap, delay: int, context: Context) -> None:
        """Nothing can stop the unmap now, but for a queue that hangs. Whoever wants it early has it now."""
        key = self.key(unmap.gmem, unmap.op)
        delay = max(delay, context.link)
        if (unmap.early or unmap.verb is Verb.INVALIDATE) and unmap.start < unmap.end:
            delay, failure = self.unmap_now(unmap, delay, context)
            if failure is not Reason.NONE:  # the driver knows when its wait is over, and not before
                context.after(max(delay - context.link, 1), m.WaitFailed(key, failure))
                return
        unmap.ready_at = context.now + delay
        if unmap.verb is Verb.INVALIDATE:
            self.forget(key, unmap)
            unmapped = tuple(unmap.saved) if unmap.listed else ()
            context.send(unmap.gmem, m.Invalidated(unmap.op, Consumer.IOMMU, unmapped), delay)
        else:
            context.send(unmap.gmem, m.Ready(unmap.op, Consumer.IOMMU), delay)

    def on_wait_failed(self, message: m.WaitFailed, context: Context) -> None:
        """The invalidation did not complete. What was unmapped early is there again: nothing is kept of a no."""
        unmap = self.unmaps[message.key]
        if unmap.early:
            self.map_again(unmap, context)
        self.refuse(message.key, unmap, message.reason, context)

    def refuse(self, key: int, unmap: Unmap, reason: Reason, context: Context) -> None:
        """No; nothing is kept."""
        no = m.Refused(unmap.op, Consumer.IOMMU, reason, unmap.start)
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
        took, failure = self.unmap_now(unmap, 0, context)
        failed = failure is not Reason.NONE
        if failed:
            vm = vm_base(message.gmem)
            context.observe(LeftMapped(vm, unmap.op, unmap.start, unmap.end, message.trace))
            word: Message = m.KeepReference(unmap.start, unmap.end)
            if message.trace is Trace.CALLBACK:
                word = m.Poison(unmap.op, Consumer.IOMMU, failure, unmap.start, unmap.end)
            if message.trace is not Trace.NONE:
                context.send(message.gmem, word, took)
            if message.trace is not Trace.CALLBACK:
                injected = failure is Reason.BUG
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
        if not self.in_use(unmap):
            unmap.end = unmap.start
        return unmap

    def unmap_now(self, unmap: Unmap, after: int, context: Context) -> tuple[int, Reason]:
        """Clear the entries and wait for the invalidation: (how long that takes from now, why it fails or NONE)."""
        vm = vm_base(unmap.gmem)
        took = after + self.unmap(vm, unmap, context)
        waited = self.invalidate(unmap, took, context)
        fault = self.choose("iommu.timeout", unmap, context)
        reason = fault.reason if fault else Reason.NONE
        if reason is Reason.TIMEOUT or waited > self.timeout:
            # Everybody behind it waits too.
            waited, reason = self.timeout, Reason.TIMEOUT
            self.free_at = max(self.free_at, context.now + waited)
        if reason is Reason.NONE:
            self.flushed(vm, context)
            context.observe(Dma(vm, unmap.start, unmap.end, False))
        else:
            lingering = self.lingering.setdefault(vm, IntervalMap.filled(0))
            lingering.set(unmap.start, unmap.end, 1)
        return waited, reason

    def flushed(self, vm: int, context: Context) -> None:
        """A wait descriptor completes, and so have all that stood before it in the queue."""
        gone = self.lingering.pop(vm, None)
        for start, end, lingers in gone.runs(0, gone.starts[-1] + 1) if gone else ():
            if lingers:
                context.observe(Dma(vm, start, end, False))

    def map_again(self, unmap: Unmap, context: Context) -> int:
        """Entries on the list are there again; the time it takes."""
        took = self.enter_again(vm_base(unmap.gmem), unmap.saved, context)
        unmap.saved = []
        return max(took, context.link)

    def enter_again(self, vm: int, entries: Iterable[m.Mapped], context: Context) -> int:
        """Entries as they were, unless the domain is gone; the time it takes."""
        took = 0
        for start, end, level in entries if vm not in self.detached else ():
            self.write(vm, start, end, level)
            context.observe(Dma(vm, start, end, True))
            name, size = ("vfio_map_4k", 1) if level == LEVEL_4K else ("vfio_map_2m", PAGES_2M)
            took += context.cost(name, (end - start) // size)
        return took

    def on_remap(self, message: m.Remap, context: Context) -> None:
        """Map what INVALIDATE unmapped, as the VMM would: new page table pages may be refused."""
        reason, took = Reason.NONE, context.link
        vm = vm_base(message.gmem)
        if message.unmapped and vm not in self.detached:
            key = opportunity(vm, message.op, message.start)
            fault = context.choose("iommu.map", 1, key, message.end - message.start)
            reason = fault.reason if fault else Reason.NONE
            if not fault:
                took = max(took, self.enter_again(vm, message.unmapped, context))
        context.send(message.gmem, m.Remapped(message.op, Consumer.IOMMU, reason), took)

    def unmap(self, vm: int, unmap: Unmap, context: Context) -> int:
        """Clear the page table entries; returns the time that takes."""
        domain = self.domains[vm]
        small = domain.pages(unmap.start, unmap.end, LEVEL_4K)
        huge = domain.pages(unmap.start, unmap.end, LEVEL_2M) // PAGES_2M
        unmap.saved = [run for run in domain.runs(unmap.start, unmap.end) if run[2]]
        domain.set(unmap.start, unmap.end, 0)
        took = context.cost("vfio_unmap_4k", small) if small else 0
        return took + (context.cost("vfio_unmap_2m", huge) if huge else 0)

    def invalidate(self, unmap: Unmap, ready_in: int, context: Context) -> int:
        """Queue an invalidation with its wait descriptor behind all others; returns when it completes, from now."""
        begin = max(context.now + ready_in, self.free_at)
        wait = begin - context.now - ready_in
        self.free_at = begin + context.cost("iotlb_invalidate")
        vm = vm_base(unmap.gmem)
        context.observe(IotlbQueued(self.host, self.slots, wait, vm, unmap.start, unmap.end))
        return self.free_at - context.now

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
        m.DmaMap: on_dma_map,
        m.Detach: on_detach,
        m.Prepare: on_prepare,
        m.Reserved: on_reserved,
        m.Commit: on_commit,
        m.Abort: on_abort,
        m.Invalidate: on_invalidate,
        m.Remap: on_remap,
        m.WaitFailed: on_wait_failed,
    }


def huge_part(start: int, end: int) -> tuple[int, int]:
    """The part of [start, end) that 2 MiB entries can map; empty at `start` when there is none."""
    first = -(-start // PAGES_2M) * PAGES_2M
    last = end // PAGES_2M * PAGES_2M
    return (first, last) if first < last else (start, start)
