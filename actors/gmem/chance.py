"""Fault points of guest_memfd's own steps: what they are called, and which guest memory each opportunity is about."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from actors.address import vm_base
from actors.contract import Context, Fault, Place, opportunity
from actors.gmem import folios
from actors.gmem.conversion import Change, Conversion
from actors.gmem.own import gfns

if TYPE_CHECKING:
    from actors.gmem.inode import Gmem


def strike(gmem: "Gmem", conversion: Conversion, point: str, context: Context) -> Fault | None:
    """Does the point strike a step on the range in hand, which is one opportunity?"""
    start, end = gfns(conversion)
    key = opportunity(vm_base(gmem.address), conversion.op, start)
    return context.choose(point, 1, key, end - start)


def strike_ranges(
    gmem: "Gmem",
    conversion: Conversion,
    point: str,
    ranges: list[Place],
    first: int,
    context: Context,
) -> Fault | None:
    """The same where each of these index ranges is one; the step is named by its `first` index."""
    shift = conversion.shift
    places = ((start + shift, end + shift) for start, end in ranges)
    key = opportunity(vm_base(gmem.address), conversion.op, first + shift)
    return context.choose(point, len(ranges), key, places=places)


def strike_folios(
    gmem: "Gmem",
    conversion: Conversion,
    points: tuple[str, ...],
    changes: list[Change],
    context: Context,
) -> Fault | None:
    """The same where each huge folio that the changes make or break is one; the first point that strikes."""
    count = sum(folios.units(change) for change in changes)
    key = opportunity(vm_base(gmem.address), conversion.op, gfns(conversion)[0])
    for point in points if count else ():
        fault = context.choose(point, count, key, places=each_folio(changes, conversion.shift))
        if fault:
            return fault
    return None


def each_folio(changes: list[Change], shift: int) -> Iterator[Place]:
    """The gfns of each huge folio."""
    for change in changes:
        size = folios.SIZE[max(change.old, change.new)]
        for first in range(change.start + shift, change.end + shift, size):
            yield first, first + size
