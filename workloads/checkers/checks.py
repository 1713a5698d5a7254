"""The checks: each looks at one fact and the VM's books as they stand, and says in one line what is wrong, or None.

Checks marked "before" see the books as they were before the fact was entered.
"""

from actors import observations as o
from actors.contract import ERRNO, PAGES_2M, Consumer, Reason, Share
from actors.intervals import IntervalMap
from actors.tdx_states import LEVEL_2M, Entry
from workloads.checkers.operation import Operation
from workloads.checkers.shadow import ILOCK, MMU_LOCK, Shadow

Found = str | None
ORDER_2M = 9
LOCKS = {ILOCK: "ilock", MMU_LOCK: "mmu_lock"}


def span(start: int, end: int) -> str:
    """For people: a range in hexadecimal frame numbers."""
    return f"gfn {start:#x}..{end:#x}"


def lock_name(rank: int) -> str:
    """Of a lock of docs/domain.md section 2.9."""
    return LOCKS.get(rank, f"a lock of rank {rank}")


def first_not(table: IntervalMap, start: int, end: int, value: int) -> tuple[int, int, int] | None:
    """The first run of the range that has another value."""
    if table.only(start, end, value):
        return None
    return next(run for run in table.runs(start, end) if run[2] != value)


def elsewhere(
    share: Share, tables: dict[str, IntervalMap], shadow: Shadow, start: int, end: int
) -> Found:
    """A page of this share that one of the tables still maps; but for what `told_of` excuses."""
    for s, e, side in shadow.share.runs(start, end):
        if side != share:
            continue
        for name, table in tables.items():
            if table.only(s, e, 0):
                continue
            for first, last, mapped in table.runs(s, e):
                if mapped and not told_of(shadow, name, first, last):
                    return f"{span(first, last)} is {share.name} and still in the {name}"
    return None


def told_of(shadow: Shadow, name: str, start: int, end: int) -> bool:
    """The window of F6, F5 and a second BUSY: who has this table could not unmap the range, said so, and the VM died.

    All else that is mapped is judged, the dead VM's as well.
    """
    devices = shadow.devices
    left = devices.left if name in devices.tables() else shadow.left
    return shadow.dead and left.only(start, end, 1)


# --- state, when a conversion ends ---------------------------------------------------------------


