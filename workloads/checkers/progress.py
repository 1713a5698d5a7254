"""Checks on waiting and trying again: what may take long, and what may not take for ever."""

from collections.abc import Iterator

from actors import observations as o
from workloads.checkers.checks import Found, lock_name, span
from workloads.checkers.operation import Operation
from workloads.checkers.shadow import MMU_LOCK, Shadow

# docs/domain.md section 14.
RETRIES_MAX = 1000  # R_max
T_SPIN_NS = 1_000_000_000
T_STALL_NS = 10_000_000
# After so long the kernel's watchdog reports a CPU that does not schedule; who holds mmu_lock does not.
T_HOLD_NS = 20_000_000_000


def ms(duration: int) -> str:
    """For people."""
    return f"{duration / 1e6:.4g} ms"


def an9(shadow: Shadow, fact: o.Spinning) -> Found:
    if fact.waited < T_SPIN_NS:
        return None
    return f"waits for references with ilock held, for {ms(fact.waited)} so far"


def an12(shadow: Shadow, fact: o.Retried) -> Found:
    return "the VMM retries for ever" if fact.attempt == RETRIES_MAX + 1 else None


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


def an26(shadow: Shadow, fact: o.LockOrder) -> Found:
    """Before: two locks taken in both orders, or one inside itself: two such operations can wait for each other."""
    held = shadow.holding.get(fact.op) if fact.taken else None
    if not held:
        return None
    for rank, _ in held:
        if rank == fact.rank or (fact.rank, rank) in shadow.nested:
            inner, outer = lock_name(fact.rank), lock_name(rank)
            return f"{inner} is wanted inside {outer}, which is taken inside {inner}"
    return None


def l2(shadow: Shadow, fact: o.LockOrder) -> Found:
    """Before: mmu_lock was held without sleep. A conversion may hold ilock as long as its range is large."""
    if fact.taken or fact.rank < MMU_LOCK:
        return None
    for rank, since in shadow.holding.get(fact.op, ()):
        if rank == fact.rank and shadow.now - since > T_HOLD_NS:
            return f"{lock_name(fact.rank)} was held for {ms(shadow.now - since)}"
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
    to = shadow.operations[fact.op].begin.to
    for start, end, share in shadow.share.runs(fact.start, fact.end):
        free = shadow.pins.only(start, end, 0) and shadow.kept.only(start, end, 0)
        if share != to and not free:
            return None
    return f"{span(fact.start, fact.end)} is refused for pins, and nobody holds any that changes"


def l8(shadow: Shadow, fact: o.VmStopped) -> Found:
    """Before: unless the VM died of something else."""
    if shadow.dead or shadow.panicked or not any(op.short for op in shadow.operations.values()):
        return None
    return "the VMM was ended while its conversion, short of memory, held ilock"


# --- what must have ended when a run has -----------------------------------------------------------------


def still_open(shadow: Shadow) -> Iterator[tuple[str, int, str]]:
    """(id, op or -1, text) of what would be L1, L2, L5 or I14 if nothing more happened."""
    for op, operation in shadow.operations.items():
        begin = operation.begin
        where = f"the conversion of {span(begin.start, begin.end)} to {begin.to.name}"
        yield "L1", op, f"{where} was never answered"
    for op, locks in shadow.holding.items():
        for rank, since in locks:
            yield "L2", op, f"{lock_name(rank)}, taken at {ms(since)}, was never dropped"
    for op, (start, end) in shadow.frozen.items():
        if op not in shadow.operations:
            yield "I14", op, f"the invalidation of {span(start, end)} never ended"
    for start, end, since in () if shadow.dead else shadow.parked.values():
        yield "L5", -1, f"a fault at {span(start, end)} waits since {ms(since)}"
