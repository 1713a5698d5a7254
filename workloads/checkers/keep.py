"""How the books follow the facts: what each kind of fact changes in them. KEEP is the table."""

from collections.abc import Callable
from typing import Any

from actors import observations as o
from actors.contract import Consumer, Reason, Share, Trace
from actors.locks.observations import LockAsked, LockLeft, LockWaited
from actors.tdx.states import Call, Cause, Entry, Status
from workloads.checkers.dma import forget
from workloads.checkers.operation import UNTOUCHED, Operation
from workloads.checkers.shadow import Shadow

# A member is slow to look up.
NONE, SHARED, PRIVATE = Reason.NONE, Share.SHARED, Share.PRIVATE
OK, BUSY, BLOCK, TRACK = Status.OK, Status.BUSY, Call.BLOCK, Call.TRACK

EXIT_MMAP = "N8 exit_mmap"  # of docs/domain.md section 2.8: the address space goes
DEVICE_POINTS = ("iommu.map", "iommu.timeout")  # what devices see is not what the VMM wants
FAULTS = (Call.AUG, Call.SEPT_ADD)  # whose BUSY sends the guest back to fault again


def convert_begin(shadow: Shadow, fact: o.ConvertBegin) -> None:
    shadow.operations[fact.op] = Operation(fact, shadow.now)
    shadow.keys.clear()
    shadow.key(fact)


def decided(shadow: Shadow, fact: o.Decided) -> None:
    shadow.operations[fact.op].decided = fact.commit


def no_return(shadow: Shadow, fact: o.NoReturn) -> None:
    shadow.operations[fact.op].no_return = True


def replied(shadow: Shadow, fact: o.ConsumerReplied) -> None:
    operation = shadow.operations[fact.op]
    agreed = fact.reason is NONE
    if not agreed:
        operation.noes.add(fact.consumer.name.lower())
        operation.named = fact.offset
    operation.answered(fact.consumer, fact.phase, agreed)


def share_stored(shadow: Shadow, fact: o.ShareStored) -> None:
    shadow.write("share", fact.start, fact.end, fact.to)
    shadow.devices.stored(fact)
    operation = shadow.operations.get(fact.op)
    if operation:
        operation.late = Reason.NONE
    if fact.to is SHARED:
        shadow.write("accepted", fact.start, fact.end, 0)
    elif operation and operation.begin.to is SHARED:
        taken_back(shadow, operation, fact.start, fact.end)


def taken_back(shadow: Shadow, operation: Operation, start: int, end: int) -> None:
    """A conversion that failed has undone its store: to the guest, what it had accepted is so still."""
    before = operation.before.get("accepted")
    for first, last, was in before.runs(start, end) if before else ():
        if was != UNTOUCHED:
            shadow.accepted.set(first, last, was)


def folio_order(shadow: Shadow, fact: o.FolioOrder) -> None:
    shadow.write("order", fact.start, fact.end, fact.order)
    if fact.order < 0:
        for operation in shadow.operations.values():
            operation.emptied = True
    if fact.order >= 0:
        forget(shadow.punched, fact.start, fact.end)


def hole(shadow: Shadow, fact: o.Punched) -> None:
    shadow.punched.set(fact.start, fact.end, 1)
    shadow.accepted.set(fact.start, fact.end, 0)


def memory_failed(shadow: Shadow, fact: o.MemoryFailed) -> None:
    """Nothing of it is accepted any more, nobody may have it again, and no conversion has to bring it back."""
    shadow.accepted.set(fact.start, fact.end, 0)
    shadow.poison.set(fact.start, fact.end, 1)
    shadow.failed.set(fact.start, fact.end, 1)


def stashed(shadow: Shadow, fact: o.Stashed) -> None:
    shadow.stashing = True
    shadow.write("stash", fact.start, fact.end, int(fact.present))


