"""Going back after a failure: the undo of RFC v2, which may fail itself, and what is left when it does.

docs/domain.md section 4.B, steps 5 and 6. Only attributes and folios are undone; no page table is.
"""

from typing import TYPE_CHECKING

from actors.contract import Context, Share
from actors.gmem import folios
from actors.gmem.chance import strike, strike_folios, strike_ranges
from actors.gmem.conversion import Change, Conversion
from actors.gmem.own import ask_for, hold, proceed, set_share, spare, thaw_after
from actors.observations import UndoFailed
from actors.protocols.table import Event, Who

if TYPE_CHECKING:
    from actors.gmem.inode import Gmem


def unstore_thaw(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """The failable notifier takes its store back: the nodes are there. Folios that it has split stay so.

    Those that it has merged are split again first, as no page may be shared in a huge folio, where the host could map
    more of it than is shared. Ours: the mail says nothing of it. It takes no memory, for a merge gives its metadata
    back when all of the restructuring is done, and it cannot fail, as it is the way back of what was just done.
    """
    took = 0
    if conversion.to is Share.PRIVATE:
        took += split_again(gmem, conversion, context)
    took += sum(
        set_share(gmem, conversion, start, end, Share(old), context)
        for start, end, old in conversion.was
    )
    thaw_after(gmem, conversion, took, context)


def split_again(gmem: "Gmem", conversion: Conversion, context: Context) -> int:
    """The restructuring as far as it has come is taken back; the time it takes."""
    back = folios.inverse(folios.cut(conversion.changes, conversion.changed))
    hold(gmem, conversion, folios.pages_held(back))
    conversion.changed = 0
    return folios.apply(gmem, back, context)


def rejoin(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """A folio could not be added again: it becomes what it was. Its own filemap entry may be refused now, too.

    Where the entry was split in the filemap and not taken out (stash at allocation), it is merged back without memory.
    RFC v2 gives its memory back, and the undo that follows asks for it anew.
    """
    took = context.link
    if gmem.options.stash == "at-split":
        spare(gmem, conversion, context)
        failed = folios.cut(conversion.changes, conversion.changed + 1)[-1]
        last = (failed.end - folios.SIZE[max(failed.old, failed.new)], failed.end)
        start = conversion.range[0]
        if strike_ranges(gmem, conversion, "gmem.undo_readd", [last], start, context):
            lose(gmem, failed, context)
            context.observe(UndoFailed(gmem.address, conversion.op, "readd"))
    else:
        took += split_again(gmem, conversion, context)
    proceed(conversion, Event.REJOINED, took, context)


def lose(gmem: "Gmem", change: Change, context: Context) -> None:
    """The last huge folio of the change is in the filemap no more, nor are its parts; its stash stays behind."""
    size = max(change.old, change.new)
    first = change.end - folios.SIZE[size]
    folios.set_order(gmem, first, change.end, folios.LOST, context)
    if size == gmem.page_order:
        folios.set_stash(gmem, first, change.end, True, context)


def undo(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """From the range that failed back to the first; its own changes count as far as they have come."""
    conversion.changes = folios.cut(conversion.changes, conversion.changed)
    reserve_undo(gmem, conversion, context)


def undo_next(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """The range before it, which was done as a whole; LAST when there is none."""
    if conversion.at == 0:
        gmem.drive(conversion, Event.LAST, context)
        return
    conversion.at -= 1
    start, end = conversion.range
    conversion.changes = undone_by(gmem, start, end, conversion.to)
    reserve_undo(gmem, conversion, context)


def undone_by(gmem: "Gmem", start: int, end: int, to: Share) -> list[Change]:
    """What a finished conversion of the range must have done to its folios, seen from the way back."""
    back = folios.plan(gmem, start, end, Share(1 - to))
    return folios.inverse(back)


def reserve_undo(gmem: "Gmem", conversion: Conversion, context: Context) -> None:
    """Splitting again, and another store, need memory as the first time did: RESERVED or NO_MEMORY."""
    back = folios.inverse(conversion.changes)
    fault = strike(gmem, conversion, "gmem.undo_tree", context)
    pages = 1 + folios.pages_for(back)
    ask_for(gmem, conversion, pages, context.cost("tree_reserve"), context, fault)


def undo_range(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """Store the old share and bring the folios back; a shared page must never be in a huge folio meanwhile."""
    old = Share(1 - conversion.to)
    back = folios.inverse(conversion.changes)
    took = context.link
    fault = strike_folios(gmem, conversion, ("gmem.undo_restructure",), back, context)
    done = folios.cut(back, fault.first) if fault else back
    if old is Share.SHARED and fault:
        context.observe(UndoFailed(gmem.address, conversion.op, "restructure"))
    else:
        took += folios.apply(gmem, done, context)
        hold(gmem, conversion, folios.pages_held(done))
        start, end = conversion.range
        if not gmem.share.only(start, end, old):
            took += set_share(gmem, conversion, start, end, old, context)
        if fault:
            unstash(gmem, back, fault.first, context)
            context.observe(UndoFailed(gmem.address, conversion.op, "restructure"))
    spare(gmem, conversion, context)
    proceed(conversion, Event.UNDONE, took, context)


def unstash(gmem: "Gmem", back: list[Change], failed: int, context: Context) -> None:
    """A merge takes the stash back before it can fail: the folio stays split without one."""
    change = next(c for c in folios.cut(back, failed + 1)[::-1])
    if gmem.options.stash == "at-split" and change.old < change.new == gmem.page_order:
        size = folios.SIZE[change.new]
        folios.set_stash(gmem, change.end - size, change.end, False, context)


def undo_failed(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """A WARNING in the kernel's log: attribute and folios of this range stay as they are."""
    context.observe(UndoFailed(gmem.address, conversion.op, "store"))
    proceed(conversion, Event.UNDONE, context.link, context)
