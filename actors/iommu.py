"""IOMMU driver of one unit: a domain for each VM, and one invalidation queue that all of them share."""

from typing import ClassVar

import msgspec

from actors import messages as m
from actors.address import ALLOCATOR, IOMMU, VMM, vm_base
from actors.contract import PAGES_2M, Actor, Consumer, Context, Reason, Share, opportunity
from actors.intervals import IntervalMap
from actors.observations import Dma, IotlbQueued, Reserving
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


class Iommu(Actor):
    """`domains` is VM base address -> iova map (gfn -> page table level, 0 unmapped).

    The queue is a server in virtual time: `free_at` is when its last wait descriptor completes, `slots` how many
    descriptors are reserved or outstanding. A stuck queue is one whose `free_at` lies too far ahead.
    """

    host: int
    timeout: int
    domains: dict[int, IntervalMap]
    free_at: int = 0
    slots: int = 0
    detached: list[int] = []  # VMs whose domain is gone
    unmaps: dict[int, Unmap] = {}
    tickets: dict[tuple[int, int], int] = {}
    asked: int = 0

    # --- mapping, for the VMM --------------------------------------------------------------------

    def on_dma_map(self, message: m.DmaMap, context: Context) -> None:
        """Map a range that became shared: 2 MiB entries where it is aligned, 4 KiB elsewhere."""
        domain = self.domains[message.vm]
        start, end = message.start, message.end
        if message.vm in self.detached:
            self.mapped(message, Reason.DEAD, context.link, context)
            return
        fault = context.choose("iommu.map", 1, opportunity(message.vm, message.op, start))
        if fault:
            self.mapped(message, fault.reason, context.link, context)
            return
        first, last = huge_part(start, end)
        took = (
            context.cost("vfio_map_4k", end - start - (last - first))
            if end - start > last - first
            else 0
        )
        for s, e, level in (
            (start, first, LEVEL_4K),
            (first, last, LEVEL_2M),
            (last, end, LEVEL_4K),
        ):
            if s < e:
                domain.set(s, e, level)
        if first < last:
            took += context.cost("vfio_map_2m", (last - first) // PAGES_2M)
        context.observe(Dma(message.vm, start, end, True))
        self.mapped(message, Reason.NONE, took, context)

    def on_detach(self, message: m.Detach, context: Context) -> None:
        """The domain is torn down; the unit is flushed before anything else is done with the frames."""
        domain = self.domains[message.vm]
        self.detached.append(message.vm)
        for start, end, level in list(domain.runs(0, domain.starts[-1] + 1)):
            if level:
                domain.set(start, end, 0)
                context.observe(Dma(message.vm, start, end, False))

    def mapped(self, message: m.DmaMap, reason: Reason, delay: int, context: Context) -> None:
        reply = m.DmaMapped(message.op, reason)
        context.send(message.vm | VMM, reply, max(delay, context.link))

    # --- PREPARE ---------------------------------------------------------------------------------

    def on_prepare(self, message: m.Prepare, context: Context) -> None:
        """Room to unmap (iommu_prepare = check_only): a live queue, a free descriptor, memory to split entries."""
        unmap = Unmap(message.gmem, message.op, message.start, message.end, message.to)
        key = self.key(message.gmem, message.op)
        self.unmaps[key] = unmap
        domain = self.domains.get(vm_base(message.gmem))
        if message.to is Share.SHARED or domain is None or domain.only(unmap.start, unmap.end, 0):
            unmap.end = unmap.start  # nothing of it is mapped here
            self.ready(unmap, context.link, context)
        elif self.free_at - context.now > self.timeout:
            self.refuse(key, unmap, Reason.TIMEOUT, context)
        elif self.slots >= QUEUE_SLOTS or context.choose(
            "iommu.slots", 1, opportunity(vm_base(message.gmem), message.op, message.start)
        ):
            self.refuse(key, unmap, Reason.NO_MEMORY, context)
        else:
            self.reserve(key, unmap, domain, context)

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
        request = m.Reserve(self.host | IOMMU, key, pages, vm, unmap.op)
        context.send(self.host | ALLOCATOR, request, context.link)

    def on_reserved(self, message: m.Reserved, context: Context) -> None:
        """Split the boundary entries; they stay split whatever comes."""
        unmap = self.unmaps[message.ticket]
        if not message.granted:
            self.refuse(message.ticket, unmap, Reason.NO_MEMORY, context)
            return
        if vm_base(unmap.gmem) in self.detached:
            pages = m.GiveBack(len(unmap.splits))
            context.send(self.host | ALLOCATOR, pages, context.link)
            self.refuse(message.ticket, unmap, Reason.DEAD, context)
            return
        domain = self.domains[vm_base(unmap.gmem)]
        for leaf in unmap.splits:
            domain.set(leaf, leaf + PAGES_2M, LEVEL_4K)
        self.ready(unmap, context.cost("ept_split_2m", len(unmap.splits)), context)
        if unmap.aborting:
            self.aborted(message.ticket, unmap, context)

    def ready(self, unmap: Unmap, delay: int, context: Context) -> None:
        """Nothing can stop the unmap now, but for a queue that hangs."""
        delay = max(delay, context.link)
        unmap.ready_at = context.now + delay
        context.send(unmap.gmem, m.Ready(unmap.op, Consumer.IOMMU), delay)

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
        """Unmap, invalidate the IOTLB, wait. A wait that never ends is reported as poison (AN28)."""
        key = self.tickets[message.gmem, message.op]
        unmap = self.unmaps[key]
        vm = vm_base(message.gmem)
        done = m.Committed(unmap.op, Consumer.IOMMU)
        self.forget(key, unmap)
        if unmap.start == unmap.end:
            context.send(message.gmem, done, context.link)
            return
        took = self.unmap(vm, unmap, context)
        waited = self.invalidate(took, context)
        fault = context.choose("iommu.timeout", 1, opportunity(vm, unmap.op, unmap.start))
        if fault or waited > self.timeout:
            took = self.timeout
            self.free_at = max(self.free_at, context.now + took)  # everybody behind it waits too
            poison = m.Poison(unmap.op, Consumer.IOMMU, Reason.TIMEOUT, unmap.start, unmap.end)
            context.send(message.gmem, poison, took)
            context.send(message.gmem, done, took + 1)
            return
        context.observe(Dma(vm, unmap.start, unmap.end, False))
        context.send(message.gmem, done, max(waited, context.link))

    def unmap(self, vm: int, unmap: Unmap, context: Context) -> int:
        """Clear the page table entries; returns the time that takes."""
        domain = self.domains[vm]
        small = domain.pages(unmap.start, unmap.end, LEVEL_4K)
        huge = domain.pages(unmap.start, unmap.end, LEVEL_2M) // PAGES_2M
        domain.set(unmap.start, unmap.end, 0)
        took = context.cost("vfio_unmap_4k", small) if small else 0
        return took + (context.cost("vfio_unmap_2m", huge) if huge else 0)

    def invalidate(self, ready_in: int, context: Context) -> int:
        """Queue an invalidation with its wait descriptor behind all others; returns when it completes, from now."""
        begin = max(context.now + ready_in, self.free_at)
        wait = begin - context.now - ready_in
        self.free_at = begin + context.cost("iotlb_invalidate")
        context.observe(IotlbQueued(self.host, self.slots, wait))
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
            unmap.aborting = True  # the allocator has still to answer

    def aborted(self, key: int, unmap: Unmap, context: Context) -> None:
        """As before PREPARE; told after whatever was answered to PREPARE."""
        self.forget(key, unmap)
        delay = max(unmap.ready_at - context.now, context.link) + 1
        context.send(unmap.gmem, m.Aborted(unmap.op, Consumer.IOMMU), delay)

    HANDLERS: ClassVar = {
        m.DmaMap: on_dma_map,
        m.Detach: on_detach,
        m.Prepare: on_prepare,
        m.Reserved: on_reserved,
        m.Commit: on_commit,
        m.Abort: on_abort,
    }


def huge_part(start: int, end: int) -> tuple[int, int]:
    """The part of [start, end) that 2 MiB entries can map; empty at `start` when there is none."""
    first = -(-start // PAGES_2M) * PAGES_2M
    last = end // PAGES_2M * PAGES_2M
    return (first, last) if first < last else (start, start)
