"""What guest_memfd does in each row of a protocol's table. Protocols share these steps and differ in their order."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from actors import messages as m
from actors.address import HOST_MAP, IOMMU, KVM, PINS, VMM, host_base, vm_base
from actors.contract import PAGES_2M, Consumer, Context, Reason, Share, opportunity
from actors.observations import (
    ConvertEnd,
    Decided,
    Failed,
    FolioOrder,
    LockOrder,
    PoisonSet,
    Reserving,
    ShareStored,
)

if TYPE_CHECKING:
    from actors.gmem import Conversion, Gmem

Action = Callable[["Gmem", "Conversion", Context], None]

# Memory to have at hand before anything is touched: nodes of the attribute tree for the store and, for each 2 MiB folio
# that will be split, a page-cache node and the 7 vmemmap pages that HVO had freed (docs/domain.md section 3.1).
TREE_PAGES = 1
ILOCK_RANK = 1  # docs/domain.md section 2.9: outermost of the kernel's locks modelled here
SPLIT_PAGES = 8


def consumer_address(gmem: int, consumer: int) -> int:
    """Where a consumer of this guest_memfd lives."""
    if consumer == Consumer.IOMMU:
        return host_base(gmem) | IOMMU
    return vm_base(gmem) | (KVM, HOST_MAP, PINS)[consumer]


def reserve(gmem: "Gmem", conversion: "Conversion", context: Context) -> None:
    """Everything that guest_memfd itself will need, before anybody is asked. ENOMEM here costs nobody anything."""
    folios = 0
    if conversion.to is Share.SHARED:
        folios = gmem.folios.pages(*split_blocks(gmem, conversion), 9) // PAGES_2M
    key = opportunity(vm_base(gmem.address), conversion.op, conversion.start)
    fault = context.choose("gmem.tree", 1, key)
    if fault is None and folios:
        fault = context.choose("gmem.vmemmap", folios, key)
    conversion.reserved = 0 if fault else TREE_PAGES + folios * SPLIT_PAGES
    delay = context.cost("tree_reserve")
    if fault:
        denied = m.Reserved(conversion.op, False)
        context.after(delay, denied)
        return
    pages = conversion.reserved
    context.observe(Reserving(gmem.address, conversion.op, pages))
    request = m.Reserve(gmem.address, conversion.op, pages)
    context.send(host_base(gmem.address), request, delay)


def freeze(gmem: "Gmem", conversion: "Conversion", context: Context) -> None:
    """Begin the invalidation on the range, rounded out to whole 2 MiB: faults wait until the thaw."""
    start = (conversion.start + conversion.shift) // PAGES_2M * PAGES_2M
    end = -(-(conversion.end + conversion.shift) // PAGES_2M) * PAGES_2M
    message = m.Freeze(gmem.address, conversion.op, start, end)
    context.send(vm_base(gmem.address) | KVM, message, context.link)


def prepare_all(gmem: "Gmem", conversion: "Conversion", context: Context) -> None:
    """Ask every consumer at once, and wait no longer than the timeout for the last answer."""
    shift = conversion.shift
    question = m.Prepare(
        gmem.address,
        conversion.op,
        conversion.start + shift,
        conversion.end + shift,
        conversion.to,
    )
    ask(gmem, conversion, question, (1 << len(Consumer)) - 1, context)
    conversion.timer = context.after(gmem.prepare_timeout, m.PrepareTimeout(conversion.op))


def ask(
    gmem: "Gmem",
    conversion: "Conversion",
    message: m.Prepare | m.Commit | m.Abort,
    consumers: int,
    context: Context,
) -> None:
    """Send to each consumer of the bit mask; all of them have to answer."""
    assert consumers, f"op {conversion.op} asks nobody"
    conversion.waiting = consumers
    conversion.asked_at = context.now
    for consumer in Consumer:
        if consumers >> consumer & 1:
            context.send(consumer_address(gmem.address, consumer), message, context.link)


def commit_all(gmem: "Gmem", conversion: "Conversion", context: Context) -> None:
    """The decision: everybody is ready, so everybody unmaps."""
    decide(gmem, conversion, True, context)
    message = m.Commit(gmem.address, conversion.op)
    ask(gmem, conversion, message, (1 << len(Consumer)) - 1, context)


def abort_all(gmem: "Gmem", conversion: "Conversion", context: Context) -> None:
    """The decision: back to before, at everybody but those who refused, for they have undone their own."""
    decide(gmem, conversion, False, context)
    consumers = ((1 << len(Consumer)) - 1) & ~conversion.refused
    ask(gmem, conversion, m.Abort(gmem.address, conversion.op), consumers, context)


def decide(gmem: "Gmem", conversion: "Conversion", commit: bool, context: Context) -> None:
    """One history event, and the timer's end."""
    context.cancel(conversion.timer)
    context.observe(Decided(gmem.address, conversion.op, commit))


def complete_thaw(gmem: "Gmem", conversion: "Conversion", context: Context) -> None:
    """Store and restructure from what was reserved, or keep poisoned pages out of use; then end the invalidation."""
    if conversion.poison:
        delay = quarantine(gmem, conversion, context)
    else:
        delay = store(gmem, conversion, context) + restructure(gmem, conversion, context)
    thaw(gmem, conversion, delay, context)


def give_back_thaw(gmem: "Gmem", conversion: "Conversion", context: Context) -> None:
    """Nothing was stored: return the reservation and end the invalidation."""
    context.send(host_base(gmem.address), m.GiveBack(conversion.reserved), context.link)
    thaw(gmem, conversion, context.link, context)


def thaw(gmem: "Gmem", conversion: "Conversion", delay: int, context: Context) -> None:
    """After the store, never before it: a fault must not see the old attribute with the new sequence."""
    context.send(vm_base(gmem.address) | KVM, m.Thaw(conversion.op), delay)