def poison_set(shadow: Shadow, fact: o.PoisonSet) -> None:
    shadow.poison.set(fact.start, fact.end, 1)
    if fact.op in shadow.operations:
        shadow.operations[fact.op].poisoned.append((fact.start, fact.end))


def left_mapped(shadow: Shadow, fact: o.LeftMapped) -> None:
    if fact.op in shadow.operations and fact.trace != Trace.NONE:
        for start, end, size in shadow.order.runs(fact.start, fact.end):
            shadow.operations[fact.op].left.append((start, end, size, fact.trace))
    left = shadow.devices.left if fact.consumer is Consumer.IOMMU else shadow.left
    left.set(fact.start, fact.end, 1)


def sept_set(shadow: Shadow, fact: o.Sept) -> None:
    if not shadow.closed and not fact.state:
        removed(shadow, fact)
    else:
        forget(shadow.cached, fact.start, fact.end)
    shadow.write("sept", fact.start, fact.end, fact.state)


def removed(shadow: Shadow, fact: o.Sept) -> None:
    """Caches may have what was blocked; a teardown takes entries out as they are, and tells of no call."""
    for start, end, state in shadow.sept.runs(fact.start, fact.end):
        if state in (Entry.BLOCKED, Entry.PENDING_BLOCKED):
            shadow.cached.set(start, end, 1)


def caches_written(shadow: Shadow, fact: o.CachesWritten) -> None:
    forget(shadow.cached, fact.start, fact.end)


def pamt_counted(shadow: Shadow, fact: o.PamtCounted) -> None:
    if shadow.pamt:
        shadow.pamt.told.set(fact.start, fact.end, fact.count)


def seamcall(shadow: Shadow, fact: o.SeamcallAnswered) -> None:
    again = bool(shadow.retrying) and fact.op in shadow.retrying
    if again:
        shadow.retrying.remove(fact.op)
    if fact.call == BLOCK:  # one that fails may have blocked what lies before
        shadow.blocked = shadow.epoch
        shadow.in_hand = fact.op, fact.start, fact.end
    if fact.status != OK:
        shadow.key(fact)
        if fact.status == Status.BUSY and not again and fact.call not in FAULTS:
            shadow.retrying.add(fact.op)
        operation = shadow.operations.get(fact.op)
        if operation:
            if (fact.start, fact.end) not in operation.trouble:
                operation.trouble += ((fact.start, fact.end),)
            aborts = operation.decided is False
            if aborts and operation.has_answered(shadow.consumer):
                operation.call = Call(fact.call).name
    elif fact.call == TRACK:
        shadow.epoch += 1
    if fact.status == BUSY or fact.op == shadow.busy[0]:
        met_busy(shadow, fact, again)
    if fact.status == Status.IN_USE and shadow.holds(fact.start, fact.end):
        because(shadow, fact.op, Reason.REFERENCES)


def met_busy(shadow: Shadow, fact: o.SeamcallAnswered, again: bool) -> None:
    """By a fault point, or by whoever held the lock: twice in a row is what the one retry does not help against.

    A fault's call is none of those that are tried `again` with the vCPUs out: it leaves nothing blocked.
    """
    if fact.status != BUSY or fact.cause == Cause.CALLER:
        shadow.busy = (-1, 0)
        return
    op, times = shadow.busy
    shadow.busy = (fact.op, times + 1 if op == fact.op else 1)
    if shadow.busy[1] > 1:
        if again:
            shadow.stuck = fact.start, fact.end
        because(shadow, fact.op, Reason.BUSY)


def because(shadow: Shadow, op: int, reason: Reason) -> None:
    """Why the conversion may fail, if it is one."""
    if op in shadow.operations:
        shadow.operations[op].causes.add(reason)


def struck(shadow: Shadow, fact: o.FaultStruck) -> None:
    if fact.reason is not Reason.BUSY or not fact.point.startswith("tdx."):  # these are tried again
        because(shadow, fact.op, fact.reason)
    if fact.point in DEVICE_POINTS:
        shadow.devices.held_up(fact.start, fact.end)


