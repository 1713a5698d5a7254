"""Protocols that convert one range after the other: what is on the list, and which range is next."""

from itertools import pairwise
from typing import TYPE_CHECKING

from actors.address import vm_base
from actors.contract import Context, Reason
from actors.gmem import folios
from actors.gmem.chance import strike_ranges
from actors.gmem.conversion import Conversion
from actors.gmem.own import ask_for
from actors.observations import ErrorDropped
from actors.protocols.table import Event, Who

if TYPE_CHECKING:
    from actors.gmem.inode import Gmem

ITEMS_PER_PAGE = 64  # of the list, by kmalloc


def list_ranges(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """The ranges whose share differs, with one small allocation each: LISTED or NO_MEMORY."""
    start, end = conversion.start, conversion.end
    found = [(s, e) for s, e, share in gmem.share.runs(start, end) if share != conversion.to]
    fault = strike_ranges(gmem, conversion, "gmem.work", found, found[0][0], context)
    pages = -(-len(found) // ITEMS_PER_PAGE)
    ask_for(gmem, conversion, pages, context.cost("tree_reserve"), context, fault)
    conversion.ranges = found
    conversion.at = fault.first if fault else len(found)
    conversion.wanting = found[fault.first if fault else 0][0]


def listed(gmem: "Gmem", conversion: Conversion, granted: bool, context: Context) -> None:
    """The allocator's answer about the list."""
    if granted:
        conversion.listed, conversion.reserved = conversion.reserved, 0
        conversion.at = 0
    gmem.drive(conversion, Event.LISTED if granted else Event.NO_MEMORY, context)


def cut_list(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """B.swallow_enomem: the list ends where memory did, and the conversion goes on as if that were all."""
    vm, phase = vm_base(gmem.address), conversion.stage.name.lower()
    context.observe(ErrorDropped(vm, conversion.op, "gmem", phase, conversion.denied))
    conversion.reason, conversion.offset = Reason.NONE, -1
    # An injected failure strikes at one of the ranges; an empty pool at the first.
    made = conversion.at if conversion.at < len(conversion.ranges) else 0
    conversion.ranges, conversion.at = conversion.ranges[:made], 0
    gmem.drive(conversion, Event.LISTED if made else Event.LAST, context)


def list_huge(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """One batch for each huge page of the range."""
    size = max(folios.SIZE[gmem.page_order], folios.SIZE[9])
    start, end = conversion.start, conversion.end
    edges = [start, *range(start // size * size + size, end, size), end]
    parts = pairwise(edges)
    conversion.ranges = [(s, e) for s, e in parts if not gmem.share.only(s, e, conversion.to)]
    gmem.drive(conversion, Event.LISTED, context)


def discard(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """A consumer's error is dropped, and the conversion goes on."""
    conversion.reason, conversion.offset = Reason.NONE, -1
    if conversion.todo:  # another file's KVM
        gmem.drive(conversion, Event.INVALIDATED, context)
    else:
        next_range(gmem, conversion, who, context)


def next_range(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """NEXT with another range in hand, or LAST with the first one again."""
    conversion.at += 1
    conversion.changes, conversion.changed = [], 0
    if conversion.at < len(conversion.ranges):
        gmem.drive(conversion, Event.NEXT, context)
    else:
        conversion.at = 0
        gmem.drive(conversion, Event.LAST, context)
