"""Page faults of the guest in the KVM MMU: snapshot the sequence, ask guest_memfd, install under mmu_lock for reading.

The order is the kernel's (docs/domain.md section 2.2): what is installed was looked up before the lock, so a
sequence that has moved, or an invalidation in progress on the range, sends the fault back to its start.
"""

from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors.address import GUEST, KVM, TDX, VMM, host_base
from actors.contract import PAGES_2M, Context, Reason, Share, opportunity
from actors.guest.outcome import Outcome
from actors.kvm import entry as kvm_entry
from actors.kvm import memory as kvm_memory
from actors.kvm import tables as kvm_tables
from actors.kvm.tickets import FAULT, TICKETS
from actors.locks.lock import Waiter
from actors.names import implicit_access, implicit_request
from actors.observations import (
    FaultFailed,
    FaultParked,
    FaultResumed,
    FaultRetried,
    FaultWaited,
    Leaf,
    ReEntered,
)
from actors.slots import slot_of
from actors.tdx.states import LEVEL_2M, LEVEL_4K, PAGES, Call, Status

if TYPE_CHECKING:
    from actors.kvm.mmu import KvmMmu

# Implicit conversions of one access that report success and change nothing, after which the guest's watchdog ends it.
CONVERSIONS_MAX = 100  # ASSUMED 10 to 1000


class PageFault(msgspec.Struct):
    """One fault on at most 2 MiB; `access` is the guest's number of it, `level` the largest the guest will accept."""

    access: int
    start: int
    end: int
    share: Share
    level: int
    sequence: int = 0
    pfn: int = 0
    conversions: int = 0  # asked of the VMM because the attribute said the other side
    back: int = 0  # ns of the way back from the VMM
    parked: int = 0  # how often it has waited for an invalidation to end
    parked_at: int = 0
    looked: int = 0  # how often guest_memfd has been asked
    suspect: bool = False  # the module takes the tree lock when its vCPU enters again
    again: int = 0  # how often its vCPU has faulted here before


def shared_access(kvm: "KvmMmu", message: m.Access, context: Context) -> None:
    """Shared memory needs no accept: present is enough."""
    if kvm.shared_ept.only(message.start, message.end, LEVEL_4K):
        finish(kvm, message.access, Outcome.DONE, context.link, context)
    elif not kvm.dead:
        fault = PageFault(message.access, message.start, message.end, Share.SHARED, LEVEL_4K)
        begin(kvm, fault, context)


def begin(kvm: "KvmMmu", fault: PageFault, context: Context) -> None:
    """Steps 1 to 3: park in a frozen range, else snapshot the sequence and look up the folio."""
    kvm.faults[fault.access] = fault
    if frozen(kvm, fault):
        park(kvm, fault, context)
        return
    fault.sequence = kvm.sequence
    fault.looked += 1
    slot = slot_of(kvm.slots, fault.start)
    fault.end = min(fault.end, slot.gfn + slot.pages)
    shift = slot.index - slot.gfn
    question = m.GetPfn(fault.access, fault.start + shift, fault.end + shift, fault.share)
    context.send(kvm.file(slot.gmem), question, context.link)


def thaw(kvm: "KvmMmu", context: Context) -> None:
    """The end of any invalidation: the sequence moves, then parked faults look again."""
    kvm.sequence += 1
    parked, kvm.parked = kvm.parked, []
    for access in parked:
        resume(kvm, kvm.faults[access], context)


def park(kvm: "KvmMmu", fault: PageFault, context: Context) -> None:
    """Wait for INV_END."""
    kvm.parked.append(fault.access)
    fault.parked += 1
    fault.parked_at = context.now
    place = (fault.access, fault.start, fault.end)
    context.observe(FaultParked(kvm.vm, *place, fault.parked))


def resume(kvm: "KvmMmu", fault: PageFault, context: Context) -> None:
    """INV_END: from the start, which may be another wait."""
    place = (fault.access, fault.start, fault.end)
    context.observe(FaultResumed(kvm.vm, *place, context.now - fault.parked_at))
    begin(kvm, fault, context)


def waited(kvm: "KvmMmu", waiter: Waiter, context: Context) -> None:
    """A page fault that had to wait for mmu_lock."""
    number, what = divmod(waiter.ticket, TICKETS)
    if what == FAULT:
        fault, wait = kvm.faults[number], context.now - waiter.since
        context.observe(FaultWaited(kvm.vm, fault.start, fault.end, "mmu_lock", wait))


def frozen(kvm: "KvmMmu", fault: PageFault) -> bool:
    """Does an invalidation in progress cover a page of the fault?"""
    ranges = kvm.invalidations.values()
    return any(start < fault.end and fault.start < end for start, end in ranges)


