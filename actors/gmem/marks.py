"""What guest_memfd makes of the mark on pages that could not be unmapped: which ones it keeps out of use for ever."""

from typing import TYPE_CHECKING

import msgspec

from actors.contract import Context, Place, Share
from actors.gmem import chance as gmem_chance
from actors.gmem import folios
from actors.gmem.conversion import Conversion
from actors.gmem.failure import Failures
from actors.gmem.own import ask_for, hold
from actors.observations import PoisonSet
from actors.protocols.marks import NODE, SPLIT
from actors.protocols.table import Event, Who

if TYPE_CHECKING:
    from actors.gmem.inode import Gmem


def named(gmem: "Gmem", start: int, end: int, paid: bool = False) -> list[Place]:
    """The indices that the mark on [start, end) names; `paid`: it has the memory that it may want."""
    mark = gmem.options.marking
    whole = mark.whole or (mark.takes == NODE and not paid)
    lost = not mark.survives or (mark.takes == SPLIT and not paid)
    return [
        folios.rounded(first, last, order) if whole and order > 0 else (first, last)
        for first, last, order in gmem.folios.runs(start, end)
        if order <= 0 or not lost
    ]


def set_aside(gmem: "Gmem", op: int, places: list[Place], context: Context) -> None:
    """These indices are never mapped, converted or freed again."""
    for start, end in places:
        for first, last, known in gmem.poison.runs(start, end):
            for at, after in () if known else gmem.gfns(first, last):
                context.observe(PoisonSet(gmem.address, op, at, after))
        gmem.poison.set(start, end, 1)
        if gmem.options.marking.fails:
            if gmem.failures is msgspec.UNSET:
                gmem.failures = Failures()
            gmem.failures.bad.set(start, end, 1)


def reserve_mark(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """Memory for the mark of what could not be unmapped, on the error path: RESERVED or NO_MEMORY.

    Whether there is any is a matter of its own (gmem.mark): what the pool says to a conversion it says by chance to
    all that the conversion asks for, and this one has been given what it reserved.
    """
    if pages := wanted(gmem, conversion):
        fault = gmem_chance.strike(gmem, conversion, "gmem.mark", context)
        ask_for(gmem, conversion, pages, context.link, context, fault)
    else:
        gmem.drive(conversion, Event.RESERVED, context)


def wanted(gmem: "Gmem", conversion: Conversion) -> int:
    """Pages; what the conversion has set aside for its own folios, a consumer that meets a bug cannot use."""
    if gmem.options.marking.takes == SPLIT:
        changes = [folios.splits(gmem, *place) for place in conversion.poison]
        return max(map(folios.pages_for, changes), default=0) * len(changes)
    return len(conversion.poison[:1])


def quarantine(
    gmem: "Gmem", conversion: Conversion, paid: bool, context: Context
) -> tuple[list[Place], int]:
    """Mark what could not be unmapped: (indices that are out of use now, the time it takes)."""
    took, found = 0, list[Place]()
    takes = gmem.options.marking.takes if paid else ""
    if takes == NODE:
        hold(gmem, conversion, 1)
    for start, end in conversion.poison:
        if takes == SPLIT:
            changes = folios.plan(gmem, start, end, Share.SHARED)
            took += folios.apply(gmem, changes, context)
            hold(gmem, conversion, folios.pages_held(changes))
        found += named(gmem, start, end, paid)
    set_aside(gmem, conversion.op, found, context)
    return found, took
