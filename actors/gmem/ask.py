"""What guest_memfd asks others in a row of a table: KVM to freeze and thaw, consumers to let go of a range."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors.address import HOST_MAP, IOMMU, KVM, PINS, file_address, host_base, vm_base
from actors.contract import KVMS, REGISTERED, Consumer, Context, Message, Reason, Share
from actors.gmem import folios
from actors.gmem.conversion import Conversion, Verb
from actors.gmem.own import differing, gfns, thaw_after
from actors.observations import Decided, NoReturn
from actors.protocols import maps_again
from actors.protocols.table import ALL, Event, Who

if TYPE_CHECKING:
    from actors.gmem.inode import Gmem


def freeze(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """Begin the invalidation on the whole request: faults wait until the thaw."""
    begin_invalidation(gmem, conversion, conversion.start, conversion.end, context)


def freeze_range(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """Begin the invalidation on the range in hand."""
    begin_invalidation(gmem, conversion, *conversion.range, context)


def begin_invalidation(
    gmem: "Gmem", conversion: Conversion, first: int, last: int, context: Context
) -> None:
    """Rounded out to whole pages of the file, as far as they are in slots: no leaf is larger.

    A page of the file that lies in two slots has what is between them wait as well, as KVM keeps one range.
    """
    parts = gmem.gfns(*folios.rounded(first, last, gmem.page_order))
    start, end = parts[0]
    for s, e in parts[1:]:
        start, end = min(start, s), max(end, e)
    message = m.Freeze(gmem.address, conversion.op, start, end)
    gmem.tell_kvms(message, context.link, context)


def thaw(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """End the invalidation."""
    thaw_after(gmem, conversion, context.link, context)


def after_thaw(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """The invalidation is over, the conversion is not: on with it, or out with its error."""
    event = Event.GO_ON if conversion.reason is Reason.NONE else Event.FAILED
    gmem.drive(conversion, event, context)


OF_VM: dict[int, int] = {
    Consumer.HOST_MAP: HOST_MAP,
    Consumer.PINS: PINS,
    **{kvm: file_address(KVM, file) for file, kvm in enumerate(KVMS)},
}


def consumer_address(gmem: int, consumer: int) -> int:
    """Where a consumer of this guest_memfd lives."""
    of_vm = OF_VM.get(consumer)
    return host_base(gmem) | IOMMU if of_vm is None else vm_base(gmem) | of_vm


def ask(gmem: "Gmem", conversion: Conversion, verb: Verb, who: Who, context: Context) -> None:
    """Send to each of them; all of them have to answer."""
    assert who, f"op {conversion.op} asks nobody to {verb.name}"
    conversion.verb, conversion.waiting = verb, 0
    conversion.asked_at = context.now
    plain = REQUESTS[verb](gmem, conversion, who)
    early = gmem.options.early if verb is Verb.PREPARE else ()
    for consumer in who:
        conversion.waiting |= 1 << consumer
        message = msgspec.structs.replace(plain, early=True) if consumer in early else plain
        context.send(consumer_address(gmem.address, consumer), message, context.link)


def prepare_request(gmem: "Gmem", conversion: Conversion, who: Who) -> Message:
    """PREPARE, with what the options want."""
    busy_bugs = gmem.options.prepare_busy == "bug" and Consumer.KVM_MMU in who
    return m.Prepare(
        gmem.address,
        conversion.op,
        *gfns(conversion),
        conversion.to,
        waits=gmem.options.waits,
        busy_bugs=busy_bugs,
        parts=differing(gmem, conversion),
        looks=gmem.pinned is not msgspec.UNSET and who == ALL,
    )


def commit_request(gmem: "Gmem", conversion: Conversion, _: Who) -> Message:
    """COMMIT, with the way to tell of a bug."""
    options = gmem.options
    where = gfns(conversion)
    return m.Commit(
        gmem.address, conversion.op, *where, conversion.to, options.trace, options.bug_on
    )


def invalidate_request(gmem: "Gmem", conversion: Conversion, _: Who) -> Message:
    """INVALIDATE, with the same."""
    where, options = gfns(conversion), gmem.options
    listed = maps_again(gmem.protocol, Share(conversion.to))
    return m.Invalidate(
        gmem.address,
        conversion.op,
        *where,
        conversion.to,
        options.zap_whole,
        options.trace,
        listed,
        differing(gmem, conversion),
        gmem.pinned is not msgspec.UNSET
        and gmem.row(conversion, Event.REFUSED).action != "discard",
    )


def remap_request(gmem: "Gmem", conversion: Conversion, who: Who) -> Message:
    """REMAP, with what this consumer has unmapped."""
    (consumer,) = who
    where, unmapped = gfns(conversion), conversion.unmapped[consumer]
    return m.Remap(gmem.address, conversion.op, *where, conversion.to, unmapped)


REQUESTS: dict[Verb, Callable[["Gmem", Conversion, Who], Message]] = {
    Verb.PREPARE: prepare_request,
    Verb.COMMIT: commit_request,
    Verb.ABORT: lambda gmem, conversion, _: m.Abort(gmem.address, conversion.op),
    Verb.INVALIDATE: invalidate_request,
    Verb.REMAP: remap_request,
}


def prepare(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """May the range change sides? As the kernel calls it: whoever is asked answers."""
    conversion.refused = 0
    ask(gmem, conversion, Verb.PREPARE, who, context)


def prepare_in_turn(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """The same, one after the other: nobody is asked after a refusal."""
    conversion.todo = list(who)
    prepare_next(gmem, conversion, who, context)


def prepare_next(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """The next one's turn, if there is one."""
    if conversion.todo:
        prepare(gmem, conversion, (conversion.todo.pop(0),), context)