def epoch_drained(shadow: Shadow, _: o.EpochDrained) -> None:
    shadow.drained = shadow.epoch
    shadow.all_out = shadow.kept_out >= 0


def invalidation_begin(shadow: Shadow, fact: o.InvalidationBegin) -> None:
    """Another range of a conversion widens the first, as in KVM."""
    start, end = shadow.frozen.get(fact.op) or (fact.start, fact.end)
    frozen = shadow.frozen[fact.op] = (min(start, fact.start), max(end, fact.end))
    operation = shadow.operations.get(fact.op)
    if operation:
        operation.frozen[fact.vm] = frozen
        operation.thawed = False


def invalidation_end(shadow: Shadow, fact: o.InvalidationEnd) -> None:
    shadow.frozen.pop(fact.op, None)
    operation = shadow.operations.get(fact.op)
    if operation:
        operation.frozen.pop(fact.vm, None)
        operation.thawed = True
        shadow.thawed = (shadow.now, operation)


def leaf(shadow: Shadow, fact: o.Leaf) -> None:
    if fact.share is PRIVATE:
        shadow.private.set(fact.start, fact.end, fact.level)
    else:
        shadow.shared.set(fact.start, fact.end, fact.level)
        if fact.op in shadow.operations:
            shadow.operations[fact.op].unflushed = True
    if not fact.level:
        forget(shadow.left, fact.start, fact.end)


def flushed(shadow: Shadow, fact: o.TlbFlushed) -> None:
    if fact.op in shadow.operations:
        shadow.operations[fact.op].unflushed = False


def vcpus_kept(shadow: Shadow, fact: o.VcpusKept) -> None:
    shadow.kept_out = shadow.now if fact.out else -1
    shadow.all_out = False
    if not fact.out:
        shadow.stuck = None


def host_pte(shadow: Shadow, fact: o.HostPte) -> None:
    shadow.write("pte", fact.start, fact.end, int(fact.present))


def mm_unmapped(shadow: Shadow, fact: o.MmUnmapped) -> None:
    """Nobody's loss: what the mm takes from its own page tables, no conversion has to put back."""
    shadow.pte.set(fact.start, fact.end, 0)


def dma_mapped(shadow: Shadow, fact: o.Dma) -> None:
    for operation in shadow.operations.values():
        if not operation.settled:  # what goes after that has not to come back
            name = shadow.devices.names[fact.listener]
            operation.remember(name, shadow.devices.tables[name], fact.start, fact.end)
    shadow.devices.map(fact)


def dmar_fault(shadow: Shadow, fact: o.DmarFault) -> None:
    """The first one that meets what a conversion has taken away is worth telling, not a stream of them."""
    if shadow.devices.fault(fact):
        shadow.key(fact)


def iotlb_queued(shadow: Shadow, fact: o.IotlbQueued) -> None:
    shadow.devices.queued(fact, shadow.now)
    if fact.took >= shadow.devices.backing.patience:
        shadow.devices.held_up(fact.start, fact.end)
        for operation in shadow.operations.values():
            if operation.covers(fact.start, fact.end):
                operation.causes.add(Reason.TIMEOUT)


def side_discarded(shadow: Shadow, fact: o.SideDiscarded) -> None:
    shadow.devices.discarded(fact)


def bitmap_set(shadow: Shadow, fact: o.Bitmap) -> None:
    shadow.bitmap.set(fact.start, fact.end, fact.to)


def guest_accepted(shadow: Shadow, fact: o.GuestAccepted) -> None:
    shadow.accepted.set(fact.start, fact.end, 1)
    forget(shadow.halfway, fact.start, fact.end)


def guest_released(shadow: Shadow, fact: o.GuestReleased) -> None:
    """No conversion that is under way has taken it, or has to bring it back."""
    shadow.accepted.set(fact.start, fact.end, 0)
    for operation in shadow.operations.values():
        before = operation.before.get("sept")
        if before is None:
            continue
        for start, end, was in before.runs(fact.start, fact.end):
            if was == Entry.MAPPED:
                before.set(start, end, Entry.PENDING)


