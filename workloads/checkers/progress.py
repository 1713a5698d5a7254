"""Checks on waiting and trying again: what may take long, and what may not take for ever."""

from collections.abc import Callable, Iterator

from actors import observations as o
from actors.address import file_of
from actors.contract import PAGES_2M, Reason, Share
from actors.locks.observations import LockLeft
from actors.tdx.states import LEVEL_2M
from workloads.checkers.checks import MMU_LOCK, Found, Taken
from workloads.checkers.keep import EXIT_MMAP
from workloads.checkers.operation import Operation
from workloads.checkers.shadow import Shadow
from workloads.checkers.words import ms, side, span

# docs/domain.md section 14.
RETRIES_MAX = 1000  # R_max
T_SPIN_NS = 1_000_000_000
T_STALL_NS = 10_000_000
# After so long the kernel's watchdog reports a CPU that does not schedule; who holds mmu_lock does not.
T_HOLD_NS = 20_000_000_000


def an9(shadow: Shadow, fact: o.Spinning) -> Found:
    if fact.waited < T_SPIN_NS:
        return None
    return f"waits for references with ilock held, for {ms(fact.waited)} so far"


def an12(shadow: Shadow, fact: o.Retried) -> Found:
    if fact.stuck != RETRIES_MAX + 1:
        return None
    return f"the VMM has tried {fact.stuck} times in vain and goes on"


# --- who has no part in a conversion and waits for it all the same ------------------------------------


def an23_lock(shadow: Shadow, fact: o.FaultWaited) -> Found:
    """A conversion had the lock: one that has just ended, or one that is under way."""
    ended = shadow.last[1:] if shadow.last and shadow.last[0] == shadow.now else ()
    return stalled(fact, fact.wait, fact.lock, *shadow.operations.values(), *ended)


def an23_parked(shadow: Shadow, fact: o.FaultResumed) -> Found:
    """Ranges are frozen by whole leaves, which may reach beyond the range that is converted."""
    ended = shadow.thawed[1:] if shadow.thawed and shadow.thawed[0] == shadow.now else ()
    return stalled(fact, fact.waited, "the end of an invalidation", *ended)


def stalled(
    fact: o.FaultWaited | o.FaultResumed, wait: int, lock: str, *operations: Operation
) -> Found:
    """A fault waited too long for conversions of other ranges."""
    if wait <= T_STALL_NS or not operations:
        return None
    if any(operation.covers(fact.start, fact.end) for operation in operations):
        return None
    begin = operations[-1].begin
    where = f"{span(fact.start, fact.end)} waited {ms(wait)} for {lock}"
    return f"a fault at {where}, held for {span(begin.start, begin.end)}"


def an23_queue(shadow: Shadow, fact: o.IotlbQueued) -> Found:
    """All VMs behind one unit share its queue."""
    if fact.wait <= T_STALL_NS:
        return None
    return f"an invalidation of {span(fact.start, fact.end)} waited {ms(fact.wait)} behind others"


# --- locks -------------------------------------------------------------------------------------------


def an26(shadow: Shadow, fact: Taken) -> Found:
    """Before: two locks taken in both orders, or one inside itself: two such operations can wait for each other."""
    return inverted(shadow, fact.op, fact.lock)


def an26_invalidation(shadow: Shadow, fact: o.InvalidationBegin | o.InvalidationEnd) -> Found:
    """Before: it takes mmu_lock, and drops it."""
    return inverted(shadow, fact.op, MMU_LOCK)


def inverted(shadow: Shadow, op: int, inner: str) -> Found:
    """Does this operation hold a lock that was once taken inside the one that it takes, or that one itself?"""
    for outer, _ in shadow.holding.get(op, ()):
        if outer == inner or (inner, outer) in shadow.nested:
            return f"{inner} is wanted inside {outer}, which is taken inside {inner}"
    return None


def l2(shadow: Shadow, fact: LockLeft) -> Found:
    """Before: mmu_lock was held without sleep. A conversion may hold ilock as long as its range is large."""
    for lock, since in shadow.holding.get(fact.op, ()):
        if lock == fact.lock == MMU_LOCK and shadow.now - since > T_HOLD_NS:
            return f"{lock} was held for {ms(shadow.now - since)}"
    return None


# --- faults, retries, memory ---------------------------------------------------------------------------


def l5(shadow: Shadow, fact: o.FaultParked) -> Found:
    if fact.times != RETRIES_MAX + 1:
        return None
    return f"a fault at {span(fact.start, fact.end)} waits for one invalidation after the other"


def l6(shadow: Shadow, fact: o.GuestAccepted | o.GuestAccess) -> Found:
    got_through = not isinstance(fact, o.GuestAccess) or fact.ok
    if not got_through or fact.access not in shadow.stepping:
        return None
    start, end, _ = shadow.stepping[fact.access]
    return f"{span(start, end)} is in use and the module still looks for zero-steps there"


def l6_bound(shadow: Shadow, fact: o.ReEntered) -> Found:
    *_, times = shadow.stepping.get(fact.access, (0, 0, 0))
    if times != RETRIES_MAX:
        return None
    return f"{span(fact.start, fact.end)} was entered {RETRIES_MAX} times without progress"


def l7(shadow: Shadow, fact: o.ReferencesFound) -> Found:
    """What is refused without a cause is refused for ever. Short references are nobody's pins.

    Who holds a page that has the wanted state already, has it by right.
    """
    if fact.transient:
        return None
    to, page = shadow.operations[fact.op].begin.to, fact.page
    if shadow.share.get(page) != to and (shadow.pins.get(page) or shadow.kept.get(page)):
        return None
    for start, end, share in shadow.share.runs(fact.start, fact.end):
        free = shadow.pins.only(start, end, 0) and shadow.kept.only(start, end, 0)
        if share != to and not free:
            return f"{span(fact.start, fact.end)} is refused for a pin at {page:#x}, where none is"
    return f"{span(fact.start, fact.end)} is refused for pins, and nobody holds any that changes"


