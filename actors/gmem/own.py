"""What guest_memfd does by itself, whatever the protocol: asks for memory, lets time pass, stores, notes a failure."""

from typing import TYPE_CHECKING

from actors import messages as m
from actors.address import host_base, vm_base
from actors.contract import Context, Fault, Place, Reason, Share
from actors.gmem.conversion import Conversion
from actors.observations import Failed, ReserveSettled, ShareStored
from actors.protocols.table import Event, Stage

if TYPE_CHECKING:
    from actors.gmem.inode import Gmem

PRIVATE, SHARED = Share.PRIVATE, Share.SHARED  # a member is slow to look up


def ask_for(
    gmem: "Gmem",
    conversion: Conversion,
    pages: int,
    delay: int,
    context: Context,
    fault: Fault | None = None,
) -> None:
    """RESERVED or NO_MEMORY will come; with a fault it is NO_MEMORY, whatever the class."""
    conversion.asking = 0 if fault else pages
    if fault:
        context.after(delay, m.Reserved(conversion.op, False, fault.reason))
        return
    start, end = gfns(conversion)
    request = m.Reserve(gmem.address, conversion.op, pages, start=start, end=end)
    context.send(host_base(gmem.address), request, delay)


def gfns(conversion: Conversion) -> Place:
    """The range in hand, as consumers know it."""
    shift = conversion.shift
    if conversion.ranges:
        start, end = conversion.range
        return start + shift, end + shift
    return conversion.start + shift, conversion.end + shift


def differing(gmem: "Gmem", conversion: Conversion) -> m.Parts:
    """The work list: the parts of the range in hand whose share differs, as consumers know them; () for all of it."""
    start, end = conversion.range
    before = PRIVATE if conversion.to is SHARED else SHARED
    if gmem.share.only(start, end, before):
        return ()
    shift = conversion.shift
    runs = gmem.share.runs(start, end)
    return tuple((s + shift, e + shift) for s, e, share in runs if share == before)


def first_left(gmem: "Gmem", conversion: Conversion) -> int:
    """The first index of the range in hand that has not, or had not before its store, the wanted share."""
    first, last = conversion.range
    stored = conversion.was and conversion.was[0][0] == first
    runs = conversion.was if stored else gmem.share.runs(first, last)
    return next((start for start, _, share in runs if share != conversion.to), first)


def proceed(conversion: Conversion, event: Event, delay: int, context: Context) -> None:
    """The event comes once the time of the step is over."""
    context.after(max(delay, 1), m.Proceed(conversion.op, event))


def hold(gmem: "Gmem", conversion: Conversion, pages: int) -> None:
    """Split folios hold this much more of what is reserved; where they hold less (negative) it is at hand again."""
    gmem.metadata += pages
    conversion.reserved -= pages
    conversion.used += pages
    assert conversion.reserved >= 0, f"op {conversion.op} uses pages that it has not got"


def spare(gmem: "Gmem", conversion: Conversion, context: Context) -> None:
    """Give back what is reserved."""
    pages, used = conversion.reserved, conversion.used
    if pages or used:
        conversion.reserved = conversion.used = 0
        context.observe(ReserveSettled(gmem.address, conversion.op, used, pages))
    if pages:
        unused = m.GiveBack(pages, vm_base(gmem.address), conversion.op)
        context.send(host_base(gmem.address), unused, context.link)


def set_share(
    gmem: "Gmem", conversion: Conversion, start: int, end: int, to: Share, context: Context
) -> int:
    """Write the attribute of an index range; needs no memory any more. Returns the time it takes."""
    shift = conversion.shift
    assert gmem.poison.only(start, end, 0), "a poisoned range is stored"
    gmem.share.set(start, end, to)
    context.observe(ShareStored(gmem.address, conversion.op, start + shift, end + shift, to))
    return context.cost("tree_store")


def fail(
    gmem: "Gmem",
    conversion: Conversion,
    reason: Reason,
    offset: int,
    who: str,
    context: Context,
    stage: Stage | None = None,
) -> None:
    """Remember why, in which stage and at which index, this attempt fails: what comes first counts."""
    if conversion.reason is not Reason.NONE:
        return
    conversion.reason, conversion.offset = reason, offset
    phase = (conversion.stage if stage is None else stage).name.lower()
    gfn = offset + conversion.shift
    context.observe(Failed(vm_base(gmem.address), conversion.op, phase, who, reason, gfn))


def thaw_after(gmem: "Gmem", conversion: Conversion, delay: int, context: Context) -> None:
    """INV_END once what is under way is done: a fault must not see the old attribute with the new sequence."""
    message = m.Thaw(gmem.address, conversion.op)
    gmem.tell_kvms(message, max(delay, 1), context)