def split_file(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """PREPARE for the first file alone; the others come when it is zapped."""
    conversion.todo = list(who)
    split_next_file(gmem, conversion, who, context)


def split_next_file(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """The same for the next one."""
    prepare(gmem, conversion, (conversion.todo[0],), context)


def zap_file(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """COMMIT for this file alone."""
    commit(gmem, conversion, (conversion.todo.pop(0),), context)


def next_file(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """NEXT with another file in hand, or LAST."""
    gmem.drive(conversion, Event.NEXT if conversion.todo else Event.LAST, context)


def prepare_in_time(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """The same, and wait no longer than the timeout for the last answer."""
    prepare(gmem, conversion, who, context)
    conversion.timer = context.after(gmem.prepare_timeout, m.PrepareTimeout(conversion.op))


def commit(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """Let go, which cannot be refused."""
    ask(gmem, conversion, Verb.COMMIT, who, context)


def abort(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """Back to before, at everybody but those who refused, for they have undone their own."""
    left = tuple(consumer for consumer in who if not conversion.refused >> consumer & 1)
    ask(gmem, conversion, Verb.ABORT, left, context)


def pass_no_return(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """COMMIT, where nothing that may fail is left to do."""
    context.observe(NoReturn(gmem.address, conversion.op))
    commit(gmem, conversion, who, context)


def decide_commit(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """The decision: everybody is ready, so everybody unmaps."""
    decide(gmem, conversion, True, context)
    commit(gmem, conversion, who, context)


def decide_freeze(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """The decision, where faults are let in until now."""
    decide(gmem, conversion, True, context)
    freeze(gmem, conversion, who, context)


def decide_abort(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """The decision: back to before."""
    decide(gmem, conversion, False, context)
    abort(gmem, conversion, who, context)


def decide(gmem: "Gmem", conversion: Conversion, commits: bool, context: Context) -> None:
    """One history event, and the timer's end."""
    conversion.disarm(context)
    context.observe(Decided(gmem.address, conversion.op, commits))


def invalidate(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """Unmap, one consumer after the other."""
    conversion.todo, conversion.agreed = list(who), 0
    invalidate_next(gmem, conversion, who, context)


def invalidate_next(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """The next consumer's turn."""
    ask(gmem, conversion, Verb.INVALIDATE, (conversion.todo.pop(0),), context)


def remap(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """Whoever has unmapped is to map again, the last one first."""
    conversion.todo = [c for c in reversed(REGISTERED) if conversion.agreed >> c & 1]
    if conversion.todo:
        remap_next(gmem, conversion, who, context)
    else:
        gmem.drive(conversion, Event.ALL_REMAPPED, context)


def remap_next(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """The next consumer's turn."""
    ask(gmem, conversion, Verb.REMAP, (conversion.todo.pop(0),), context)


ASKS: dict[str, Verb] = {
    "prepare": Verb.PREPARE,
    "prepare_in_time": Verb.PREPARE,
    "split_file": Verb.PREPARE,
    "zap_file": Verb.COMMIT,
    "commit": Verb.COMMIT,
    "pass_no_return": Verb.COMMIT,
    "decide_commit": Verb.COMMIT,
    "abort": Verb.ABORT,
    "decide_abort": Verb.ABORT,
    "invalidate": Verb.INVALIDATE,
}
"""Actions that ask the consumers of their row, and what they ask."""
