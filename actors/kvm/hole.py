"""KVM's side of a hole in guest_memfd, or of memory that has failed: an invalidation without a protocol to ask first.

The walk is that of a conversion's COMMIT: it cannot be refused, and what a bug leaves mapped is told to guest_memfd.
"""

from typing import TYPE_CHECKING

from actors import messages as m
from actors.address import KVM
from actors.contract import Context, Reason
from actors.kvm import notifier as kvm_notifier
from actors.kvm.plans import Walk
from actors.kvm.tickets import FREEZE, THAW
from actors.slots import slot_of

if TYPE_CHECKING:
    from actors.kvm.mmu import KvmMmu


def on_zap(kvm: "KvmMmu", message: m.Zap, context: Context) -> None:
    """An invalidation, and the leaves of one side go. The walk answers to KVM itself."""
    op = message.op
    kvm.zaps[op] = message.gmem
    walk = Walk(kvm.vm | KVM, op, message.start, message.end, message.to)
    walk.settled, walk.trace, walk.bugs = True, message.trace, message.bugs
    kvm.walks[op] = walk
    kvm.take(FREEZE, op, context)


def on_walked(kvm: "KvmMmu", message: m.Committed, context: Context) -> None:
    """A walk that was made for somebody else is over."""
    number = kvm.notifiers.get(message.op)
    if number is not None:
        kvm_notifier.started(kvm, number, Reason.NONE, context)
    else:
        context.send(kvm.zaps[message.op], m.Zapped(message.op), context.link)


def on_poison(kvm: "KvmMmu", message: m.Poison, context: Context) -> None:
    """What the walk could not unmap."""
    left = m.NotZapped(message.op, message.start, message.end)
    context.send(kvm.zaps[message.op], left, context.link)


def on_keep_reference(kvm: "KvmMmu", message: m.KeepReference, context: Context) -> None:
    """What the walk could not unmap, where a reference on the folio is all that tells of it."""
    file = kvm.file(slot_of(kvm.slots, message.start).gmem)
    context.send(file, message, context.link)


def on_zap_end(kvm: "KvmMmu", message: m.ZapEnd, context: Context) -> None:
    """Faults in the range look again, and find a hole."""
    kvm.take(THAW, message.op, context)
