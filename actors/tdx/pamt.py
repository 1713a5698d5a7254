"""Dynamic PAMT: a 2 MiB region of host memory needs a pair of metadata pages while leaves of 4 KiB are in it.

As of the kernel's dynamic PAMT series the host counts the leaves by region (docs/domain.md sections 2.3 and 6, I20):
the first one takes a pair from whoever maps it (PHYMEM.PAMT.ADD), and the pair goes back with the last. S-EPT pages
and other control pages, which the kernel counts as well, are not. The count of a region is the sum over all TDs.
"""

from typing import NamedTuple

import msgspec

from actors.contract import PAGES_2M
from actors.intervals import IntervalMap

PAIR = 2  # pages of metadata for a region (8 KiB)


class DynamicPamt(msgspec.Struct):
    """`counts` is region (pfn // 512) -> leaves of 4 KiB in it: state costs its runs, not its regions."""

    counts: IntervalMap = msgspec.field(default_factory=lambda: IntervalMap.filled(0))


class Counted(NamedTuple):
    """Regions [start, end) had `before` leaves each and have `after` now."""

    start: int
    end: int
    before: int
    after: int

    @property
    def pairs(self) -> int:
        """How many pairs of pages that took; below zero, gave back."""
        return ((self.after > 0) - (self.before > 0)) * (self.end - self.start)


def regions(first: int, last: int) -> int:
    """How many regions the frames [first, last) lie in."""
    return -(-last // PAGES_2M) - first // PAGES_2M


def empty(pamt: DynamicPamt, first: int, last: int) -> int:
    """And how many of those have no pair yet."""
    return pamt.counts.pages(first // PAGES_2M, -(-last // PAGES_2M), 0)


def count(pamt: DynamicPamt, first: int, last: int, step: int) -> list[Counted]:
    """The frames [first, last) have become leaves of 4 KiB (`step` 1), or are it no more (-1)."""
    found = []
    while first < last:
        region = first // PAGES_2M
        whole = last // PAGES_2M if first % PAGES_2M == 0 else 0
        end = max(whole, region + 1)  # whole regions at once, their edges one by one
        stop = min(last, end * PAGES_2M)
        leaves = step * (PAGES_2M if whole > region else stop - first)
        for start, after, before in pamt.counts.runs(region, end):
            assert 0 <= before + leaves <= PAGES_2M, f"{before + leaves} leaves in a region"
            pamt.counts.set(start, after, before + leaves)
            found.append(Counted(start, after, before, before + leaves))
        first = stop
    return found