def got_pfn(kvm: "KvmMmu", fault: PageFault, message: m.GotPfn, context: Context) -> None:
    """Step 2's other half: the wrong kind is a request to convert; else step 4, mmu_lock."""
    if message.reason is Reason.REFERENCES and fault.conversions >= CONVERSIONS_MAX:
        done(kvm, fault, Outcome.FAILED, context.link, context)
    elif message.reason is Reason.REFERENCES:
        request = m.ConvertRequest(
            implicit_request(fault.access),
            fault.start,
            fault.end,
            fault.share,
            context.now,
            kvm.vm | KVM,
            fault.again + fault.conversions,
        )
        fault.conversions += 1
        took = context.cost("memory_fault_exit")
        # Half of it is the way back. A shared access looks again at once, so all of it comes first.
        fault.back = took // 2 if fault.share is Share.PRIVATE else 0
        context.send(kvm.vm | VMM, request, took - fault.back)
    elif message.failed:
        # The vCPU's ioctl ends with EHWPOISON, and the VMM stops the VM, for it cannot give the guest a machine check.
        context.send(kvm.vm | VMM, m.VmDead(), context.cost("memory_fault_exit"))
        done(kvm, fault, Outcome.FAILED, context.link, context)
    elif message.reason is not Reason.NONE:
        done(kvm, fault, Outcome.FAILED, context.link, context)
    else:
        fault.pfn = message.pfn
        # A slot may lie in its file, and the file in memory, at another offset within 2 MiB.
        aligned = fault.start % PAGES_2M == 0 == message.pfn % PAGES_2M
        whole = fault.end - fault.start == PAGES_2M and aligned
        small = kvm.inhibited.get(fault.start)
        if small or not (whole and message.order >= 9 and fault.level == LEVEL_2M):
            fault.level = LEVEL_4K
        free = kvm.cache is msgspec.UNSET or fault.share is Share.SHARED
        if free or kvm_memory.top_up(kvm, fault, context):
            lock(kvm, fault, context)


def reserved(kvm: "KvmMmu", fault: PageFault, message: m.Reserved, context: Context) -> None:
    """Step 3 in want of pages: the vCPU's ioctl ends with ENOMEM where the host has none."""
    if kvm_memory.granted(kvm, fault.access, message.granted, context):
        lock(kvm, fault, context)
    else:
        done(kvm, fault, Outcome.FAILED, context.link, context)


def lock(kvm: "KvmMmu", fault: PageFault, context: Context) -> None:
    """Step 4. Nothing keeps the thread of the vCPU from being preempted here, and what it knows from growing old."""
    key = opportunity(kvm.vm, fault.access, fault.start, fault.again + fault.looked)
    if context.choose("kvm.preempted", 1, key, fault.end - fault.start):
        context.after(context.cost("vcpu_preempted"), m.FaultScheduled(fault.access))
    else:
        kvm.take(FAULT, fault.access, context)


def locked(kvm: "KvmMmu", fault: PageFault, context: Context) -> None:
    """Steps 4 to 6: still current? Then install."""
    if kvm.dead:
        kvm.drop(FAULT, fault.access, context)
        kvm_memory.release(kvm, fault.access, context)
    elif outdated(kvm, fault):
        covered = frozen(kvm, fault)
        context.observe(FaultRetried(kvm.vm, fault.access, fault.start, fault.end, covered))
        kvm.drop(FAULT, fault.access, context)
        begin(kvm, fault, context)
    elif fault.share is Share.PRIVATE:
        augment(kvm, fault, context)
    else:
        took = context.cost("shared_refault", fault.end - fault.start)
        context.after(took, m.FaultDone(fault.access))


def outdated(kvm: "KvmMmu", fault: PageFault) -> bool:
    """May what was looked up have changed since, or be about to? KVM's mmu_invalidate_retry()."""
    return fault.sequence != kvm.sequence or frozen(kvm, fault)


def augment(kvm: "KvmMmu", fault: PageFault, context: Context) -> None:
    """PAGE.AUG what is absent; another vCPU may have been quicker."""
    end, level = kvm.mirror.run_at(fault.start, fault.end)
    if level:
        kvm.drop(FAULT, fault.access, context)
        enter_again(kvm, fault, context)
        return
    if end < fault.end:
        fault.end, fault.level = end, LEVEL_4K
    if kvm.sept is not msgspec.UNSET:
        if not kvm_tables.freeze(kvm, fault):
            kvm.drop(FAULT, fault.access, context)
            enter_again(kvm, fault, context)
            return
        if missing := kvm_tables.lacking(kvm, fault):
            table = kvm_tables.addition(kvm, fault, missing[0])
            context.send(host_base(kvm.vm) | TDX, table, context.link)
            return
    call = m.Seamcall(
        kvm.vm,
        fault.access * TICKETS + FAULT,
        Call.AUG,
        fault.start,
        fault.end,
        fault.level,
        (fault.end - fault.start) // PAGES[fault.level],
        fault.pfn,
        fault.access,
        0,
        kvm_memory.lent_pairs(kvm, fault.access),
    )
    context.send(host_base(kvm.vm) | TDX, call, context.link)


