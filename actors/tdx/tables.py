"""Page tables of a TD's secure EPT in the TDX module: a leaf goes only where its table is (docs/domain.md section 2.3).

SEPT.ADD and PAGE.DEMOTE bring tables, and nothing takes one away before the TD's end: KVM keeps what it has.
"""

import msgspec

from actors import messages as m
from actors.intervals import IntervalMap
from actors.tdx.states import LEVEL_2M, LEVEL_4K, PAGES, TABLE_SPAN, Call


class Tables(msgspec.Struct):
    """gfn -> 1 where leaves of 4 KiB, and where leaves of 2 MiB, have a table. Those further up are always there."""

    small: IntervalMap
    large: IntervalMap

    def of(self, level: int) -> IntervalMap:
        """Of leaves of this level."""
        return self.small if level == LEVEL_4K else self.large


def over(leaves: IntervalMap, value: int = 1) -> Tables:
    """The tables that such leaves (gfn -> level) lie in, marked with the value."""
    found = Tables(IntervalMap.filled(0), IntervalMap.filled(0))
    for start, end, level in leaves.runs(0, leaves.starts[-1] + 1):
        for of in range(level, LEVEL_2M + 1) if level else ():
            size = TABLE_SPAN[of]
            found.of(of).set(start // size * size, -(-end // size) * size, value)
    return found


def room(tables: Tables, message: m.Seamcall) -> int:
    """How many leaves of an AUG find their table; of a SEPT.ADD, is the table new and the one above it there?"""
    start, end = message.start, message.end
    if message.call == Call.AUG:
        for first, _, there in tables.of(message.level).runs(start, end):
            if not there:
                return (first - start) // PAGES[message.level]
    elif message.call == Call.SEPT_ADD:
        orphan = message.level == LEVEL_4K and not tables.large.get(start)
        return 0 if orphan or tables.of(message.level).get(start) else message.count
    return message.count


def note(tables: Tables, message: m.Seamcall) -> None:
    """A call has succeeded that brings a table."""
    if message.call == Call.SEPT_ADD:
        tables.of(message.level).set(message.start, message.end, 1)
    elif message.call == Call.DEMOTE:
        tables.small.set(message.start, message.end, 1)
