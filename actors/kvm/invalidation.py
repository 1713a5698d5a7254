"""Invalidations in the KVM MMU: what is done with mmu_lock held for writing and no walk.

As in the kernel (docs/domain.md sections 2.2 and 2.9) an invalidation begins and ends under the lock: a fault that
holds it for reading is through before the range is frozen, and none is half way when the sequence moves.
"""

from typing import TYPE_CHECKING

from actors import messages as m
from actors.contract import Context
from actors.kvm import fault as kvm_fault
from actors.kvm import split as kvm_split
from actors.kvm import zap as kvm_zap
from actors.kvm.tickets import FREEZE, THAW, TICKETS
from actors.observations import InvalidationBegin, InvalidationEnd

if TYPE_CHECKING:
    from actors.kvm.mmu import KvmMmu


def written(kvm: "KvmMmu", what: int, number: int) -> bool:
    """Is mmu_lock held for writing by this ticket? What the kernel asserts in both functions."""
    return kvm.lock.writer == number * TICKETS + what


def on_freeze(kvm: "KvmMmu", message: m.Freeze, context: Context) -> None:
    """INV_BEGIN, once whoever holds mmu_lock is through."""
    kvm.freezing[message.op] = message
    kvm.take(FREEZE, message.op, context)


def begin(kvm: "KvmMmu", op: int, context: Context) -> None:
    """Faults in the range wait from here on. If nobody waits to be told, the walk begins.

    Another range of the same conversion widens the first, with what lies between, as KVM keeps one range.
    """
    message = kvm.freezing.pop(op, None)
    assert not isinstance(message, m.Thaw), f"op {op} begins what it wants to end"
    new = kvm.walks[op] if message is None else message
    before = kvm.invalidations.get(op)
    kvm.invalidations[op] = (new.start, new.end)
    if before:
        kvm.invalidations[op] = (min(before[0], new.start), max(before[1], new.end))
    held = written(kvm, FREEZE, op)
    context.observe(InvalidationBegin(kvm.vm, op, new.start, new.end, held))
    if message is not None:
        context.send(message.gmem, m.Frozen(op), context.link)
    kvm.drop(FREEZE, op, context)
    if message is None:
        kvm_zap.commit(kvm, kvm.walks[op], context)


def on_thaw(kvm: "KvmMmu", message: m.Thaw, context: Context) -> None:
    """INV_END, the same way."""
    kvm.freezing[message.op] = message
    kvm.take(THAW, message.op, context)


def end(kvm: "KvmMmu", op: int, context: Context) -> None:
    """The sequence moves, then parked faults look again. Who has asked is told; an mmu_notifier's caller is not."""
    del kvm.invalidations[op]
    message = kvm.freezing.pop(op, None)
    walk = kvm.walks.get(op)
    if walk and walk.settled:  # ready, and never asked to go on: what was split for it stays split
        kvm_split.settle(kvm, walk, context)
        del kvm.walks[op]
    context.observe(InvalidationEnd(kvm.vm, op, written(kvm, THAW, op)))
    if message is not None:
        context.send(message.gmem, m.Thawed(op), context.link)
    elif op in kvm.zaps:
        context.send(kvm.zaps.pop(op), m.ZapEnded(op), context.link)
    else:
        del kvm.notifiers[op]
    kvm_fault.thaw(kvm, context)
    kvm.drop(THAW, op, context)
