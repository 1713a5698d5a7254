"""Holes in guest_memfd: memory that the guest gives up goes back to the host, and is had again at the next fault.

The order is the kernel's (docs/domain.md section 3.3): the invalidate lock exclusively, zap, truncate, end of the
invalidation. A hole is whole pages of the file's page size, so that nothing has to be split and only a bug can fail.
Ours: it is punched in private memory alone (what is shared has users of its own), the attribute of the range stays, and
a hole is filled with the frames that it had: a busy host gives others up for them.
"""

from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors.address import ALLOCATOR, VMM, host_base, vm_base
from actors.contract import Context, Reason, Share
from actors.gmem import failure as gmem_failure
from actors.gmem import folios
from actors.gmem import frames as gmem_frames
from actors.gmem import marks as gmem_marks
from actors.gmem.folios import HOLE, LOST, SIZE
from actors.gmem.tickets import HOST_FAULT, PUNCH, TICKETS
from actors.observations import FolioOrder, FramesFreed, FramesKept, Punched

if TYPE_CHECKING:
    from actors.gmem.inode import Gmem


class Punch(msgspec.Struct):
    """A hole in the making, by index; `left` is what could not be unmapped."""

    op: int
    start: int
    end: int
    shift: int
    left: list[tuple[int, int]] = []


class Fill(msgspec.Struct):
    """Folios on their way into a hole, of this order; `waiting` are tickets of other faults that want them."""

    start: int
    end: int
    order: int
    waiting: list[int] = []


# --- punching ------------------------------------------------------------------------------------


def on_punch_hole(gmem: "Gmem", message: m.PunchHole, context: Context) -> None:
    """Queue for the invalidate lock."""
    start, end = message.start, message.end
    size = SIZE[gmem.page_order]
    assert start % size == end % size == 0, f"a hole in a part of a page: {start:#x}..{end:#x}"
    assert gmem.page_order in (0, 9), "holes of 1 GiB pages are not modelled"
    shift = gmem.shift_of(start, end)
    gmem.punches[message.op] = Punch(message.op, start, end, shift)
    gmem.take(message.op * TICKETS + PUNCH, True, context)


def locked(gmem: "Gmem", op: int, context: Context) -> None:
    """The lock is ours: may the range go? Then out of KVM first."""
    if failure := gmem_failure.failing(gmem, op):
        gmem_failure.locked(gmem, op, failure, context)
        return
    punch = gmem.punches[op]
    if gmem.released:
        answer(gmem, punch, Reason.DEAD, context)
    elif not gmem.poison.only(punch.start, punch.end, 0):
        answer(gmem, punch, Reason.POISONED, context)
    elif not gmem.share.only(punch.start, punch.end, Share.PRIVATE):
        answer(gmem, punch, Reason.REFERENCES, context)
    else:
        start, end = punch.start + punch.shift, punch.end + punch.shift
        options = gmem.options
        zap = m.Zap(gmem.address, op, start, end, options.trace, options.bug_on)
        gmem.tell_kvms(zap, context.link, context)


def on_not_zapped(gmem: "Gmem", message: m.NotZapped, _: Context) -> None:
    """These pages are in the S-EPT still, as their mark says. Of a folio that has failed all is poisoned anyway.

    A mark that wants memory finds none: a hole has no step that could ask for it.
    """
    if gmem_failure.failing(gmem, message.op):
        return
    punch = gmem.punches[message.op]
    start, end = message.start - punch.shift, message.end - punch.shift
    punch.left += gmem_marks.named(gmem, start, end)


def on_zapped(gmem: "Gmem", message: m.Zapped, context: Context) -> None:
    """Truncate; but what a bug holds is set aside, and then nothing else goes before the teardown."""
    if failure := gmem_failure.failing(gmem, message.op):
        gmem_failure.zapped(gmem, message.op, failure, context)
        return
    punch = gmem.punches[message.op]
    gmem_marks.set_aside(gmem, punch.op, punch.left, context)
    took = context.link if punch.left else truncate(gmem, punch, context)
    gmem.tell_kvms(m.ZapEnd(punch.op), max(took, context.link), context)