def accessed(shadow: Shadow, fact: o.GuestAccess) -> None:
    """docs/domain.md section 5: what was lost with a conversion is AN1, what half a MapGPA left is AN16."""
    start, end = fact.start, fact.end
    if fact.ok or shadow.dead or shadow.accepted.pages(start, end, 1):
        return
    shadow.own_faults += shadow.halfway.only(start, end, 0)


def map_gpa_failed(shadow: Shadow, fact: o.MapGpaFailed) -> None:
    shadow.halfway.set(fact.start, fact.start + fact.converted, 1)


def huge_lost(shadow: Shadow, fact: o.HugeLost) -> None:
    if fact.op in shadow.operations:
        shadow.operations[fact.op].lost += fact.leaves


def lock_taken(shadow: Shadow, fact: LockAsked | LockWaited) -> None:
    held = shadow.holding.setdefault(fact.op, [])
    for outer, _ in held:
        if (outer, fact.lock) not in shadow.nested:
            shadow.nested.append((outer, fact.lock))
    held.append((fact.lock, shadow.now))


def lock_left(shadow: Shadow, fact: LockLeft) -> None:
    held = shadow.holding.get(fact.op, [])
    last = max((at for at, (lock, _) in enumerate(held) if lock == fact.lock), default=-1)
    if last >= 0:
        del held[last]
    if not held:
        shadow.holding.pop(fact.op, None)


def references(shadow: Shadow, fact: o.ReferencesFound) -> None:
    operation = shadow.operations[fact.op]
    operation.transient, operation.seen = fact.transient, fact.page


def bugged(shadow: Shadow, fact: o.VmBugged) -> None:
    shadow.dead = True
    if fact.site.endswith("commit"):
        for operation in shadow.operations.values():
            if not operation.settled:
                operation.late = fact.reason


def told(shadow: Shadow, fact: o.Failed) -> None:
    """The conversion tells of the failure, as of any other."""
    operation = shadow.operations.get(fact.op)
    if operation is None:
        return
    operation.failed_at = fact.offset
    if operation.late is fact.reason:
        operation.late = Reason.NONE
    operation.blamed, operation.culprit = fact.consumer, operation.named


def pinned(shadow: Shadow, fact: o.Pinned) -> None:
    step = 1 if fact.held else -1
    for start, end, count in shadow.pins.runs(fact.start, fact.end):
        shadow.pins.set(start, end, max(count + step, 0))


def counts_thawed(shadow: Shadow, fact: o.CountsThawed) -> None:
    shadow.put_off.clear()
    if fact.op in shadow.operations:
        shadow.operations[fact.op].thawed_counts = True


def gup_waits(shadow: Shadow, fact: o.GupWaits) -> None:
    shadow.put_off.append((fact.start, fact.end, shadow.now))


def reference_kept(shadow: Shadow, fact: o.ReferenceKept) -> None:
    for start, end, count in shadow.kept.runs(fact.start, fact.end):
        shadow.kept.set(start, end, count + 1)


def memory_refused(shadow: Shadow, fact: o.MemoryRefused) -> None:
    shadow.pool.had -= fact.pages
    if fact.op in shadow.operations:
        operation = shadow.operations[fact.op]
        operation.short = True
        operation.pages -= fact.pages


def reserving(shadow: Shadow, fact: o.Reserving) -> None:
    shadow.pool.had += fact.pages
    operation = shadow.operations.get(fact.op)
    if operation:
        operation.pages += fact.pages


def reserve_settled(shadow: Shadow, fact: o.ReserveSettled) -> None:
    shadow.pool.owed += fact.returned
    operation = shadow.operations.get(fact.op)
    if operation:
        operation.pages -= fact.used + fact.returned


def pages_returned(shadow: Shadow, fact: o.PagesReturned) -> None:
    shadow.pool.returned(fact)


