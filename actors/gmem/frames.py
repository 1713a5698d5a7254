"""Which host frames stand behind a file: one run from the start, or what the host had free when the VM was admitted."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors.contract import Context
from actors.intervals import IntervalMap

if TYPE_CHECKING:
    from actors.gmem.inode import Gmem


class Tenancy(msgspec.Struct):
    """Of a VM that comes after another: index -> pfn minus index, and how many of the pages others have had before.

    The host grants frames by whole folios, and 2 MiB at least: what lies in one such block lies in one run.
    """

    frames: IntervalMap = msgspec.field(default_factory=lambda: IntervalMap.filled(0))
    used: int = 0
    admitted: bool = False


def on_admit(gmem: "Gmem", message: m.Admit, _: Context) -> None:
    """The file is there, with all its folios; nothing is mapped, nothing accepted."""
    tenancy = Tenancy(used=message.used, admitted=True)
    for start, end, pfn in message.frames:
        tenancy.frames.set(start, end, pfn - start)
    gmem.tenancy = tenancy


def dormant(gmem: "Gmem") -> bool:
    """Is this the file of a VM that has not been admitted?"""
    return gmem.tenancy is not msgspec.UNSET and not gmem.tenancy.admitted


def pfn_of(gmem: "Gmem", index: int) -> int:
    """The frame behind a page."""
    if gmem.tenancy is msgspec.UNSET:
        return gmem.base_pfn + index
    return index + gmem.tenancy.frames.get(index)


def runs(gmem: "Gmem", start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(first index, the one after the last, first pfn) of each run of frames behind an index range."""
    if gmem.tenancy is msgspec.UNSET:
        yield start, end, gmem.base_pfn + start
        return
    for first, last, shift in gmem.tenancy.frames.runs(start, end):
        yield first, last, first + shift
