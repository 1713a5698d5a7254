"""The checks: each looks at one fact and the VM's books as they stand, and says in one line what is wrong, or None.

Checks marked "before" see the books as they were before the fact was entered.
"""

from actors import observations as o
from actors.contract import ERRNO, PAGES_2M, Reason, Share
from actors.intervals import IntervalMap
from actors.tdx_states import LEVEL_2M, Call, Entry, Status
from workloads.checkers.shadow import Operation, Shadow

Found = str | None
RETRIES_MAX = 1000  # R_max of docs/domain.md section 14


def span(start: int, end: int) -> str:
    """For people: a range in hexadecimal frame numbers."""
    return f"gfn {start:#x}..{end:#x}"


def first_not(table: IntervalMap, start: int, end: int, value: int) -> tuple[int, int, int] | None:
    """The first run of the range that has another value."""
    if table.only(start, end, value):
        return None
    return next(run for run in table.runs(start, end) if run[2] != value)


def elsewhere(
    share: Share, tables: dict[str, IntervalMap], shadow: Shadow, start: int, end: int
) -> Found:
    """A page of this share that one of the tables still maps."""
    for s, e, side in shadow.share.runs(start, end):
        if side != share:
            continue
        for name, table in tables.items():
            bad = first_not(table, s, e, 0)
            if bad:
                return f"{span(bad[0], bad[1])} is {share.name} and still in the {name}"
    return None


# --- state, when a conversion ends ---------------------------------------------------------------


