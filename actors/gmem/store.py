"""What guest_memfd does with its own memory in a row of a table: sets pages aside, stores, waits, restructures."""

from typing import TYPE_CHECKING

from actors import messages as m
from actors.address import PINS, vm_base
from actors.contract import Consumer, Context, Fault, Reason, Share
from actors.gmem import folios
from actors.gmem.ask import thaw
from actors.gmem.chance import strike, strike_folios
from actors.gmem.conversion import Conversion
from actors.gmem.marks import quarantine
from actors.gmem.own import (
    ask_for,
    differing,
    fail,
    first_left,
    gfns,
    hold,
    proceed,
    set_share,
    spare,
    thaw_after,
)
from actors.protocols.table import Event, Stage, Who

if TYPE_CHECKING:
    from actors.gmem.inode import Gmem

FOLIO_MEMORY = ("gmem.vmemmap", "gmem.stash")
TREE_PAGES = 1  # nodes of the attribute tree for one store (docs/domain.md section 3.1)
T_SPIN = (
    1_000_000_000  # ns after which a wait for references counts as AN9 (docs/domain.md section 14)
)


def reserve(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """Everything that guest_memfd itself will need, before anybody is asked. ENOMEM here costs nobody anything."""
    conversion.changes = []
    if conversion.to is Share.SHARED:
        conversion.changes = folios.plan(gmem, *conversion.range, conversion.to)
    conversion.wanting = -1
    fault = strike(gmem, conversion, "gmem.tree", context)
    fault = fault or strike_memory(gmem, conversion, context)
    pages = TREE_PAGES + folios.pages_for(conversion.changes)
    ask_for(gmem, conversion, pages, context.cost("tree_reserve"), context, fault)


def reserve_tree(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """Tree nodes for the store alone."""
    conversion.wanting = -1
    fault = strike(gmem, conversion, "gmem.tree", context)
    ask_for(gmem, conversion, TREE_PAGES, context.cost("tree_reserve"), context, fault)


def reserve_folios(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """vmemmap, page-cache nodes and stash for the restructuring in hand; a merge needs none."""
    pages = folios.pages_for(conversion.changes)
    if pages:
        conversion.wanting = part_of(gmem, conversion, 0)
        fault = strike_memory(gmem, conversion, context)
        ask_for(gmem, conversion, pages, context.link, context, fault)
    else:
        proceed(conversion, Event.RESERVED, context.link, context)


def part_of(gmem: "Gmem", conversion: Conversion, number: int) -> int:
    """Where, in the range in hand, the huge folio of this number begins that changes.

    To who is told how far a refused conversion came, that is what counts.
    """
    if gmem.options.prefix:
        return first_left(gmem, conversion)
    return max(folios.nth(conversion.changes, number), conversion.range[0])


def strike_memory(gmem: "Gmem", conversion: Conversion, context: Context) -> Fault | None:
    """Does memory for one of the folios that change fail? Then that folio is what it is wanted for."""
    fault = strike_folios(gmem, conversion, FOLIO_MEMORY, conversion.changes, context)
    if fault:
        conversion.wanting = part_of(gmem, conversion, fault.first)
    return fault


def store(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """The attribute of the range changes; STORED once the time is over."""
    conversion.was = gmem.share.runs(*conversion.range)
    took = set_share(gmem, conversion, *conversion.range, conversion.to, context)
    proceed(conversion, Event.STORED, took, context)
    spare(gmem, conversion, context)


def await_quiet(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """Freeze the reference counts of the folios that change: spin, without bound, until there are no others."""
    if not planned(gmem, conversion, context):
        return
    conversion.spun_at = context.now
    conversion.timer = context.after(T_SPIN, m.SpinCheck(conversion.op))
    if kept(gmem, conversion) < 0:
        where, parts = gfns(conversion), changing(conversion)
        question = m.AwaitQuiet(gmem.address, conversion.op, *where, conversion.to, parts)
        context.send(vm_base(gmem.address) | PINS, question, context.link)


def planned(gmem: "Gmem", conversion: Conversion, context: Context) -> bool:
    """Work out which folios change; if none does, say so."""
    conversion.changes = folios.plan(gmem, *conversion.range, conversion.to)
    conversion.changed = 0
    if not conversion.changes:
        gmem.drive(conversion, Event.UNCHANGED, context)
    return bool(conversion.changes)


def changing(conversion: Conversion) -> m.Parts:
    """The parts of the range in hand whose folios change, as consumers know them; () for all of it."""
    start, end = conversion.range
    parts = folios.within(conversion.changes, start, end)
    if parts == [(start, end)]:
        return ()
    shift = conversion.shift
    return tuple((s + shift, e + shift) for s, e in parts)


def look_once(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """Look once after the unmap: is there a reference, one that a bug has left or anybody's?

    Whose PREPARE has asked for references has had the counts frozen since: only a bug can have added one.
    """
    conversion.seen = kept(gmem, conversion)
    extra = conversion.seen >= 0
    if extra or conversion.agreed >> Consumer.PINS & 1:
        proceed(conversion, Event.NOT_QUIET if extra else Event.QUIET, context.link, context)
        return
    where, parts = gfns(conversion), differing(gmem, conversion)
    question = m.Recount(gmem.address, conversion.op, *where, conversion.to, parts)
    context.send(vm_base(gmem.address) | PINS, question, context.link)


def kept(gmem: "Gmem", conversion: Conversion) -> int:
    """The first page of the range whose folio carries a reference that nobody will drop, or -1."""
    start, end = conversion.range
    if gmem.kept.fragments == 1:
        return -1
    for s, e, order in gmem.folios.runs(start, end):
        for first, _, stays in gmem.kept.runs(*folios.rounded(s, e, order)) if order >= 0 else ():
            if stays:
                return max(s, folios.rounded(first, first + 1, order)[0])
    return -1


def restructure(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """Take folios out of the filemap, split or merge them, add what they became: RESTRUCTURED or NOT_READDED."""
    count = sum(folios.units(change) for change in conversion.changes)
    fault = strike_folios(gmem, conversion, ("gmem.readd",), conversion.changes, context)
    conversion.changed = fault.first if fault else count
    done = folios.cut(conversion.changes, conversion.changed)
    took = folios.apply(gmem, done, context)
    hold(gmem, conversion, folios.pages_held(done))
    if fault:  # what merges have set free stays at hand, for to split again must not fail
        at = part_of(gmem, conversion, fault.first)
        fail(gmem, conversion, fault.reason, at, "gmem", context)
    else:
        spare(gmem, conversion, context)
    event = Event.NOT_READDED if fault else Event.RESTRUCTURED
    proceed(conversion, event, took, context)


def complete_thaw(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """Store and restructure from what was reserved, or keep poisoned pages out of use; then end the invalidation."""
    complete(gmem, conversion, True, context)


def complete_short(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """The same without the memory that the mark wants: it names the whole folio, or nothing."""
    complete(gmem, conversion, False, context)


def complete(gmem: "Gmem", conversion: Conversion, paid: bool, context: Context) -> None:
    """What is marked first; `paid`: there is memory for it."""
    marked, delay = quarantine(gmem, conversion, paid, context) if conversion.poison else ([], 0)
    if conversion.poison and gmem.options.on_poison == "bail":
        delay += context.cost("tree_store")
    else:
        for start, end, bad in gmem.poison.runs(conversion.start, conversion.end):
            if not bad:
                delay += set_share(gmem, conversion, start, end, conversion.to, context)
        changes = conversion.changes  # those for which memory was reserved; a merge takes none
        if conversion.to is Share.PRIVATE or conversion.poison:
            changes = folios.plan(gmem, *conversion.range, conversion.to)
        delay += folios.apply(gmem, changes, context)
        for start, end in marked:  # out of the filemap, with a reference that keeps them
            folios.set_order(gmem, start, end, folios.LOST, context)
        hold(gmem, conversion, folios.pages_held(changes))
    spare(gmem, conversion, context)
    thaw_after(gmem, conversion, delay, context)


def fail_efault_thaw(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """A reference that should not be there: EFAULT, although consumers were unmapped."""
    fail(gmem, conversion, Reason.BUG, conversion.seen, "gmem", context, Stage.CHECKING)
    thaw(gmem, conversion, who, context)