def l7_named(shadow: Shadow, fact: o.Failed) -> Found:
    """Before: a consumer refuses at the page or leaf that is in its way. Who names the wrong one is asked again."""
    op = shadow.operations.get(fact.op)
    if op is None or shadow.dead or fact.reason is Reason.DEAD:
        return None
    # Of one that does not answer nobody knows.
    asked = fact.phase in ASKED and fact.consumer in op.noes
    in_the_way = IN_THE_WAY.get(fact.consumer) if asked else None
    if in_the_way is None or in_the_way(shadow, op, fact):
        return None
    return f"{fact.consumer} refuses at gfn {fact.offset:#x}, where nothing is in its way"


def kvm_stands(shadow: Shadow, op: Operation, fact: o.Failed) -> bool:
    """A SEAMCALL on it has failed, or did before; or it lies in a leaf of 2 MiB that the range cuts through."""
    at, leaf = fact.offset, fact.offset // PAGES_2M * PAGES_2M
    if any(start <= at < end for start, end in op.trouble) or shadow.left.get(at):
        return True
    inside = op.begin.start <= leaf and leaf + PAGES_2M <= op.begin.end
    return shadow.private.get(leaf) == LEVEL_2M and not inside


def pins_stand(shadow: Shadow, op: Operation, fact: o.Failed) -> bool:
    """It was found to have a reference, or could not be looked at."""
    return fact.reason is not Reason.REFERENCES or fact.offset == op.seen


def iommu_stands(shadow: Shadow, op: Operation, fact: o.Failed) -> bool:
    """Some domain maps it. To shared it has nothing to unmap, and a no comes from outside the model."""
    if op.begin.to is Share.SHARED:
        return True
    return any(domain.mapped.get(fact.offset) for domain in shadow.devices.domains)


# Stages in which a consumer can say no.
ASKED = ("preparing", "checking", "splitting", "invalidating")
IN_THE_WAY: dict[str, Callable[[Shadow, Operation, o.Failed], bool]] = {
    "kvm_mmu": kvm_stands,
    "pins": pins_stand,
    "iommu": iommu_stands,
}


def l7_answered(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    """The answer names the place at which it failed, which is in its range."""
    if not op.begin.start <= fact.offset < op.begin.end:
        return (
            f"refused at gfn {fact.offset:#x}, which is not in {span(op.begin.start, op.begin.end)}"
        )
    if op.failed_at in (-1, fact.offset):
        return None
    return f"refused at gfn {fact.offset:#x}, and what failed was at {op.failed_at:#x}"


def l8(shadow: Shadow, fact: o.VmStopped) -> Found:
    """Before: unless the VM died of something else."""
    otherwise = shadow.dead or shadow.panicked or shadow.killed
    if otherwise or not any(op.short for op in shadow.operations.values()):
        return None
    return "the VMM was ended while its conversion, short of memory, held ilock"


# --- a VMM that is killed ------------------------------------------------------------------------------------


def i26(shadow: Shadow, fact: o.NotifierCalled) -> Found:
    """Before: the thread that is in the kernel holds the mm, so it is through.

    After a bug the VMM gives up by itself, and only a failable notifier asks. Other VMs on the inode convert nothing.
    """
    given_up = shadow.dead and not shadow.killed
    if fact.site != EXIT_MMAP or given_up or file_of(shadow.vm):
        return None
    for op in shadow.operations.values():
        return f"the mm goes while {under_way(op)} is under way"
    return None


def i26_begun(shadow: Shadow, fact: o.ConvertBegin) -> Found:
    """And none that had yet to take ilock comes after."""
    if shadow.exited <= 1:
        return None
    return f"a conversion of {span(fact.start, fact.end)} begins for a mm that is gone"


def i26_closed(shadow: Shadow, fact: o.FileClosed) -> Found:
    """Its files go last."""
    if not shadow.killed or shadow.exited:
        return None
    return "the file of a killed VMM is closed before its mm is gone"


# --- what must have ended when a run has -----------------------------------------------------------------


def under_way(operation: Operation) -> str:
    """For people."""
    begin = operation.begin
    return f"the conversion of {span(begin.start, begin.end)} to {side(begin.to)}"


def still_open(shadow: Shadow) -> Iterator[tuple[str, int, str]]:
    """(id, op or -1, text) of what would be L1, L2, L5 or I14 if nothing more happened. A conversion is its owner's."""
    for op, operation in () if file_of(shadow.vm) else shadow.operations.items():
        yield "L1", op, f"{under_way(operation)} was never answered"
    for op, locks in shadow.holding.items():
        for lock, since in locks:
            yield "L2", op, f"{lock}, taken at {ms(since)}, was never dropped"
    for op, (start, end) in shadow.frozen.items():
        if op not in shadow.operations:
            yield "I14", op, f"the invalidation of {span(start, end)} never ended"
    if shadow.kept_out >= 0 and not shadow.dead:
        yield "L2", -1, f"vCPUs are kept out of the guest since {ms(shadow.kept_out)}"
    for start, end, since in () if shadow.dead else shadow.parked.values():
        yield "L5", -1, f"a fault at {span(start, end)} waits since {ms(since)}"
    for start, end, since in () if shadow.dead else shadow.put_off:
        yield "L5", -1, f"a reference on {span(start, end)} is waited for since {ms(since)}"