def i1(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if shadow.dead:
        return None
    tables = {"host page table": shadow.pte, "shared EPT": shadow.shared, "IOMMU": shadow.dma}
    return elsewhere(Share.PRIVATE, tables, shadow, op.begin.start, op.begin.end)


def i2(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if shadow.dead:
        return None
    tables = {"S-EPT": shadow.sept, "mirror": shadow.private}
    return elsewhere(Share.SHARED, tables, shadow, op.begin.start, op.begin.end)


def i5(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if shadow.dead:  # the file may be gone already
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
    for s, e, level in shadow.private.runs(max(0, op.begin.start - 1), op.begin.end + 1):
        if level != LEVEL_2M:
            continue
        first, last = s // PAGES_2M * PAGES_2M, -(-e // PAGES_2M) * PAGES_2M
        small = next((run for run in shadow.order.runs(first, last) if run[2] < 9), None)
        mixed = first_not(shadow.share, first, last, Share.PRIVATE)
        if small or mixed:
            return f"a 2 MiB leaf in {span(first, last)} lies over order {small} or share {mixed}"
    return None


def failed(shadow: Shadow, fact: o.ConvertEnd) -> bool:
    """The conversion was refused and the VM lives: everything has to be as before."""
    return fact.reason is not Reason.NONE and not shadow.dead


def differs(shadow: Shadow, fact: o.ConvertEnd, op: Operation, name: str) -> Found:
    """Where the map of this name is not what it was when the conversion began, outside a promised prefix."""
    # A huge folio that the prefix ends in is split for it.
    promised = -(-fact.offset // PAGES_2M) * PAGES_2M if fact.prefix else -1
    found = [run for run in shadow.changed(op, name) if run[1] > promised]
    if not found:
        return None
    start, end, was, now = found[0]
    return f"{name} of {span(start, end)} was {was} and is {now} after a refusal"


def i10(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    return an4(shadow, fact, op) or an7(shadow, fact, op)


def i11(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    for start, end, was, now in shadow.changed(op, "sept") if failed(shadow, fact) else ():
        if was == Entry.MAPPED:
            return f"{span(start, end)} was MAPPED and is {Entry(now).name} after a refusal"
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
    return "the conversion ended with its invalidation still in progress" if op.frozen else None


def i22(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if fact.reason is not Reason.NONE:
        return None
    bad = first_not(shadow.share, op.begin.start, op.begin.end, op.begin.to)
    return f"success was reported and {span(bad[0], bad[1])} is not converted" if bad else None


def l3(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    return (
        f"READY of consumers {sorted(op.ready)} met neither COMMIT nor ABORT" if op.ready else None
    )


def an4(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    return differs(shadow, fact, op, "share") if failed(shadow, fact) else None


def an7(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    return differs(shadow, fact, op, "order") if failed(shadow, fact) else None


def an8(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    for start, end, was, _ in shadow.changed(op, "pte") if failed(shadow, fact) else ():
        if was:
            return f"host PTEs of {span(start, end)} are gone after a refusal"
    return None


def an15(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if fact.reason is Reason.NONE or not op.lost:
        return None
    return f"{op.lost} mappings of 2 MiB stay split after a refusal"


# --- single facts --------------------------------------------------------------------------------


def i1_new(shadow: Shadow, fact: o.HostPte | o.Dma) -> Found:
    added = fact.present if isinstance(fact, o.HostPte) else fact.mapped
    bad = first_not(shadow.share, fact.start, fact.end, Share.SHARED) if added else None
    return f"{span(bad[0], bad[1])} is PRIVATE and was mapped outside the TD" if bad else None


def i12(shadow: Shadow, fact: o.ConsumerReplied) -> Found:
    decided = shadow.operations[fact.op].decided
    if decided and fact.reason is not Reason.NONE:
        return f"{fact.consumer.name} refused ({fact.reason.name}) after the decision to commit"
    return None


def i15(shadow: Shadow, fact: o.LockOrder) -> Found:
    """Before: an operation that holds a lock takes only locks further inside."""
    op = shadow.operations.get(fact.op)
    if op and fact.taken and op.holding and fact.rank <= max(op.holding):
        return f"lock of rank {fact.rank} taken while holding rank {max(op.holding)}"
    return None


def i16(shadow: Shadow, fact: o.SeamcallAnswered) -> Found:
    """Before: REMOVE and DEMOTE come after BLOCK, TRACK and a round of exits."""
    if fact.call not in (Call.REMOVE, Call.DEMOTE) or fact.status != Status.OK:
        return None
    if 0 <= shadow.blocked < shadow.epoch == shadow.drained:
        return None
    return (
        f"{Call(fact.call).name} of {span(fact.start, fact.end)}: blocked in epoch {shadow.blocked}, "
        f"tracked {shadow.epoch}, drained {shadow.drained}"
    )


def i17(shadow: Shadow, fact: o.Leaf) -> Found:
    """Before: a leaf goes in only where the attribute says its kind."""
    bad = first_not(shadow.share, fact.start, fact.end, fact.share) if fact.level else None
    return f"a {fact.share.name} leaf was installed at {span(bad[0], bad[1])}" if bad else None


def i19(shadow: Shadow, fact: o.Leaf | o.HostPte | o.Dma | o.ShareStored) -> Found:
    adds = {o.Leaf: "level", o.HostPte: "present", o.Dma: "mapped", o.ShareStored: "end"}
    if not getattr(fact, adds[type(fact)]):
        return None
    bad = first_not(shadow.poison, fact.start, fact.end, 0)
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


def an12(shadow: Shadow, fact: o.Retried) -> Found:
    return "the VMM retries for ever" if fact.attempt == RETRIES_MAX + 1 else None


def an16(shadow: Shadow, fact: o.MapGpaFailed) -> Found:
    return f"MapGPA of {span(fact.start, fact.end)} failed after {fact.converted} pages"


def an18(shadow: Shadow, fact: o.Answered) -> Found:
    if fact.latency == o.NO_LATENCY:  # no VMM was asked: what there is to find was found before
        return None
    start, end = fact.start, fact.end
    for s, e, side in shadow.share.runs(start, end):
        if first_not(shadow.bitmap, s, e, side):
            return f"bitmap of {span(s, e)} disagrees with guest_memfd"
    # To shared it would succeed at once, but for a dead VM: so it is the devices' mapping that failed.
    refused_map = fact.to is Share.SHARED and fact.reason not in (Reason.NONE, Reason.DEAD)
    if refused_map and not shadow.dead and shadow.share.only(start, end, Share.SHARED):
        return f"{span(start, end)} is SHARED and the devices do not see it"
    return None


def an24(shadow: Shadow, fact: o.VmBugged) -> Found:
    contention = not fact.injected and fact.reason is Reason.BUSY
    return f"KVM_BUG_ON in {fact.site} by a second BUSY alone" if contention else None


def an28(shadow: Shadow, fact: o.VmBugged) -> Found:
    late = fact.site.endswith("commit") and fact.reason is not Reason.BUG
    return f"{fact.reason.name} after the decision to commit" if late else None


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
