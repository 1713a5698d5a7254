"""The end of a file: what is mapped goes, then frames go back, but for those that are marked.

An mm or a container that maps a file has it open, and a folio outlives its file until the last reference is dropped. So
guest_memfd asks one after the other, KVM last, and has its frames when that has let go of them, too.
"""

from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors.address import GMEMS_MAX, host_base, vm_base
from actors.contract import Consumer, Context
from actors.gmem import folios
from actors.gmem import frames as gmem_frames
from actors.gmem import marks as gmem_marks
from actors.gmem.ask import consumer_address
from actors.gmem.folios import HOLE
from actors.gmem.tickets import RELEASE, TICKETS
from actors.observations import FileClosed, FolioOrder, FramesFreed, FramesKept

if TYPE_CHECKING:
    from actors.gmem.inode import Gmem

HOLDERS = (Consumer.HOST_MAP, Consumer.IOMMU, Consumer.PINS)  # who is asked before KVM


def on_release(gmem: "Gmem", _: m.ReleaseFile, context: Context) -> None:
    """Last close; a conversion under way finishes first."""
    gmem.take(ticket(gmem), True, context)


def ticket(gmem: "Gmem") -> int:
    """At the invalidate lock."""
    return gmem.address % GMEMS_MAX * TICKETS + RELEASE


def release(gmem: "Gmem", context: Context) -> None:
    """KVM zaps what is mapped, then the memory goes back, all with the lock held; who still comes is told EIO."""
    gmem.released = True
    context.observe(FileClosed(gmem.address))
    ask(gmem, context)


def ask(gmem: "Gmem", context: Context) -> None:
    """The next of those who may map or hold its memory; after the last of them it goes back, and the lock is free."""
    asked = 0 if gmem.asked is msgspec.UNSET else gmem.asked
    gmem.asked = asked + 1
    if asked < len(HOLDERS):
        holder = consumer_address(gmem.address, HOLDERS[asked])
        context.send(holder, m.Teardown(gmem.address), context.link)
    elif asked == len(HOLDERS):
        gmem.tell_kvms(m.Teardown(gmem.address, gmem.options.trace), context.link, context)
    else:
        gmem.torn_down = True
        free(gmem, context)
        gmem.drop(ticket(gmem), context)


def stays(gmem: "Gmem", message: m.Poison, context: Context) -> None:
    """KVM could not unmap these pages. A mark that wants memory finds none: nobody has set any aside for a release."""
    shift = gmem.shift_at(message.start)
    places = gmem_marks.named(gmem, message.start - shift, message.end - shift)
    gmem_marks.set_aside(gmem, message.op, places, context)


def on_torn_down(gmem: "Gmem", _: m.TornDown, context: Context) -> None:
    """One more has let go."""
    ask(gmem, context)


def free(gmem: "Gmem", context: Context) -> None:
    """Free every folio that has no poisoned page, no reference that stays, and is still in the filemap."""
    give_back_splits(gmem, context)
    if gmem.tenancy is not msgspec.UNSET:
        give_up_holes(gmem, context)
    vm = vm_base(gmem.address)
    for binding in gmem.bindings:
        first, last = binding.index, binding.index + binding.pages
        shift = binding.gfn - binding.index
        for start, end, goes in free_runs(gmem, first, last):
            if goes is None:
                continue
            if goes:
                gmem.folios.set(start, end, -1)
                context.observe(FolioOrder(gmem.address, start + shift, end + shift, -1))
            for s, e, pfn in gmem_frames.runs(gmem, start, end):
                fact = FramesFreed if goes else FramesKept
                context.observe(fact(vm, pfn, pfn + e - s, s + shift))
                if goes:
                    frames = m.FreeMemory(pfn, pfn + e - s)
                    context.send(host_base(gmem.address), frames, context.link)


def give_up_holes(gmem: "Gmem", context: Context) -> None:
    """Their frames went when they were punched; nobody will want them again."""
    for binding in gmem.bindings:
        for start, end, order in gmem.folios.runs(binding.index, binding.index + binding.pages):
            for s, e, pfn in gmem_frames.runs(gmem, start, end) if order == HOLE else ():
                frames = m.NoHole(pfn, pfn + e - s)
                context.send(host_base(gmem.address), frames, context.link)


def free_runs(gmem: "Gmem", first: int, last: int) -> list[tuple[int, int, bool | None]]:
    """(start, end, may it be freed) over an index range; None where it has been, for a hole."""
    found: list[tuple[int, int, bool | None]] = []
    for start, end, order in gmem.folios.runs(first, last):
        for s, e, stays in folios.stuck(gmem, start, end, max(order, 0)):
            goes = None if order == HOLE else not stays and order >= 0
            since = found.pop()[0] if found and found[-1][2] == goes else s
            found.append((since, e, goes))
    return found


def give_back_splits(gmem: "Gmem", context: Context) -> None:
    """The metadata of folios that are split."""
    if gmem.metadata:
        held = m.GiveBack(gmem.metadata, vm_base(gmem.address))
        context.send(host_base(gmem.address), held, context.link)
        gmem.metadata = 0
