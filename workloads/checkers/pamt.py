"""I20: what the dynamic PAMT says of the 2 MiB regions of a host, against the leaves of 4 KiB there."""

from itertools import pairwise
from typing import TYPE_CHECKING

from actors import observations as o
from actors.contract import PAGES_2M
from actors.intervals import IntervalMap
from actors.tdx.states import LEVEL_4K, Entry
from workloads.checkers.operation import Operation
from workloads.checkers.pool import unsettled

if TYPE_CHECKING:
    from workloads.checkers.shadow import Shadow


class PamtBooks:
    """Of one host. `leaves` is pfn -> 1 where a secure EPT has a leaf of 4 KiB, `told` region -> count."""

    def __init__(self, leaves: IntervalMap) -> None:
        self.leaves = leaves
        self.told = IntervalMap.filled(0)
        self.touched: list[tuple[int, int]] = []  # regions whose leaves have changed of late
        for start, end, small in leaves.runs(0, leaves.starts[-1] + 1):
            for region, last in pieces(start, end) if small else ():
                frames = leaves.pages(region * PAGES_2M, (region + 1) * PAGES_2M, 1)
                self.told.set(region, last, frames)

    def sept(self, fact: o.Sept) -> None:
        """Entries that are leaves of 4 KiB now, or are no more."""
        last = fact.pfn + fact.end - fact.start
        small = int(fact.state != Entry.FREE and fact.level == LEVEL_4K)
        if not self.leaves.only(fact.pfn, last, small):
            self.leaves.set(fact.pfn, last, small)
            self.touched.append((fact.pfn // PAGES_2M, -(-last // PAGES_2M)))

    def wrong(self, start: int, end: int) -> str | None:
        """The first region of the range whose count is another."""
        for first, last, count in self.told.runs(start, end):
            whole = int(count == PAGES_2M)
            if count in (0, PAGES_2M) and self.leaves.only(
                first * PAGES_2M, last * PAGES_2M, whole
            ):
                continue
            for region in range(first, last):
                there = self.leaves.pages(region * PAGES_2M, (region + 1) * PAGES_2M, 1)
                if there != count:
                    return f"the PAMT counts {count} leaves of 4 KiB in region {region:#x}, which has {there}"
        return None


def pieces(start: int, end: int) -> list[tuple[int, int]]:
    """Regions that the frames [start, end) lie in: its edges, and what is whole between them."""
    first, last = start // PAGES_2M, -(-end // PAGES_2M)
    edges = sorted({first, min(first + 1, last), max(last - 1, first), last})
    return [(a, b) for a, b in pairwise(edges) if a < b]


def i20_paid(shadow: "Shadow", fact: o.PamtCounted) -> str | None:
    """Before: a region has its pair of pages exactly while something is counted there."""
    if shadow.pamt is None:
        return None
    there = fact.count > 0
    runs = shadow.pamt.told.runs(fact.start, fact.end)
    due = sum((there - (was > 0)) * (end - start) for start, end, was in runs)
    if fact.pairs == due:
        return None
    return f"{fact.pairs:+} page pairs for the PAMT, where {due:+} are due, from region {fact.start:#x} on"


def i20(shadow: "Shadow", fact: o.PamtCounted) -> str | None:
    """What was told just now."""
    return shadow.pamt.wrong(fact.start, fact.end) if shadow.pamt else None


def i20_at_end(shadow: "Shadow", fact: o.ConvertEnd, op: Operation) -> str | None:
    """And what was not: the regions in which something has changed since a conversion ended on this host."""
    if text := unsettled(op):
        return text
    if shadow.pamt is None:
        return None
    touched, shadow.pamt.touched = shadow.pamt.touched, []
    texts = (shadow.pamt.wrong(start, end) for start, end in touched)
    return next((text for text in texts if text), None)
