"""The checks: each looks at one fact and the VM's books as they stand, and says in one line what is wrong, or None.

Checks marked "before" see the books as they were before the fact was entered.
"""

from actors import observations as o
from actors.address import kind_of, name_of
from actors.contract import ERRNO, KVMS, PAGES_2M, Consumer, Reason, Share, Trace
from actors.intervals import IntervalMap
from actors.locks.observations import LockAsked, LockWaited
from actors.protocols.marks import SPLIT
from actors.tdx.states import LEVEL_2M, Entry
from workloads.checkers.operation import Operation
from workloads.checkers.shadow import Shadow
from workloads.checkers.words import errno, order, side, span, who

Found = str | None
Taken = LockAsked | LockWaited
"""A lock is held from now on: by one who asked and need not wait, or who has waited."""
ORDER_2M = 9
CONSUMERS = {  # by their kind in an address
    "host_map": Consumer.HOST_MAP,
    "pins": Consumer.PINS,
    "iommu": Consumer.IOMMU,
}
ILOCK, MMU_LOCK = "ilock", "mmu_lock"
RANKS = {ILOCK: 1, MMU_LOCK: 2}  # of docs/domain.md section 2.9, growing inwards
# A member is slow to look up.
NONE, PRIVATE, SHARED, MAPPED = Reason.NONE, Share.PRIVATE, Share.SHARED, Entry.MAPPED
# The field that says whether memory comes into use with the fact.
ADDS: dict[type, str] = {
    o.Leaf: "level", o.HostPte: "present", o.Dma: "mapped", o.ShareStored: "end",
    o.Pinned: "held", o.Sept: "state",
}  # fmt: skip


def first_not(table: IntervalMap, start: int, end: int, value: int) -> tuple[int, int, int] | None:
    """The first run of the range that has another value."""
    if table.only(start, end, value):
        return None
    return next(run for run in table.runs(start, end) if run[2] != value)


def elsewhere(
    share: Share, tables: dict[str, IntervalMap], shadow: Shadow, start: int, end: int
) -> Found:
    """A page of this share that one of the tables still maps; but for what `told_of` excuses."""
    if shadow.share.only(start, end, 1 - share):
        return None
    for s, e, here in shadow.share.runs(start, end):
        if here != share:
            continue
        for name, table in tables.items():
            if table.only(s, e, 0):
                continue
            for first, last, mapped in table.runs(s, e):
                if mapped and not told_of(shadow, name, first, last):
                    return f"{span(first, last)} is {side(share)} and still in the {name}"
    return None


def told_of(shadow: Shadow, name: str, start: int, end: int) -> bool:
    """The window of F6, F5 and a second BUSY: who has this table could not unmap the range, said so, and the VM died.

    All else that is mapped is judged, the dead VM's as well.
    """
    devices = shadow.devices
    left = devices.left if name in devices.tables else shadow.left
    return shadow.dead and left.only(start, end, 1)


# --- state, when a conversion ends ---------------------------------------------------------------


