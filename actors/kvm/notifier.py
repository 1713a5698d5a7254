"""KVM's side of an mmu_notifier: invalidate_range_start zaps the shared leaves of a range, range_end lets faults go on.

The callback cannot fail by itself: it waits for mmu_lock and walks, as a conversion's COMMIT does. Only where its
caller says that it may fail (a failable notifier) does it give up rather than wait. Private leaves are not the mm's
business: nothing under the VMM's page tables backs them, and KVM filters the range to shared leaves.
"""

from typing import TYPE_CHECKING

from actors import messages as m
from actors.address import HOST_MAP, KVM
from actors.contract import Context, Reason, Share, opportunity
from actors.kvm.plans import Walk
from actors.kvm.tickets import FREEZE, NOTIFIER, THAW, converts
from actors.messages import ATTEMPT_BITS

if TYPE_CHECKING:
    from actors.kvm.mmu import KvmMmu


def op_of(number: int) -> int:
    """The walk of this callback, beside those of conversions."""
    return (number << 3 | NOTIFIER) << ATTEMPT_BITS


def on_range_start(kvm: "KvmMmu", message: m.RangeStart, context: Context) -> None:
    """An invalidation begins; then zap under mmu_lock, flush, answer."""
    op = op_of(message.number)
    reason = trouble(kvm, message, op, context) if message.may_fail else Reason.NONE
    if reason is not Reason.NONE:
        started(kvm, message.number, reason, context)
        return
    # The walk answers to KVM itself, and goes the way to private: only shared leaves are in its way.
    walk = Walk(kvm.vm | KVM, op, message.start, message.end, Share.PRIVATE)
    walk.settled, walk.protects = True, message.protect
    kvm.walks[op] = walk
    kvm.notifiers[op] = message.number
    kvm.take(FREEZE, op, context)


def trouble(kvm: "KvmMmu", message: m.RangeStart, op: int, context: Context) -> Reason:
    """Why a callback that may fail does, or NONE.

    Shared leaves are 4 KiB, so that there is nothing to split and no memory to run out of. What is in the way is a held
    mmu_lock, for a caller that must not wait, and a conversion of the range: its outcome hangs on consumers that can
    refuse, so that the walk would wait for somebody else's failure. The walker does not know who calls it: EBUSY is
    passed on as it is.
    """
    key = opportunity(kvm.vm, op, message.start)
    fault = context.choose("kvm.notifier", 1, key, message.end - message.start)
    if fault:
        return fault.reason
    if not message.blocking and not kvm.lock.idle:
        return Reason.REFERENCES  # the one that reads as EAGAIN
    for other, (start, end) in kvm.invalidations.items():
        if converts(other) and start < message.end and message.start < end:
            return Reason.BUSY
    return Reason.NONE


def started(kvm: "KvmMmu", number: int, reason: Reason, context: Context) -> None:
    """The callback returns."""
    context.send(kvm.vm | HOST_MAP, m.RangeStarted(number, reason), context.link)


def on_range_end(kvm: "KvmMmu", message: m.RangeEnd, context: Context) -> None:
    """The caller has changed its page tables: faults in the range look again."""
    kvm.take(THAW, op_of(message.number), context)