def truncate(gmem: "Gmem", punch: Punch, context: Context) -> int:
    """The folios leave the filemap, and their frames go back but for those with a reference. Returns the time."""
    start, end, shift = punch.start, punch.end, punch.shift
    context.observe(Punched(gmem.address, start + shift, end + shift))
    give_metadata_back(gmem, start, end, context)
    gone = [run for run in gmem.folios.runs(start, end) if run[2] >= 0]
    for s, e, order in gone:
        for first, last, stays in folios.stuck(gmem, s, e, order):
            free(gmem, first, last, shift, bool(stays), context)
    gmem.folios.set(start, end, HOLE)
    count = sum((e - s) // SIZE[order] for s, e, order in gone)
    return context.cost("folio_truncate", count) if count else context.link


def give_metadata_back(gmem: "Gmem", start: int, end: int, context: Context) -> None:
    """Of folios that were split: pages of their metadata, and the stash."""
    small = gmem.folios.pages(start, end, 0) // SIZE[9] if gmem.page_order == 9 else 0
    pages = small * folios.SPLITS[9, 0].pages
    if pages:
        gmem.metadata -= pages
        context.send(
            host_base(gmem.address), m.GiveBack(pages, vm_base(gmem.address)), context.link
        )
    if not gmem.stash.only(start, end, 0):
        folios.set_stash(gmem, start, end, False, context)


def free(
    gmem: "Gmem", start: int, end: int, shift: int, referenced: bool, context: Context
) -> None:
    """No folio is here any more; its frames are anybody's, or nobody's while somebody refers to them."""
    vm = vm_base(gmem.address)
    context.observe(FolioOrder(gmem.address, start + shift, end + shift, LOST))
    fact = FramesKept if referenced else FramesFreed
    for s, e, pfn in gmem_frames.runs(gmem, start, end):
        context.observe(fact(vm, pfn, pfn + e - s, s + shift))
        if not referenced:
            freed = m.FreeMemory(pfn, pfn + e - s, hole=True)
            context.send(host_base(gmem.address) | ALLOCATOR, freed, context.link)


def on_zap_ended(gmem: "Gmem", message: m.ZapEnded, context: Context) -> None:
    """Faults go on; answer."""
    if failure := gmem_failure.failing(gmem, message.op):
        gmem_failure.zap(gmem, message.op, failure, context)
        return
    punch = gmem.punches[message.op]
    answer(gmem, punch, Reason.BUG if punch.left else Reason.NONE, context)


def answer(gmem: "Gmem", punch: Punch, reason: Reason, context: Context) -> None:
    """The call returns and the lock goes."""
    del gmem.punches[punch.op]
    done = m.HolePunched(punch.op, reason)
    context.send(vm_base(gmem.address) | VMM, done, context.link)
    gmem.drop(punch.op * TICKETS + PUNCH, context)


# --- filling -------------------------------------------------------------------------------------


def fill(gmem: "Gmem", ticket: int, start: int, end: int, context: Context) -> None:
    """A fault met a hole: ask for its folios, unless another fault has; ilock is held for reading meanwhile."""
    for under_way in gmem.fills.values():
        if under_way.start < end and start < under_way.end:
            under_way.waiting.append(ticket)
            return
    runs = gmem.folios.runs(start, end)
    first, last = next((s, e) for s, e, order in runs if order == HOLE)
    # Whole pages of the file, as they went, and as far as their frames adjoin.
    first, last = folios.rounded(first, last, gmem.page_order)
    first, last, pfn = next(gmem_frames.runs(gmem, first, last))
    whole = gmem.share.only(first, last, Share.PRIVATE)
    gmem.fills[ticket] = Fill(first, last, gmem.page_order if whole else 0)
    count = (last - first) // SIZE[gmem.page_order]
    split = folios.SPLITS.get((gmem.page_order, 0))
    metadata = count * split.pages if split and not whole else 0
    frames = pfn, pfn + last - first
    gfn = gmem.gfns(first, last)[0][0]
    request = m.TakeFrames(gmem.address, ticket, *frames, count, metadata, gfn)
    context.send(host_base(gmem.address) | ALLOCATOR, request, context.link)


def on_frames_taken(gmem: "Gmem", message: m.FramesTaken, context: Context) -> None:
    """The folios are there, whole where all of it is private; or nobody can have them now."""
    filled = gmem.fills.pop(message.ticket)
    if message.granted:
        gmem.metadata += message.pages
        folios.set_order(gmem, filled.start, filled.end, filled.order, context)
        if message.pages and gmem.options.stash == "at-split":
            folios.set_stash(gmem, filled.start, filled.end, True, context)
    for ticket in (message.ticket, *filled.waiting):
        if message.granted:
            gmem.granted(ticket, context)
        else:
            refuse(gmem, ticket, context)


def refuse(gmem: "Gmem", ticket: int, context: Context) -> None:
    """No memory for this fault."""
    fault = gmem.faults.pop(ticket)
    if ticket % TICKETS == HOST_FAULT:
        assert isinstance(fault, m.HostFault)
        context.send(fault.reply_to, m.HostPage(fault.ticket, False), context.link)
    else:
        assert isinstance(fault, m.GetPfn)
        no = m.GotPfn(fault.access, Reason.NO_MEMORY, 0, 0)
        context.send(gmem.asker(fault.access), no, context.link)
    gmem.drop(ticket, context)