def i1(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if shadow.closed:
        return None
    return elsewhere(PRIVATE, shadow.outside, shadow, op.begin.start, op.begin.end)


def i2(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if shadow.closed:
        return None
    tables = shadow.inside
    if len(shadow.strays.starts) > 1:
        tables = tables | {"PAMT": shadow.strays}
    return elsewhere(SHARED, tables, shadow, op.begin.start, op.begin.end)


def i5(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if shadow.closed:
        return None
    for start, end in op.poisoned if "share" in op.before else ():
        kept = next((run for run in shadow.order.runs(start, end) if run[2] >= 0), None)
        if kept:
            return (
                f"poisoned {span(kept[0], kept[1])} is still in the filemap, and the rest is stored"
            )
    for s, e, size in shadow.order.runs(op.begin.start, op.begin.end):
        if size >= 0:
            continue
        for first, last, hole in shadow.punched.runs(s, e):
            if not hole and not shadow.poison.only(first, last, 1):
                return f"{span(first, last)} has no folio in the filemap"
    return None


def i6(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if shadow.share.only(op.begin.start, op.begin.end, PRIVATE):
        return None
    for s, e, share in shadow.share.runs(op.begin.start, op.begin.end):
        for first, last, size in shadow.order.runs(s, e) if share == SHARED else ():
            if size > 0 and not shadow.punched.only(first, last, 1):
                return f"{span(first, last)} is shared and its folio is {order(size)}"
    return None


def i7(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    """But for leaves of which somebody said that he could not unmap them."""
    if shadow.closed:
        return None
    start, end = op.begin.start, op.begin.end
    for mirror in shadow.mirrors:
        for s, e, level in mirror.runs(start - 1 if start else 0, end + 1):
            if level != LEVEL_2M or not shadow.left.only(s, e, 0):
                continue
            first, last = s // PAGES_2M * PAGES_2M, -(-e // PAGES_2M) * PAGES_2M
            small = next((run for run in shadow.order.runs(first, last) if run[2] < 9), None)
            mixed = first_not(shadow.share, first, last, PRIVATE)
            leaf = f"a 2 MiB leaf in {span(first, last)} lies over"
            if small:
                return f"{leaf} folios of {order(small[2])} at {span(*small[:2])}"
            if mixed:
                return f"{leaf} {side(mixed[2])} {span(*mixed[:2])}"
    return None


def i7_new(shadow: Shadow, fact: o.Leaf) -> Found:
    """Before: a leaf of 2 MiB goes in over a folio as large."""
    if fact.level != LEVEL_2M:
        return None
    small = next((r for r in shadow.order.runs(fact.start, fact.end) if r[2] < ORDER_2M), None)
    return (
        f"a 2 MiB leaf at {span(fact.start, fact.end)} goes in over order {small}"
        if small
        else None
    )


def i13(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if shadow.dead:
        return None
    start, end = op.begin.start, op.begin.end
    for s, e, accepted in shadow.accepted.runs(start - 1 if start else 0, end + 1):
        bad = first_not(shadow.sept, s, e, MAPPED) if accepted else None
        if bad:
            return f"{span(bad[0], bad[1])} was accepted and is {Entry(bad[2]).name}"
    return None


def i14(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    return "the conversion ended with its invalidation still in progress" if op.frozen else None


def i14_changed(shadow: Shadow, fact: o.FolioOrder) -> Found:
    """Before: nobody maps, meanwhile, what is restructured under an invalidation."""
    for op in shadow.operations.values():
        for first, last in op.frozen.values() if op.begin.gmem == fact.gmem else ():
            if not first <= fact.start < fact.end <= last:
                where = f"the invalidation is of {span(first, last)}"
                return f"folios of {span(fact.start, fact.end)} change, and {where}"
    return None


def i22(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if fact.reason is not NONE:
        return None
    bad = first_not(shadow.share, op.begin.start, op.begin.end, op.begin.to)
    return (
        f"success was reported and {span(bad[0], bad[1])} is still {side(bad[2])}" if bad else None
    )


def l3(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    """But for KVMs that were asked to split, one file's after the other's, before anything was decided."""
    if op.astray or not op.ready:
        return op.astray or None
    ready = op.ready if op.decided is not None else op.ready.difference(KVMS)
    names = ", ".join(who(Consumer(consumer)) for consumer in sorted(ready))
    return f"READY of {names} met neither COMMIT nor ABORT" if ready else None


# --- single facts --------------------------------------------------------------------------------


def i1_new(shadow: Shadow, fact: o.HostPte | o.Dma) -> Found:
    added = fact.present if isinstance(fact, o.HostPte) else fact.mapped
    added = added and not shadow.devices.backing.apart
    bad = first_not(shadow.share, fact.start, fact.end, SHARED) if added else None
    return f"{span(bad[0], bad[1])} is private and was mapped outside the TD" if bad else None


def i4_new(shadow: Shadow, fact: o.Leaf | o.HostPte | o.Pinned | o.Sept) -> Found:
    """Before: nobody maps, or pins, what was given back to the host.

    A device's mapping of a hole stands for one that would have had frames first: see docs/design.md.
    """
    if len(shadow.freed.starts) == 1 or not getattr(fact, ADDS[type(fact)]):
        return None
    bad = first_not(shadow.freed, fact.start, fact.end, 0)
    kind = type(fact).__name__
    return (
        f"{span(bad[0], bad[1])} was given back to the host, and is in use ({kind})"
        if bad
        else None
    )


def i12(shadow: Shadow, fact: o.ConsumerReplied) -> Found:
    if fact.reason is NONE:
        if fact.consumer is shadow.consumer and fact.phase == "prepare":
            return promised(shadow, shadow.operations[fact.op])
        return None
    if shadow.operations[fact.op].settled:
        return f"{who(fact.consumer)} refused ({errno(fact.reason)}) after the decision to commit"
    return None


def promised(shadow: Shadow, op: Operation) -> Found:
    """KVM is READY: it has not said of a leaf that it cannot unmap it, and no entry is blocked where faults wait."""
    start, end = op.begin.start, op.begin.end
    for s, e, left in shadow.left.runs(start, end) if shadow.left.fragments > 1 else ():
        if left and not shadow.private.only(s, e, 0):
            return f"READY with leaves at {span(s, e)} that could not be unmapped before"
    frozen = op.frozen.get(shadow.vm)
    if not frozen or op.begin.to is PRIVATE:
        return None
    start, end = max(start, frozen[0]), min(end, frozen[1])
    for s, e, state in shadow.sept.runs(start, end):
        if state in (Entry.BLOCKED, Entry.PENDING_BLOCKED):
            return f"READY with {span(s, e)} blocked"
    return None


def i15(shadow: Shadow, fact: Taken) -> Found:
    """Before: an operation that holds a lock takes only locks further inside."""
    held = shadow.holding.get(fact.op, ())
    inner = max((lock for lock, _ in held), key=RANKS.__getitem__, default=None)
    if inner is None or RANKS[fact.lock] > RANKS[inner]:
        return None
    return f"{fact.lock} taken while holding {inner}"


def i15_invalidation(shadow: Shadow, fact: o.InvalidationBegin | o.InvalidationEnd) -> Found:
    """Before: it is begun and ended with mmu_lock, held for that alone."""
    held = shadow.holding.get(fact.op)
    inner = held[-1][0] if held else ""
    if fact.locked and inner != MMU_LOCK:
        return None
    what = "begins" if isinstance(fact, o.InvalidationBegin) else "ends"
    how = f"inside {inner}" if fact.locked else "without mmu_lock"
    return f"an invalidation {what} {how}"


def i15_freed(shadow: Shadow, fact: o.FramesFreed) -> Found:
    """Before: a file's frames go back while it is held, so that nobody looks them up."""
    for locks in shadow.holding.values():
        if any(lock == ILOCK for lock, _ in locks):
            return None
    return f"{span(fact.start, fact.end, 'pfn')} goes back with nobody holding ilock"


def i16_flushed(shadow: Shadow, fact: o.ShareStored) -> Found:
    """Before: no vCPU reaches through its TLB what is about to be private."""
    op = shadow.operations.get(fact.op)
    if op is None or not op.unflushed or fact.to is SHARED:
        return None
    return f"{span(fact.start, fact.end)} becomes private, and a TLB may have it as shared"


def i16_cached(shadow: Shadow, fact: o.ShareStored | o.Punched) -> Found:
    """Before: no cache writes private data back over what is shared, or somebody else's."""
    if len(shadow.cached.starts) == 1 or (isinstance(fact, o.ShareStored) and fact.to is PRIVATE):
        return None
    bad = first_not(shadow.cached, fact.start, fact.end, 0)
    if bad is None or shadow.left.only(*bad[:2], 1):
        return None
    return f"{span(bad[0], bad[1])} leaves the TD, and caches may have it with the TD's key"


def i17(shadow: Shadow, fact: o.Leaf) -> Found:
    """Before: a leaf goes in only where the attribute says its kind."""
    bad = first_not(shadow.share, fact.start, fact.end, fact.share) if fact.level else None
    if bad is None:
        return None
    leaf = f"a {side(fact.share)} leaf was installed"
    return f"{leaf} at {span(bad[0], bad[1])}, which is {side(bad[2])}"


def i19(shadow: Shadow, fact: o.Leaf | o.HostPte | o.Dma | o.ShareStored) -> Found:
    if len(shadow.poison.starts) == 1 or not getattr(fact, ADDS[type(fact)]):
        return None
    bad = first_not(shadow.poison, fact.start, fact.end, 0)
    if bad and isinstance(fact, o.Dma) and shadow.failed.only(bad[0], bad[1], 1):
        return None  # devices are not told of memory that has failed
    into = {o.Leaf: "KVM's tables", o.HostPte: "the host page table", o.Dma: "the IOMMU"}
    where = into.get(type(fact), "a conversion")
    return f"poisoned {span(bad[0], bad[1])} is back in {where}" if bad else None


def i19_told(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    """Whatever a consumer has told of is out of use when the conversion is over, as far as the mark reaches.

    In a folio that was huge then, a mark may be lost with it; one of the folio has all of it.
    """
    for start, end, size, trace in op.left:
        mark, table = shadow.mark, shadow.kept if trace == Trace.REFERENCE else shadow.poison
        first, last = start, end
        if size > 0 and mark.whole and trace != Trace.REFERENCE:  # on one page it holds the folio
            first, last = start >> size << size, -(-end >> size) << size
        lost = size > 0 and (not mark.survives or mark.takes == SPLIT)
        bad = None if lost and table.only(first, last, 0) else unmarked(table, first, last)
        if bad:
            left = f"{span(start, end)} could not be unmapped"
            return f"{left}, and nothing keeps {span(*bad)} out of use"
    return None


def unmarked(table: IntervalMap, start: int, end: int) -> tuple[int, int] | None:
    """The first run of the range that is 0 in the table."""
    return next((run[:2] for run in table.runs(start, end) if not run[2]), None)


def i23(shadow: Shadow, fact: o.Reserving) -> Found:
    """What a consumer asked for before the ABORT reached it, it asked in PREPARE."""
    op = shadow.operations.get(fact.op)
    if op is None or op.decided is not False:
        return None
    kind = kind_of(fact.asker)
    consumer = shadow.consumer if kind == "kvm" else CONSUMERS.get(kind)
    if consumer is not None and not op.has_answered(consumer):
        return None
    return f"{name_of(fact.asker)} asks for {fact.pages} pages of memory in ABORT"


def i23_failed(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    return f"{op.call} failed in KVM's ABORT, which has nothing to fail" if op.call else None


def an1(shadow: Shadow, fact: o.GuestAccess) -> Found:
    if fact.ok or shadow.dead or not shadow.accepted.pages(fact.start, fact.end, 1):
        return None
    now = Entry(shadow.sept.get(fact.start)).name
    where = span(fact.start, fact.end)
    return f"the guest touched {where}, which it had accepted: S-EPT was MAPPED and is {now}"


def an10(shadow: Shadow, fact: o.FramesKept) -> Found:
    """A folio that stays for a poisoned page of its own has that page's name."""
    start, end = fact.gfn, fact.gfn + fact.end - fact.start
    for first, last, folio in shadow.order.runs(start, end):
        size = 1 << max(folio, 0)
        for s, e, poisoned in shadow.poison.runs(first, last):
            for at in () if poisoned else range(s // size * size, e, size):
                if shadow.poison.only(at, at + size, 0):
                    lost = span(max(at, s), min(at + size, e))
                    return f"{lost} of a closed file never go back, and nobody has their names"
    return None


def an16(shadow: Shadow, fact: o.MapGpaFailed) -> Found:
    edge = fact.start + fact.converted
    rest = f"{span(fact.start, edge)} changed sides, {span(edge, fact.end)} did not"
    return f"one MapGPA failed half way: {rest}"


def an17(shadow: Shadow, fact: o.PrepareUndone) -> Found:
    return f"{span(fact.start, fact.end)} of a 2 MiB leaf that was not there when KVM said READY"


def an17_new(shadow: Shadow, fact: o.Leaf) -> Found:
    """A leaf of the side that is given up, wholly in the range of a conversion that KVM is ready for."""
    if not fact.level:
        return None
    for op in shadow.operations.values():
        inside = op.begin.start <= fact.start and fact.end <= op.begin.end
        if inside and shadow.consumer in op.ready and fact.share is not op.begin.to:
            return f"{span(fact.start, fact.end)} was mapped after KVM had said READY"
    return None


def an20_new(shadow: Shadow, fact: o.Leaf) -> Found:
    """Before: as I17, where no conversion is under way that would take the leaf out again."""
    if not fact.level or shadow.closed:
        return None
    for op in shadow.operations.values():
        if op.covers(fact.start, fact.end):
            return None
    return i17(shadow, fact)


def an20(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    """Leaves that somebody could not unmap are not stale: he said so."""
    start, end = op.begin.start, op.begin.end
    whole, share = shadow.share.run_at(start, end)
    others = shadow.mirrors if share == SHARED else shadow.shared_epts
    alone = len(others) == 1
    if shadow.closed or (alone and whole == end and others[0].only(start, end, 0)):
        return None
    for s, e, share in shadow.share.runs(start, end):
        others = shadow.mirrors if share == Share.SHARED else shadow.shared_epts
        for first, last, level in (run for other in others for run in other.runs(s, e)):
            bad = first_not(shadow.left, first, last, 1) if level else None
            if bad:
                return f"{span(bad[0], bad[1])} is {side(share)} with a {side(1 - share)} leaf"
    return None


def an21(shadow: Shadow, fact: o.FolioOrder) -> Found:
    """The folio changes now; a leaf whose unmap failed was told of."""
    if shadow.closed or not 0 <= fact.order < ORDER_2M:
        return None
    for mirror in shadow.mirrors:
        for s, e, level in mirror.runs(fact.start, fact.end):
            if level == LEVEL_2M and shadow.left.only(s, e, 0):
                return f"{span(s, e)} has folios of {order(fact.order)} under a leaf of 2 MiB"
    return None


def an24(shadow: Shadow, fact: o.VmBugged) -> Found:
    """Whoever held the lock, a bug it was not."""
    if fact.reason is not Reason.BUSY:
        return None
    return f"KVM_BUG_ON in {fact.site} by a second BUSY alone"


def i12_bugged(shadow: Shadow, fact: o.VmBugged) -> Found:
    """As AN28, but for what had a cause: a fault point, locks that others held, a queue held up, a page held again."""
    return None if caused(shadow, fact.reason) else an28(shadow, fact)


def caused(shadow: Shadow, reason: Reason) -> bool:
    """Has something led to a failure of this class that a conversion under way has met?"""
    return any(reason in op.causes for op in shadow.operations.values())


def an28(shadow: Shadow, fact: o.VmBugged) -> Found:
    """Where nothing may fail any more. What has not come to that point may still report it: see `late`."""
    settled = any(op.settled for op in shadow.operations.values())
    return hardware(fact.reason) if settled and fact.site.endswith("commit") else None


def late(shadow: Shadow, fact: o.ShareStored) -> Found:
    """The conversion goes on as if its unmap had not failed."""
    op = shadow.operations.get(fact.op)
    return hardware(op.late) if op and op.late else None


def late_at_end(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    return hardware(op.late) if op.late and fact.reason is not op.late else None


def hardware(reason: Reason) -> Found:
    """For people, if the reason is neither a bug nor none."""
    failed = reason not in (Reason.NONE, Reason.BUG, Reason.DEAD)
    return f"{errno(reason)} after the point of no return" if failed else None


def i18(shadow: Shadow, fact: o.NotifierError) -> Found:
    return an13(shadow, fact)


def an13(shadow: Shadow, fact: o.NotifierError) -> Found:
    if not fact.no_fail:
        return None
    return f"{fact.site}, which cannot fail, got {ERRNO[fact.reason]} from KVM's callback"


def an14(shadow: Shadow, fact: o.NotifierError) -> Found:
    if fact.blocking or fact.reason is Reason.REFERENCES:
        return None
    return f"{fact.site} must not block and got {ERRNO[fact.reason]}, not EAGAIN"
