"""Who wants a reference while counts are frozen: he comes again once they are thawed.

Counts are frozen from PREPARE on (docs/domain.md section 4.C step 3): until ABORT, or until guest_memfd has stored and
restructured. Pins are told of the ABORT; when a conversion that commits is over guest_memfd alone knows, and is asked
once somebody wants to know.
"""

from typing import TYPE_CHECKING

from actors import messages as m
from actors.address import HOST_MAP
from actors.contract import Context
from actors.observations import CountsThawed, GupWaits

if TYPE_CHECKING:
    from actors.pins import Pins


def meets(pins: "Pins", message: m.TakePin, context: Context) -> bool:
    """Is a count of the range frozen? Then the holder waits."""
    start, end = message.start, message.end
    by = next((op for op, parts in pins.frozen.items() if overlap(parts, start, end)), -1)
    held = (where for where in pins.committed.values() if overlap(where.changing, start, end))
    asked = [] if by >= 0 else list(held)
    if by < 0 and not asked:
        return False
    pins.put_off.append(message)
    context.observe(GupWaits(pins.vm, by, start, end))
    for where in asked:
        context.send(where.gmem, m.AwaitThaw(where.op), context.link)
    return True


def overlap(parts: m.Parts, start: int, end: int) -> bool:
    """Is a page of [start, end) in one of the parts?"""
    return any(first < end and start < last for first, last in parts)


def thaw(pins: "Pins", op: int, context: Context) -> None:
    """Whoever waits looks again, from the page tables on: a page that is private by now has no entry there."""
    context.observe(CountsThawed(pins.vm, op))
    waiting, pins.put_off = pins.put_off, []
    for wish in waiting:
        again = m.GetPages(wish.start, wish.end, wish.hold)
        context.send(pins.vm | HOST_MAP, again, context.link)


def abort(pins: "Pins", op: int, context: Context) -> None:
    """What PREPARE has frozen, if it has."""
    if pins.frozen.pop(op, None) is not None:
        thaw(pins, op, context)


def on_over(pins: "Pins", message: m.ConversionOver, context: Context) -> None:
    """guest_memfd's word on a conversion that has committed."""
    where = pins.committed.get(message.gmem)
    if where and where.op == message.op:
        del pins.committed[message.gmem]
    thaw(pins, message.op, context)
