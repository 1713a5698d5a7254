"""How folios of guest_memfd split and merge, what that takes, and what is left when it fails half way.

Orders are 0, 9 (2 MiB) and 18 (1 GiB). A shared page's folio has order 0. A 1 GiB folio is split into 2 MiB ones, and
those of them that are touched into 4 KiB ones; `uniform_split` splits all of it into 4 KiB (docs/domain.md section 16).
"""

from typing import TYPE_CHECKING, NamedTuple

from actors.contract import PAGES_1G, PAGES_2M, Context, Place, Share
from actors.gmem.conversion import Change
from actors.intervals import IntervalMap
from actors.observations import FolioOrder, Stashed

if TYPE_CHECKING:
    from actors.gmem.inode import Gmem

LOST, HOLE = -1, -2  # no folio: an undo has lost it, or the guest has given it up
SIZE = {0: 1, 9: PAGES_2M, 18: PAGES_1G}  # pages of a folio


class Split(NamedTuple):
    """What splitting one folio takes: pages of metadata, and the cost's name. Merging gives the pages back."""

    pages: int
    split: str
    merge: str


# docs/domain.md sections 3.1 and 8 (VT13). With HVO a folio of 2 MiB keeps 1 of its 8 vmemmap pages, one of 1 GiB 1 of
# 4,096. Page-cache nodes of 576 B hold 64 slots: one for 2 MiB; 4,096 + 64 + 1 for 1 GiB in 4 KiB, 8 + 1 in 2 MiB. And
# one page of stash.
SPLITS: dict[tuple[int, int], Split] = {
    (9, 0): Split(7 + 1, "folio_split_2m", "folio_merge_2m"),
    (18, 9): Split(511 + 2 + 1, "folio_split_1g_2m", "folio_merge_1g_2m"),
    (18, 0): Split(4095 + -(-4161 * 576 // 4096) + 1, "folio_split_1g", "folio_merge_1g"),
}


def plan(gmem: "Gmem", start: int, end: int, to: Share) -> list[Change]:
    """What has to be done to the folios of the index range because it has, or will have, this share."""
    return splits(gmem, start, end) if to is Share.SHARED else merges(gmem, start, end)


def splits(gmem: "Gmem", start: int, end: int) -> list[Change]:
    """Huge folios that the range touches, the largest first."""
    found = []
    if gmem.page_order == 18:
        whole = gmem.options.uniform_split
        for s, e, had in gmem.folios.runs(*rounded(start, end, 18)):
            if had == 18:
                found.append(Change(s, e, 18, 0 if whole else 9))
            if had == 18 and not whole:
                found.append(Change(*rounded(max(s, start), min(e, end), 9), 9, 0))
    if gmem.page_order:
        runs = gmem.folios.runs(*rounded(start, end, 9))
        found += [Change(s, e, 9, 0) for s, e, had in runs if had == 9]
    return found


def merges(gmem: "Gmem", start: int, end: int) -> list[Change]:
    """Huge folios that can be whole again, the smallest first. Only the blocks at the edges may be mixed."""
    if gmem.page_order == 0:
        return []
    found = []
    small = 0 if gmem.options.uniform_split else 9  # what a 1 GiB folio was split into
    first, last = trimmed(gmem, start, end, 9)
    if first < last and (gmem.page_order == 9 or small):
        found += [Change(s, e, 0, 9) for s, e, order in gmem.folios.runs(first, last) if order == 0]
    if gmem.page_order == 18:
        first, last = trimmed(gmem, start, end, 18)
        for block in range(first, last, PAGES_1G):
            orders = [order for _, _, order in gmem.folios.runs(block, block + PAGES_1G)]
            if orders != [18] and HOLE not in orders:
                found.append(Change(block, block + PAGES_1G, small, 18))
    return found


def trimmed(gmem: "Gmem", start: int, end: int, order: int) -> tuple[int, int]:
    """The range rounded out to whole folios, without its first and last one where they have to stay split."""
    first, last = rounded(start, end, order)
    size = SIZE[order]
    if first < last and not mergeable(gmem, first, first + size, (start, end)):
        first += size
    if first < last and not mergeable(gmem, last - size, last, (start, end)):
        last -= size
    return first, last


def mergeable(gmem: "Gmem", first: int, last: int, private: tuple[int, int]) -> bool:
    """All private (as `private` will be), nothing poisoned, and wholly inside the file."""
    before, after = max(first, min(private[0], last)), min(last, max(private[1], first))
    return (
        (first == before or gmem.share.only(first, before, Share.PRIVATE))
        and (after == last or gmem.share.only(after, last, Share.PRIVATE))
        and gmem.poison.only(first, last, 0)
        and min(order for _, _, order in gmem.folios.runs(first, last)) >= 0
    )


def rounded(start: int, end: int, order: int) -> tuple[int, int]:
    """The range rounded out to whole folios of this order."""
    size = SIZE[order]
    return start // size * size, -(-end // size) * size


def stuck(gmem: "Gmem", start: int, end: int, order: int) -> list[tuple[int, int, int]]:
    """(start, end, 1 if it cannot go back) of an index range of folios of this order.

    A reference is a folio's, whichever page it was taken for; and hugetlb takes a folio back whole or not at all, so
    that one with a poisoned page stays. To dissolve it would take vmemmap that nobody has set aside.
    """
    found = IntervalMap.filled(0)
    for marks in (gmem.kept, gmem.poison):
        for first, last, marked in marks.runs(*rounded(start, end, order)):
            if marked:
                found.set(*rounded(first, last, order), 1)
    return found.runs(start, end)


def units(change: Change) -> int:
    """How many huge folios it makes or breaks."""
    order = change.old if change.old > change.new else change.new
    return (change.end - change.start) // SIZE[order]


def within(changes: list[Change], start: int, end: int) -> list[Place]:
    """What of the index range the changes are about, in order."""
    found: list[Place] = []
    for change in sorted(changes, key=lambda change: change.start):
        first, last = max(start, change.start), min(end, change.end)
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        elif first < last:
            found.append((first, last))
    return found


def kind_of(change: Change) -> Split:
    """What the change takes, whichever way it goes."""
    if change.old > change.new:
        return SPLITS[change.old, change.new]
    return SPLITS[change.new, change.old]


def pages_for(changes: list[Change]) -> int:
    """Metadata that the splits among the changes need."""
    pages = 0
    for change in changes:
        if change.old > change.new:
            pages += kind_of(change).pages * units(change)
    return pages


def pages_held(changes: list[Change]) -> int:
    """Metadata that folios hold after the changes and did not before: less, where merges set it free."""
    pages = 0
    for change in changes:
        needs = kind_of(change).pages * units(change)
        pages += needs if change.old > change.new else -needs
    return pages


def nth(changes: list[Change], number: int) -> int:
    """Where the huge folio of this number (from 0) begins that the changes make or break."""
    for change in changes:
        if number < units(change):
            return change.start + number * SIZE[max(change.old, change.new)]
        number -= units(change)
    raise AssertionError("the changes have fewer folios")


def inverse(changes: list[Change]) -> list[Change]:
    """The way back, last change first."""
    return [Change(c.start, c.end, c.new, c.old) for c in reversed(changes)]


def cut(changes: list[Change], done: int) -> list[Change]:
    """The part of the changes that covers their first `done` huge folios."""
    found = []
    for change in changes:
        part = min(done, units(change))
        if part:
            size = SIZE[max(change.old, change.new)]
            end = change.start + part * size
            found.append(Change(change.start, end, change.old, change.new))
        done -= part
    return found


def apply(gmem: "Gmem", changes: list[Change], context: Context, stash: bool = True) -> int:
    """Change the folios; `stash`: their metadata is put aside or taken back. Returns the time it takes."""
    took = 0
    for change in changes:
        set_order(gmem, change.start, change.end, change.new, context)
        if (
            stash
            and gmem.options.stash == "at-split"
            and max(change.old, change.new) == gmem.page_order
        ):
            set_stash(gmem, change.start, change.end, change.old > change.new, context)
        kind = kind_of(change)
        took += context.cost(kind.split if change.old > change.new else kind.merge, units(change))
    return took


def set_order(gmem: "Gmem", start: int, end: int, order: int, context: Context) -> None:
    """Folios of the index range have this order now."""
    gmem.folios.set(start, end, order)
    for first, last in gmem.gfns(start, end):
        context.observe(FolioOrder(gmem.address, first, last, order))


def set_stash(gmem: "Gmem", start: int, end: int, present: bool, context: Context) -> None:
    """The metadata of the huge folios of the index range is put aside, or taken back."""
    gmem.stash.set(start, end, int(present))
    for first, last in gmem.gfns(start, end):
        context.observe(Stashed(gmem.address, first, last, present))