def i1(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if shadow.closed:
        return None
    return elsewhere(Share.PRIVATE, shadow.outside, shadow, op.begin.start, op.begin.end)


def i2(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if shadow.closed:
        return None
    tables = {"S-EPT": shadow.sept, "mirror": shadow.private}
    return elsewhere(Share.SHARED, tables, shadow, op.begin.start, op.begin.end)


def i5(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if shadow.closed:
        return None
    for s, e, order in shadow.order.runs(op.begin.start, op.begin.end):
        if order >= 0:
            continue
        for first, last, hole in shadow.punched.runs(s, e):
            if not hole and not shadow.poison.only(first, last, 1):
                return f"{span(first, last)} has no folio in the filemap"
    return None


def i6(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    for s, e, share in shadow.share.runs(op.begin.start, op.begin.end):
        for first, last, order in shadow.order.runs(s, e) if share == Share.SHARED else ():
            if order > 0 and not shadow.punched.only(first, last, 1):
                return f"{span(first, last)} is SHARED with folios of order {order}"
    return None


def i7(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    """But for leaves of which somebody said that he could not unmap them."""
    if shadow.closed:
        return None
    for s, e, level in shadow.private.runs(max(0, op.begin.start - 1), op.begin.end + 1):
        if level != LEVEL_2M or not shadow.left.only(s, e, 0):
            continue
        first, last = s // PAGES_2M * PAGES_2M, -(-e // PAGES_2M) * PAGES_2M
        small = next((run for run in shadow.order.runs(first, last) if run[2] < 9), None)
        mixed = first_not(shadow.share, first, last, Share.PRIVATE)
        if small or mixed:
            return f"a 2 MiB leaf in {span(first, last)} lies over order {small} or share {mixed}"
    return None


def i13(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if shadow.dead:
        return None
    for s, e, accepted in shadow.accepted.runs(max(0, op.begin.start - 1), op.begin.end + 1):
        bad = first_not(shadow.sept, s, e, Entry.MAPPED) if accepted else None
        if bad:
            return f"{span(bad[0], bad[1])} was accepted and is {Entry(bad[2]).name}"
    return None


def i14(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if op.begin.op not in shadow.frozen:
        return None
    return "the conversion ended with its invalidation still in progress"


def i22(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if fact.reason is not Reason.NONE:
        return None
    bad = first_not(shadow.share, op.begin.start, op.begin.end, op.begin.to)
    return f"success was reported and {span(bad[0], bad[1])} is not converted" if bad else None


def l3(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    return (
        f"READY of consumers {sorted(op.ready)} met neither COMMIT nor ABORT" if op.ready else None
    )


# --- single facts --------------------------------------------------------------------------------


def i1_new(shadow: Shadow, fact: o.HostPte | o.Dma) -> Found:
    added = fact.present if isinstance(fact, o.HostPte) else fact.mapped
    added = added and not shadow.devices.backing.apart
    bad = first_not(shadow.share, fact.start, fact.end, Share.SHARED) if added else None
    return f"{span(bad[0], bad[1])} is PRIVATE and was mapped outside the TD" if bad else None


def i9_dropped(shadow: Shadow, fact: o.Pinned) -> Found:
    """Before: a count never goes below zero."""
    for start, end, count in () if fact.held else shadow.pins.runs(fact.start, fact.end):
        if not count:
            return f"a reference on {span(start, end)} was dropped that nobody had"
    return None


def i9_restructured(shadow: Shadow, fact: o.FolioOrder) -> Found:
    """Before: counts are frozen while a folio is split or merged, which takes that nobody has one of the pages.

    Held over the range that is converted: that is where guest_memfd looks for references.
    """
    if fact.order < 0 or shadow.pins.fragments == 1 == shadow.kept.fragments:
        return None
    if shadow.order.only(fact.start, fact.end, fact.order):
        return None
    for op in shadow.operations.values():
        start, end = max(fact.start, op.begin.start), min(fact.end, op.begin.end)
        for table in (shadow.pins, shadow.kept) if start < end else ():
            bad = first_not(table, start, end, 0)
            if bad:
                return f"folios of {span(bad[0], bad[1])} split or merged with references on them"
    return None


def i12(shadow: Shadow, fact: o.ConsumerReplied) -> Found:
    if fact.reason is not Reason.NONE and shadow.operations[fact.op].settled:
        return f"{fact.consumer.name} refused ({fact.reason.name}) after the decision to commit"
    return None


def i15(shadow: Shadow, fact: o.LockOrder) -> Found:
    """Before: an operation that holds a lock takes only locks further inside."""
    held = shadow.holding.get(fact.op) if fact.taken else None
    if not held:
        return None
    inner = max(rank for rank, _ in held)
    if fact.rank > inner:
        return None
    return f"{lock_name(fact.rank)} taken while holding {lock_name(inner)}"


def i17(shadow: Shadow, fact: o.Leaf) -> Found:
    """Before: a leaf goes in only where the attribute says its kind."""
    bad = first_not(shadow.share, fact.start, fact.end, fact.share) if fact.level else None
    return f"a {fact.share.name} leaf was installed at {span(bad[0], bad[1])}" if bad else None


def i19(shadow: Shadow, fact: o.Leaf | o.HostPte | o.Dma | o.ShareStored) -> Found:
    adds = {o.Leaf: "level", o.HostPte: "present", o.Dma: "mapped", o.ShareStored: "end"}
    if not getattr(fact, adds[type(fact)]):
        return None
    bad = first_not(shadow.poison, fact.start, fact.end, 0)
    if bad and isinstance(fact, o.Dma) and shadow.failed.only(bad[0], bad[1], 1):
        return None  # devices are not told of memory that has failed
    return (
        f"poisoned {span(bad[0], bad[1])} is back in use ({type(fact).__name__})" if bad else None
    )


def i23(shadow: Shadow, fact: o.Reserving) -> Found:
    op = shadow.operations.get(fact.op)
    return "memory was asked for during ABORT" if op and op.decided is False else None


def an1(shadow: Shadow, fact: o.GuestAccess) -> Found:
    if fact.ok or shadow.dead or not shadow.accepted.pages(fact.start, fact.end, 1):
        return None
    return f"the guest touched {span(fact.start, fact.end)}, accepted and mapped no more"


def an10(shadow: Shadow, fact: o.FramesKept) -> Found:
    """A folio that stays for a poisoned page of its own has that page's name."""
    start, end = fact.gfn, fact.gfn + fact.end - fact.start
    for first, last, order in shadow.order.runs(start, end):
        size = 1 << max(order, 0)
        for s, e, poisoned in shadow.poison.runs(first, last):
            for at in () if poisoned else range(s // size * size, e, size):
                if shadow.poison.only(at, at + size, 0):
                    lost = span(max(at, s), min(at + size, e))
                    return f"{lost} of a closed file never go back, and nobody has their names"
    return None


def an16(shadow: Shadow, fact: o.MapGpaFailed) -> Found:
    return f"MapGPA of {span(fact.start, fact.end)} failed after {fact.converted} pages"


def an17(shadow: Shadow, fact: o.PrepareUndone) -> Found:
    return f"{span(fact.start, fact.end)} of a 2 MiB leaf that was not there when KVM said READY"


def an17_new(shadow: Shadow, fact: o.Leaf) -> Found:
    """A leaf of the side that is given up, wholly in the range of a conversion that KVM is ready for."""
    if not fact.level:
        return None
    for op in shadow.operations.values():
        inside = op.begin.start <= fact.start and fact.end <= op.begin.end
        if inside and Consumer.KVM_MMU in op.ready and fact.share is not op.begin.to:
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
    whole, side = shadow.share.run_at(start, end)
    other = shadow.private if side == Share.SHARED else shadow.shared
    if shadow.closed or (whole == end and other.only(start, end, 0)):
        return None
    for s, e, side in shadow.share.runs(start, end):
        other = shadow.private if side == Share.SHARED else shadow.shared
        for first, last, level in other.runs(s, e):
            bad = first_not(shadow.left, first, last, 1) if level else None
            if bad:
                kind = Share(1 - side).name
                return f"{span(bad[0], bad[1])} is {Share(side).name} with a {kind} leaf"
    return None


def an21(shadow: Shadow, fact: o.FolioOrder) -> Found:
    """The folio changes now; a leaf whose unmap failed was told of."""
    if shadow.closed or not 0 <= fact.order < ORDER_2M:
        return None
    for s, e, level in shadow.private.runs(fact.start, fact.end):
        if level == LEVEL_2M and shadow.left.only(s, e, 0):
            return f"{span(s, e)} has folios of order {fact.order} under a leaf of 2 MiB"
    return None


def an24(shadow: Shadow, fact: o.VmBugged) -> Found:
    """Whoever held the lock, a bug it was not."""
    if fact.reason is not Reason.BUSY:
        return None
    return f"KVM_BUG_ON in {fact.site} by a second BUSY alone"


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
    return f"{reason.name} after the decision to commit" if failed else None


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