def fault_parked(shadow: Shadow, fact: o.FaultParked) -> None:
    shadow.parked[fact.access] = (fact.start, fact.end, shadow.now)


def fault_resumed(shadow: Shadow, fact: o.FaultResumed) -> None:
    shadow.parked.pop(fact.access, None)


def re_entered(shadow: Shadow, fact: o.ReEntered) -> None:
    at, _, times = shadow.stepping.get(fact.access, (fact.start, 0, 0))
    if at != fact.start:  # it has come on that far
        times = 0
    shadow.stepping[fact.access] = (fact.start, fact.end, times + 1)


def came_on(shadow: Shadow, fact: o.ListEmptied | o.FaultFailed) -> None:
    shadow.stepping.pop(fact.access, None)


def guest_panicked(shadow: Shadow, _: o.GuestPanicked) -> None:
    shadow.panicked = True


def vmm_killed(shadow: Shadow, _: o.VmmKilled) -> None:
    shadow.killed = True


def notified(shadow: Shadow, fact: o.NotifierCalled) -> None:
    if fact.site == EXIT_MMAP:
        shadow.exited = 1 + shadow.killed


def answered(shadow: Shadow, fact: o.Answered) -> None:
    shadow.devices.answered(fact)


def stopped(shadow: Shadow, _: o.VmStopped) -> None:
    shadow.dead = True


def file_closed(shadow: Shadow, _: o.FileClosed) -> None:
    shadow.closed = True


KEEP: dict[type, Callable[[Shadow, Any], None]] = {
    o.ConvertBegin: convert_begin,
    o.Decided: decided,
    o.NoReturn: no_return,
    o.ConsumerReplied: replied,
    o.ShareStored: share_stored,
    o.FolioOrder: folio_order,
    o.Stashed: stashed,
    o.PoisonSet: poison_set,
    o.Punched: hole,
    o.MemoryFailed: memory_failed,
    o.LeftMapped: left_mapped,
    o.FaultStruck: struck,
    o.Sept: sept_set,
    o.PamtCounted: pamt_counted,
    o.SeamcallAnswered: seamcall,
    o.CachesWritten: caches_written,
    o.EpochDrained: epoch_drained,
    o.InvalidationBegin: invalidation_begin,
    o.InvalidationEnd: invalidation_end,
    o.Leaf: leaf,
    o.TlbFlushed: flushed,
    o.VcpusKept: vcpus_kept,
    o.HostPte: host_pte,
    o.MmUnmapped: mm_unmapped,
    o.Dma: dma_mapped,
    o.DmarFault: dmar_fault,
    o.IotlbQueued: iotlb_queued,
    o.SideDiscarded: side_discarded,
    o.Bitmap: bitmap_set,
    o.Answered: answered,
    o.GuestAccepted: guest_accepted,
    o.GuestReleased: guest_released,
    o.GuestAccess: accessed,
    o.MapGpaFailed: map_gpa_failed,
    o.HugeLost: huge_lost,
    LockAsked: lock_taken,
    LockWaited: lock_taken,
    LockLeft: lock_left,
    o.ReferencesFound: references,
    o.VmBugged: bugged,
    o.Failed: told,
    o.Pinned: pinned,
    o.ReferenceKept: reference_kept,
    o.CountsThawed: counts_thawed,
    o.GupWaits: gup_waits,
    o.MemoryRefused: memory_refused,
    o.Reserving: reserving,
    o.ReserveSettled: reserve_settled,
    o.PagesReturned: pages_returned,
    o.FaultParked: fault_parked,
    o.FaultResumed: fault_resumed,
    o.ReEntered: re_entered,
    o.ListEmptied: came_on,
    o.FaultFailed: came_on,
    o.GuestPanicked: guest_panicked,
    o.VmmKilled: vmm_killed,
    o.NotifierCalled: notified,
    o.VmStopped: stopped,
    o.FileClosed: file_closed,
}