def table_added(kvm: "KvmMmu", fault: PageFault, answer: m.SeamcallDone, context: Context) -> None:
    """One table more: the next one, or the leaf. What fails ends the fault as a failing AUG does."""
    if answer.status == Status.OK and not kvm.dead:
        kvm_memory.spend(kvm, fault.access, answer.level)
        kvm_tables.added(kvm, fault, answer.level)
        kvm_tables.thaw(kvm, fault)
        augment(kvm, fault, context)
    else:
        augmented(kvm, fault, answer, 0, context)


def augmented(
    kvm: "KvmMmu", fault: PageFault, answer: m.SeamcallDone, index: int, context: Context
) -> None:
    """The first `index` leaves are there. Install-side BUSY is not fatal: the vCPU goes back and faults again.

    So it does whatever else went wrong, memory that is short included; but for a bug, which ends the VM. That the frame
    has an owner is one: somebody maps it still, and guest_memfd gave it out again. In a VM that died meanwhile the leaf
    is there, too: the teardown comes after it, and finds it.
    """
    if index:
        end = fault.start + index * PAGES[fault.level]
        kvm.mirror.set(fault.start, end, fault.level)
        context.observe(Leaf(kvm.vm, fault.start, end, Share.PRIVATE, fault.level))
    kvm.drop(FAULT, fault.access, context)
    if answer.status == Status.OK:
        done(kvm, fault, Outcome.RETRY, context.link, context)
    elif answer.status in (Status.BUG, Status.OWNED):
        forget(kvm, fault, context)
        kvm.bug("fault", Reason.BUG, answer.injected, context)
    else:
        enter_again(kvm, fault, context)


def enter_again(kvm: "KvmMmu", fault: PageFault, context: Context) -> None:
    """Nothing was installed: the vCPU executes again, and the module takes note of that."""
    forget(kvm, fault, context)
    context.observe(ReEntered(kvm.vm, fault.access, fault.start, fault.end))
    kvm_entry.enter(kvm, fault.access, max(fault.back, context.link), context)


def installed(kvm: "KvmMmu", fault: PageFault, context: Context) -> None:
    """The shared EPT maps the range, unless the VM died meanwhile: then its tables may be gone already."""
    if not kvm.dead:
        kvm.shared_ept.set(fault.start, fault.end, LEVEL_4K)
        context.observe(Leaf(kvm.vm, fault.start, fault.end, Share.SHARED, LEVEL_4K))
    kvm.drop(FAULT, fault.access, context)
    done(kvm, fault, Outcome.DONE, context.link, context)


def converted(kvm: "KvmMmu", message: m.ConvertAnswer, context: Context) -> None:
    """The VMM has dealt with the memory fault: the vCPU enters again, which the module counts, or gives up."""
    fault = kvm.faults.get(implicit_access(message.request))
    if fault is None or kvm.dead:
        return
    if message.reason is Reason.NONE and fault.share is Share.PRIVATE:
        enter_again(kvm, fault, context)
    elif message.reason is Reason.NONE:
        begin(kvm, fault, context)
    else:
        done(kvm, fault, Outcome.FAILED, context.cost("td_exit_roundtrip"), context)


def done(kvm: "KvmMmu", fault: PageFault, outcome: Outcome, delay: int, context: Context) -> None:
    """The fault is dealt with."""
    forget(kvm, fault, context)
    if outcome is Outcome.FAILED:
        context.observe(FaultFailed(kvm.vm, fault.access))
    if fault.share is Share.PRIVATE and (fault.suspect or outcome is Outcome.FAILED):
        elsewhere = outcome is Outcome.FAILED
        kvm_entry.enter(kvm, fault.access, max(delay, context.link), context, elsewhere)
        return
    finish(kvm, fault.access, outcome, delay, context)


def forget(kvm: "KvmMmu", fault: PageFault, context: Context) -> None:
    """The fault is over, and what it had in hand is free for others."""
    del kvm.faults[fault.access]
    if kvm.cache is not msgspec.UNSET:
        kvm_tables.thaw(kvm, fault)
        kvm_memory.release(kvm, fault.access, context)


def finish(kvm: "KvmMmu", access: int, outcome: Outcome, delay: int, context: Context) -> None:
    """Tell the vCPU."""
    context.send(kvm.vm | GUEST, m.Accessed(access, outcome), max(delay, context.link))
