"""Memory failure in guest_memfd: a frame has gone bad, and whoever touches it from here on meets EHWPOISON.

As the kernel's error_folio (docs/domain.md section 3.3): the invalidate lock shared, zap of the whole folio, which
cannot fail, end of the invalidation. Nothing is truncated and no attribute changes: what follows is the VMM's affair.
Ours: the mark is set once the folio is unmapped, before faults may look again, so that nobody maps what is marked.
"""

from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors.address import HOST_MAP, vm_base
from actors.contract import Context, Share
from actors.gmem import folios
from actors.gmem.tickets import PUNCH, TICKETS
from actors.intervals import IntervalMap
from actors.kvm.tickets import HOLE
from actors.messages import ATTEMPT_BITS
from actors.observations import MemoryFailed, PoisonSet

if TYPE_CHECKING:
    from actors.gmem.inode import Gmem

# The number of a failure: this bit and the page. No task's number reaches it, of which a balloon's call has one.
FAILURE_OP = 1 << 40
NUMBER_SHIFT = HOLE.bit_length() + ATTEMPT_BITS


class Failing(msgspec.Struct):
    """A folio that is being unmapped; `todo` are its parts in slots, as gfns, the first one in hand."""

    page: int
    todo: list[tuple[int, int]] = []


class Failures(msgspec.Struct):
    """UNSET in a file that has met none. `bad` is index -> 1 where a folio has failed."""

    bad: IntervalMap = msgspec.field(default_factory=lambda: IntervalMap.filled(0))
    under_way: dict[int, Failing] = {}


def on_memory_failure(gmem: "Gmem", message: m.MemoryFailure, context: Context) -> None:
    """The machine check handler has found whose page it is."""
    if gmem.failures is msgspec.UNSET:
        gmem.failures = Failures()
    op = (FAILURE_OP | message.page) << NUMBER_SHIFT | HOLE << ATTEMPT_BITS
    if op not in gmem.failures.under_way:
        gmem.failures.under_way[op] = Failing(message.page)
        gmem.take(op * TICKETS + PUNCH, False, context)


def failing(gmem: "Gmem", op: int) -> Failing | None:
    """The failure of this number; None where a hole has it."""
    return None if gmem.failures is msgspec.UNSET else gmem.failures.under_way.get(op)


def locked(gmem: "Gmem", op: int, failure: Failing, context: Context) -> None:
    """Nobody converts now. A page that is in no folio, or out of use already, is left alone."""
    page = failure.page
    order = gmem.folios.get(page)
    if not gmem.released and order >= 0 and not gmem.poison.get(page):
        failure.todo = gmem.gfns(*folios.rounded(page, page + 1, order))
    zap(gmem, op, failure, context)


def zap(gmem: "Gmem", op: int, failure: Failing, context: Context) -> None:
    """The next part out of KVM, on whichever side it is; after the last one the lock goes."""
    if not failure.todo:
        assert gmem.failures is not msgspec.UNSET, "a failure that nobody has met"
        del gmem.failures.under_way[op]
        gmem.drop(op * TICKETS + PUNCH, context)
        return
    start, end = failure.todo[0]
    options, given_up = gmem.options, gmem.share.get(failure.page)
    request = m.Zap(
        gmem.address, op, start, end, options.trace, options.bug_on, Share(1 - given_up)
    )
    gmem.tell_kvms(request, context.link, context)


def zapped(gmem: "Gmem", op: int, failure: Failing, context: Context) -> None:
    """No guest maps it any more, but for what a bug holds; the host's own entries go, and it is out of use."""
    assert gmem.failures is not msgspec.UNSET, "a failure that nobody has met"
    start, end = failure.todo.pop(0)
    shift = gmem.shift_at(start)
    for table in (gmem.poison, gmem.failures.bad):
        table.set(start - shift, end - shift, 1)
    context.observe(MemoryFailed(gmem.address, start, end))
    context.observe(PoisonSet(gmem.address, op, start, end))
    gone = m.HostDiscard(start, end)
    context.send(vm_base(gmem.address) | HOST_MAP, gone, context.link)
    gmem.tell_kvms(m.ZapEnd(op), context.link, context)


def bad(gmem: "Gmem", start: int, end: int) -> bool:
    """Has a folio of the range failed?"""
    return gmem.failures is not msgspec.UNSET and not gmem.failures.bad.only(start, end, 0)