def store(gmem: "Gmem", conversion: "Conversion", context: Context) -> int:
    """The attribute of the range changes; needs no memory any more. Returns the time it takes."""
    start, end, shift = conversion.start, conversion.end, conversion.shift
    assert not conversion.poison and gmem.poison.only(start, end, 0), "a poisoned range is stored"
    gmem.share.set(start, end, conversion.to)
    context.observe(
        ShareStored(gmem.address, conversion.op, start + shift, end + shift, conversion.to)
    )
    return context.cost("tree_store")


def restructure(gmem: "Gmem", conversion: "Conversion", context: Context) -> int:
    """Split 2 MiB folios that became shared, merge those that are all private again. Returns the time it takes."""
    if gmem.page_order == 0:
        context.send(host_base(gmem.address), m.GiveBack(conversion.reserved), context.link)
        return 0
    if conversion.to is Share.SHARED:
        start, end = split_blocks(gmem, conversion)
        old, new, cost, kept = 9, 0, "folio_split_2m", SPLIT_PAGES
    else:
        start, end = merge_blocks(gmem, conversion)
        old, new, cost, kept = 0, 9, "folio_merge_2m", -SPLIT_PAGES
    folios = gmem.folios.pages(start, end, old) // PAGES_2M if start < end else 0
    spare = m.GiveBack(conversion.reserved - folios * kept)
    context.send(host_base(gmem.address), spare, context.link)
    if not folios:
        return 0
    gmem.folios.set(start, end, new)
    for first, last in gmem.gfns(start, end):
        context.observe(FolioOrder(gmem.address, first, last, new))
    return context.cost(cost, folios)


def split_blocks(gmem: "Gmem", conversion: "Conversion") -> tuple[int, int]:
    """The index range, rounded out to whole folios, in which 2 MiB folios have to be split."""
    start, end = conversion.start, conversion.end
    if gmem.folios.get(start) == 9:
        start = start // PAGES_2M * PAGES_2M
    if gmem.folios.get(end - 1) == 9:
        end = -(-end // PAGES_2M) * PAGES_2M
    return start, end


def merge_blocks(gmem: "Gmem", conversion: "Conversion") -> tuple[int, int]:
    """The index range of whole 2 MiB blocks that are all private now; empty when start >= end."""
    start = conversion.start // PAGES_2M * PAGES_2M
    end = -(-conversion.end // PAGES_2M) * PAGES_2M
    if not mergeable(gmem, start):
        start += PAGES_2M
    if start < end and not mergeable(gmem, end - PAGES_2M):
        end -= PAGES_2M
    return start, end


def mergeable(gmem: "Gmem", block: int) -> bool:
    """All private, nothing poisoned, and wholly inside the file."""
    end = block + PAGES_2M
    return (
        gmem.share.only(block, end, Share.PRIVATE)
        and gmem.poison.only(block, end, 0)
        and min(order for _, _, order in gmem.folios.runs(block, end)) >= 0
    )


def quarantine(gmem: "Gmem", conversion: "Conversion", context: Context) -> int:
    """on_poison = bail: nothing is stored, the range keeps its side, its bad pages are never used again."""
    for start, end in conversion.poison:
        gmem.poison.set(start, end, 1)
        context.observe(
            PoisonSet(gmem.address, conversion.op, start + conversion.shift, end + conversion.shift)
        )
    context.send(host_base(gmem.address), m.GiveBack(conversion.reserved), context.link)
    return context.cost("tree_store")


def reply(gmem: "Gmem", conversion: "Conversion", context: Context) -> None:
    """Answer the ioctl and drop the lock."""
    finish(gmem, conversion, False, context)


def reply_redundant(gmem: "Gmem", conversion: "Conversion", context: Context) -> None:
    """The whole range has the wanted state already: success, and nobody is bothered."""
    finish(gmem, conversion, True, context)


def finish(gmem: "Gmem", conversion: "Conversion", redundant: bool, context: Context) -> None:
    """Answer, forget the conversion, let the next one have the lock."""
    op = conversion.op
    answer = m.Converted(op, conversion.reason, conversion.offset, redundant)
    context.send(vm_base(gmem.address) | VMM, answer, context.link)
    held = context.now - conversion.locked_at
    offset = conversion.offset + conversion.shift if conversion.offset >= 0 else -1
    context.observe(ConvertEnd(gmem.address, op, conversion.reason, offset, redundant, held))
    context.observe(LockOrder(vm_base(gmem.address), op, ILOCK_RANK, False))
    del gmem.conversions[op]
    gmem.drop(gmem.conversion_ticket(op), context)


def fail(
    gmem: "Gmem",
    conversion: "Conversion",
    reason: Reason,
    offset: int,
    who: str,
    context: Context,
) -> None:
    """Remember why, and at which index, this attempt fails."""
    conversion.reason, conversion.offset = reason, offset
    phase = conversion.stage.name.lower()
    context.observe(Failed(vm_base(gmem.address), conversion.op, phase, who, reason))


def nothing(gmem: "Gmem", conversion: "Conversion", context: Context) -> None:
    """A row that only records that the event is expected here."""


ACTIONS: dict[str, Action] = {
    "reserve": reserve,
    "freeze": freeze,
    "prepare_all": prepare_all,
    "note_ready": nothing,
    "commit_all": commit_all,
    "abort_all": abort_all,
    "ignore": nothing,
    "note_late_refusal": nothing,
    "note_settled": nothing,
    "remember_poison": nothing,
    "complete_thaw": complete_thaw,
    "give_back_thaw": give_back_thaw,
    "reply": reply,
    "reply_redundant": reply_redundant,
}
