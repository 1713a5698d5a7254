"""I9: reference counts as pins, host entries and bugs make them, against what guest_memfd reads and dares to freeze."""

from actors import observations as o
from actors.contract import Consumer
from actors.intervals import IntervalMap
from workloads.checkers.checks import Found
from workloads.checkers.operation import Operation
from workloads.checkers.shadow import Shadow
from workloads.checkers.words import span


def i9_dropped(shadow: Shadow, fact: o.Pinned) -> Found:
    """Before: a count never goes below zero."""
    for start, end, count in () if fact.held else shadow.pins.runs(fact.start, fact.end):
        if not count:
            return f"a reference on {span(start, end)} was dropped that nobody had"
    return None


def i9_taken(shadow: Shadow, fact: o.Pinned) -> Found:
    """Before: nobody gets a reference while the count is frozen, from the READY of the pins to ABORT or the store."""
    for op in shadow.operations.values() if fact.held else ():
        frozen = Consumer.PINS in op.ready or (op.decided and op.ended >> Consumer.PINS & 1)
        if not frozen or op.decided is False or op.no_return or op.undone:
            continue
        start, end = max(fact.start, op.begin.start), min(fact.end, op.begin.end)
        for first, last, share in shadow.share.runs(start, end):  # of none where it lies elsewhere
            if share != op.begin.to:
                return f"a reference on {span(first, last)} was taken while its count is frozen"
    return None


def i9_waits(shadow: Shadow, fact: o.GupWaits) -> Found:
    """It is a conversion under way that has frozen them."""
    if fact.op < 0 or fact.op in shadow.operations:
        return None
    return f"counts of {span(fact.start, fact.end)} are still frozen for a conversion that is over"


def i9_thawed(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    """Whom a refused conversion has asked for references thaws them with his no, or with ABORT."""
    if op.thawed_counts or not op.undone >> Consumer.PINS & 1:
        return None
    return f"counts of {span(op.begin.start, op.begin.end)} stay frozen after a refusal"


def i9_read(shadow: Shadow, fact: o.CountsRead) -> Found:
    """What is read of the counts is what has been taken and not dropped."""
    extra = sum(counted(table, fact.start, fact.end) for table in (shadow.pins, shadow.kept))
    if extra == fact.extra:
        return None
    return f"the counts of {span(fact.start, fact.end)} were read as {fact.extra} too many, and are {extra}"


def i9_restructured(shadow: Shadow, fact: o.FolioOrder) -> Found:
    """Before: a count is frozen while its folio is split or merged, so it is the filemap's own by then.

    Held over the range that is converted: that is where guest_memfd looks for references.
    """
    if fact.order < 0 or shadow.order.only(fact.start, fact.end, fact.order):
        return None
    for op in shadow.operations.values():
        start, end = max(fact.start, op.begin.start), min(fact.end, op.begin.end)
        if start < end and (extra := references(shadow, start, end)):
            found = ", ".join(f"{number} by {name}" for name, number in extra.items())
            own = end - start
            count = own + sum(extra.values())
            return f"{span(start, end)} splits or merges at a count of {count}, not {own}: {found}"
    return None


def references(shadow: Shadow, start: int, end: int) -> dict[str, int]:
    """By whom the pages of the range are referred to more than the filemap does, and how often."""
    tables = shadow.counted.items()
    return {name: n for name, table in tables if (n := counted(table, start, end))}


def counted(table: IntervalMap, start: int, end: int) -> int:
    """The sum of the table's values over the pages."""
    if table.only(start, end, 0):
        return 0
    return sum((last - first) * count for first, last, count in table.runs(start, end))
