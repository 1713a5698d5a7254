"""Host userspace mapping: the VMM's own page tables over shared guest memory, 4 KiB entries only."""

from collections.abc import Iterable
from typing import ClassVar

import msgspec

from actors import holders, host_notifier
from actors import messages as m
from actors.address import GMEM, HOST_MAP, PINS
from actors.contract import Actor, Consumer, Context, Reason, Share
from actors.holders import Waiting
from actors.intervals import IntervalMap
from actors.observations import HostPte
from actors.slots import Slots, slot_of


class Cleared(msgspec.Struct):
    """PTEs that PREPARE has cleared and ABORT puts back; `told_at` is when its READY reaches guest_memfd."""

    unmapped: tuple[m.Mapped, ...] = ()
    told_at: int = 0


class HostMap(Actor):
    """`ptes` is gfn -> 1 where a PTE is present, `saved` op -> what PREPARE has cleared.

    `failable` says whether mmu_notifiers of this mm may fail. `apart`: the shared side is another file, and what
    guest_memfd says of a range is no matter.
    """

    vm: int
    slots: Slots
    ptes: IntervalMap
    saved: dict[int, Cleared] = {}
    faults: dict[int, tuple[int, int]] = {}
    faults_made: int = 0
    dead: bool = False
    failable: bool = False
    apart: bool = False
    calls: dict[int, host_notifier.Call] = {}  # callbacks that KVM has not answered
    calls_made: int = 0
    gups: dict[int, int] = {}  # fault -> how long the pages will be held
    owed: Waiting = msgspec.UNSET

    def on_touch(self, message: m.HostTouch, context: Context) -> None:
        """A device backend uses shared memory; what has no PTE yet faults."""
        if self.dead or self.ptes.only(message.start, message.end, 1):
            return
        if self.apart:
            self.ptes.set(message.start, message.end, 1)
            context.observe(HostPte(self.vm, message.start, message.end, True))
        else:
            self.fault(message.start, message.end, context)

    def fault(self, start: int, end: int, context: Context) -> int:
        """A page fault on the mapping of the file; returns its number."""
        self.faults_made += 1
        self.faults[self.faults_made] = (start, end)
        slot = slot_of(self.slots, start)
        shift = slot.index - slot.gfn
        fault = m.HostFault(self.vm | HOST_MAP, self.faults_made, start + shift, end + shift)
        context.send(self.vm | GMEM | slot.gmem, fault, context.link)
        return self.faults_made

    def on_page(self, message: m.HostPage, context: Context) -> None:
        """Install the PTEs while guest_memfd still holds its lock for us, or take the SIGBUS."""
        start, end = self.faults.pop(message.ticket)
        hold = self.gups.pop(message.ticket, 0)
        if not message.allowed:
            return
        gmem = self.vm | GMEM | slot_of(self.slots, start).gmem
        if self.dead:
            context.send(gmem, m.HostFaulted(message.ticket), context.link)
            return
        self.ptes.set(start, end, 1)
        context.observe(HostPte(self.vm, start, end, True))
        took = context.cost("host_refault", end - start)
        context.send(gmem, m.HostFaulted(message.ticket), took)
        if hold:
            context.send(self.vm | PINS, m.TakePin(start, end, hold), took)

    def on_get_pages(self, message: m.GetPages, context: Context) -> None:
        """get_user_pages: by the entries that are there, or after a fault; SIGBUS is the end of it."""
        if self.dead:
            return
        start, end, hold = message.start, message.end, message.hold
        if self.ptes.only(start, end, 1):
            context.send(self.vm | PINS, m.TakePin(start, end, hold), context.link)
        else:
            self.gups[self.fault(start, end, context)] = hold

    def on_prepare(self, message: m.Prepare, context: Context) -> None:
        """Page table entries can always be cleared: ready. Only `early` clears them now, and keeps a list."""
        took = context.link
        if message.early and message.to is Share.PRIVATE:
            unmapped = self.present(message.start, message.end)
            took = self.clear(message.start, message.end, context)
            self.saved[message.op] = Cleared(unmapped, context.now + took)
        context.send(message.gmem, m.Ready(message.op, Consumer.HOST_MAP), took)

    def on_commit(self, message: m.Commit, context: Context) -> None:
        """unmap_mapping_pages over the range that becomes private."""
        took = context.link
        if message.to is Share.PRIVATE:
            took = self.clear(message.start, message.end, context)
        self.saved.pop(message.op, None)
        context.send(message.gmem, m.Committed(message.op, Consumer.HOST_MAP), took)

    def on_abort(self, message: m.Abort, context: Context) -> None:
        """What was cleared early is there again, from the list; told after the READY that may be under way."""
        cleared = self.saved.pop(message.op, Cleared())
        took = max(self.install(cleared.unmapped, context), cleared.told_at - context.now + 1)
        context.send(message.gmem, m.Aborted(message.op, Consumer.HOST_MAP), took)

    def on_invalidate(self, message: m.Invalidate, context: Context) -> None:
        """As COMMIT; what was there goes to guest_memfd, if it may want it back."""
        took = context.link
        unmapped: tuple[m.Mapped, ...] = ()
        if message.to is Share.PRIVATE:
            unmapped = self.present(message.start, message.end) if message.listed else ()
            took = self.clear(message.start, message.end, context)
        context.send(message.gmem, m.Invalidated(message.op, Consumer.HOST_MAP, unmapped), took)

    def on_remap(self, message: m.Remap, context: Context) -> None:
        """From the list, which needs no memory: the tables are still there."""
        took = self.install(message.unmapped, context)
        reply = m.Remapped(message.op, Consumer.HOST_MAP, Reason.NONE)
        context.send(message.gmem, reply, took)

    def present(self, start: int, end: int) -> tuple[m.Mapped, ...]:
        """The PTEs of the range."""
        return tuple(run for run in self.ptes.runs(start, end) if run[2])

    def clear(self, start: int, end: int, context: Context) -> int:
        """PTEs of the range go; the time it takes."""
        pages = self.ptes.pages(start, end, 1)
        if not pages:
            return context.link
        self.ptes.set(start, end, 0)
        context.observe(HostPte(self.vm, start, end, False))
        return context.cost("host_unmap_4k", pages) + context.cost("host_unmap_flush")

    def install(self, unmapped: Iterable[m.Mapped], context: Context) -> int:
        """PTEs on a list are there again; the time it takes."""
        took = context.link
        for start, end, _ in unmapped:
            if not self.dead:
                self.ptes.set(start, end, 1)
                context.observe(HostPte(self.vm, start, end, True))
                took += context.cost("host_refault", end - start)
        return took

    def on_discard(self, message: m.HostDiscard, context: Context) -> None:
        """The hole that the VMM punched into the shared side takes the entries with it."""
        if not self.ptes.only(message.start, message.end, 0):
            self.ptes.set(message.start, message.end, 0)
            context.observe(HostPte(self.vm, message.start, message.end, False))

    def on_vm_dead(self, _: m.VmDead, context: Context) -> None:
        """exit_mmap: every PTE goes, and no backend will touch the memory again."""
        if not self.dead:
            host_notifier.exit_mmap(self, context)
        self.dead = True
        for start, end, present in self.ptes.runs(0, self.ptes.starts[-1] + 1):
            if present:
                self.ptes.set(start, end, 0)
                context.observe(HostPte(self.vm, start, end, False))
        holders.let_go(self, self.vm, context)

    def on_teardown(self, message: m.Teardown, context: Context) -> None:
        """Whoever maps a file has it open: this comes after exit_mmap, or waits for it."""
        holders.asked(self, message.gmem, self.dead, context)

    HANDLERS: ClassVar = {
        m.VmDead: on_vm_dead,
        m.Teardown: on_teardown,
        m.HostTouch: on_touch,
        m.HostPage: on_page,
        m.GetPages: on_get_pages,
        m.Prepare: on_prepare,
        m.Commit: on_commit,
        m.Abort: on_abort,
        m.Invalidate: on_invalidate,
        m.Remap: on_remap,
        m.HostDiscard: on_discard,
        m.NotifierCall: host_notifier.on_notifier_call,
        m.RangeStarted: host_notifier.on_range_started,
    }
