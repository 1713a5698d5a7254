"""A guest's ACCEPT at 4 KiB in the KVM MMU: a larger leaf is split, and the range may be marked to stay small.

After patch 13 of the TDX huge page series, version 3 (docs/domain.md section 2.3): an EPT violation that comes of an
ACCEPT carries its level. Where 2 MiB are still allowed, KVM takes mmu_lock for writing, splits what is mapped larger
and sets the slot's GUEST_INHIBIT mark, which nothing takes away; then the fault goes on under the lock for reading.
"""

from typing import TYPE_CHECKING

from actors import messages as m
from actors.address import GMEM, VMM
from actors.contract import PAGES_2M, Context, Message, Share
from actors.guest.outcome import Outcome
from actors.kvm import fault as kvm_fault
from actors.kvm import split as kvm_split
from actors.kvm import teardown as kvm_teardown
from actors.kvm.fault import PageFault
from actors.kvm.plans import Walk
from actors.kvm.tickets import ACCEPT
from actors.locks.holders import ACCEPT_OP
from actors.observations import AcceptHonoured
from actors.slots import slot_of
from actors.tdx.states import LEVEL_2M, LEVEL_4K

if TYPE_CHECKING:
    from actors.kvm.mmu import KvmMmu

# vm.guest_inhibit: the level is used for the fault in hand and forgotten (version 1 of the series); or marked, with
# a look at the mark before the lock (version 3); or marked with the lock taken at every such fault.
OFF, TESTED, EACH = "off", "tested", "each"


def first(kvm: "KvmMmu", fault: PageFault, context: Context) -> bool:
    """Is there something to do under mmu_lock before the fault? Then it is under way, and the fault goes on after it.

    A leaf in a frozen range is left to the conversion: the fault parks, and the guest's next ACCEPT comes here again.
    """
    if fault.level != LEVEL_4K:
        return False
    huge = kvm.mirror.get(fault.start) == LEVEL_2M
    marked = kvm.guest_inhibit == TESTED and kvm.inhibited.get(fault.start)
    if kvm_fault.frozen(kvm, fault) if huge else kvm.guest_inhibit == OFF or marked:
        return False
    kvm.faults[fault.access] = fault
    if huge:
        split(kvm, fault, context)
    else:
        kvm.take(ACCEPT, fault.access, context)
    return True


def locked(kvm: "KvmMmu", fault: PageFault, context: Context) -> None:
    """mmu_lock is ours for writing, for as long as it takes to see that no leaf is larger."""
    if kvm.dead:
        kvm.drop(ACCEPT, fault.access, context)
        return
    # A fault here stands for one on each of its pages; without a look at the mark each takes the lock.
    takes = fault.end - fault.start if kvm.guest_inhibit == EACH else 1
    context.observe(AcceptHonoured(kvm.vm, fault.start, fault.end, takes))
    context.after(context.cost("walk_absent_4k", takes), m.Honoured(fault.access))


def noted(kvm: "KvmMmu", fault: PageFault, context: Context) -> None:
    """The mark is set: the fault proper begins."""
    mark(kvm, fault.start)
    kvm.drop(ACCEPT, fault.access, context)
    if not kvm.dead:
        kvm_fault.begin(kvm, fault, context)


def mark(kvm: "KvmMmu", gfn: int) -> None:
    """The 2 MiB around `gfn` will never be mapped as one leaf again."""
    if kvm.guest_inhibit != OFF:
        leaf = gfn // PAGES_2M * PAGES_2M
        kvm.inhibited.set(leaf, leaf + PAGES_2M, 1)


# --- a larger leaf is there ----------------------------------------------------------------------


def split(kvm: "KvmMmu", fault: PageFault, context: Context) -> None:
    """The same split as before a conversion: memory first, then BLOCK, TRACK, kick, DEMOTE under the lock."""
    leaf = fault.start // PAGES_2M * PAGES_2M
    gmem = kvm.vm | GMEM | slot_of(kvm.slots, fault.start).gmem
    walk = Walk(gmem, ACCEPT_OP | fault.access, leaf, leaf + PAGES_2M, Share.PRIVATE)
    walk.todo = [(leaf, leaf + PAGES_2M, LEVEL_2M)]
    kvm.walks[walk.op] = walk
    kvm_split.split_leaves(kvm, walk, context)


def overtaken(kvm: "KvmMmu", walk: Walk) -> bool:
    """Has a conversion frozen the range while the split waited? Then it is the conversion's to split."""
    frozen = any(s < walk.end and walk.start < e for s, e in kvm.invalidations.values())
    return frozen or kvm.mirror.get(walk.start) != LEVEL_2M


def split_over(kvm: "KvmMmu", walk: Walk, reply: Message, delay: int, context: Context) -> None:
    """Split, or left to a conversion: ACCEPT again. Refused: the vCPU's ioctl fails, and its VMM stops the VM."""
    del kvm.walks[walk.op]
    fault = kvm.faults.get(walk.op ^ ACCEPT_OP)
    closing, kvm.closing = kvm.closing, []
    for message in closing:
        kvm_teardown.on_teardown(kvm, message, context)
    if fault is None or kvm.dead:
        return
    if isinstance(reply, m.Refused):
        context.send(kvm.vm | VMM, m.VmDead(), context.link)
        kvm_fault.done(kvm, fault, Outcome.FAILED, delay, context)
        return
    if isinstance(reply, m.Ready):
        context.observe(AcceptHonoured(kvm.vm, walk.start, walk.end, 1))
        mark(kvm, fault.start)
    kvm_fault.done(kvm, fault, Outcome.RETRY, delay, context)


def splitting(kvm: "KvmMmu") -> bool:
    """Is a vCPU still in its ioctl because of a split?"""
    return any(op & ACCEPT_OP for op in kvm.walks)
