"""Checks on a conversion that was refused: what it had changed has to be as before. Held when it ends.

Where the refusal says that a prefix of the range is converted, and it is, only what comes after that prefix is judged.
"""

from actors import observations as o
from actors.contract import ERRNO, Consumer, Reason, Share
from actors.tdx.states import Entry
from workloads.checkers.checks import Found
from workloads.checkers.operation import Operation
from workloads.checkers.shadow import Shadow
from workloads.checkers.words import CHANGES, order, side, span

OF = {"share": "the attribute", "order": "the folio", "stash": "hugetlb metadata"}
SAID = {change.table: change.word for change in CHANGES.values()}

OWN = "gmem"  # by whom guest_memfd says that a step of its own has failed


def failed(shadow: Shadow, fact: o.ConvertEnd) -> bool:
    """The conversion was refused and the VM lives: everything has to be as before.

    docs/domain.md section 5 names what only a VM that lives can lose: AN1, AN3, AN7, AN8, I10, I11, I13, L4.
    """
    return fact.reason is not Reason.NONE and not shadow.dead


def prefix(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> int:
    """Where the part of the range ends that this attempt has converted, if the protocol promises one; 0 for none."""
    start, to = op.begin.start, op.begin.to
    if fact.reason is Reason.NONE or not fact.prefix or not start < fact.offset < op.begin.end:
        return 0
    end, side = shadow.share.run_at(start, fact.offset)
    own = any(s < end for s, _, _, _ in shadow.changed(op, "share"))
    return end if side == to and own else 0


def differs(shadow: Shadow, op: Operation, name: str) -> Found:
    """Where the map of this name is not what it was when the conversion began."""
    found = shadow.changed(op, name)
    if not found:
        return None
    start, end, was, now = found[0]
    before, after = SAID[name](was), SAID[name](now)
    return f"{OF[name]} of {span(start, end)} was {before} and is {after} after a refusal"


def i8(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    """Held over whatever this conversion did to folios and their stash."""
    if shadow.closed or not shadow.stashing:
        return None
    places = {op.hull("order"), op.hull("stash")}
    if not any(stash_wrong(shadow, start, end) for start, end in places):
        return None
    folios = [run[:2] for run in shadow.changed(op, "order")]
    stash = [run[:2] for run in shadow.changed(op, "stash") if run[:2] not in folios]
    for start, end in folios + stash:
        for s, e, huge in shadow.huge.runs(start, end):
            text = stash_wrong(shadow, s, e) if huge else None
            if text:
                return text
    return None


def stash_wrong(shadow: Shadow, start: int, end: int) -> Found:
    """The range came in huge folios: is metadata set aside exactly where they are split?"""
    for s, e, folio in shadow.order.runs(start, end):
        split = 0 <= folio < shadow.huge.get(s)
        for first, last, present in (
            () if shadow.stash.only(s, e, split) else shadow.stash.runs(s, e)
        ):
            if present != split and shadow.poison.only(first, last, 0):
                state = "split" if split else "whole" if folio >= 0 else "lost"
                aside = SAID["stash"](present)
                return f"the folio of {span(first, last)} is {state}, its metadata {aside}"
    return None


def i10(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if not failed(shadow, fact):
        return None
    return as_before(shadow, op) or misplaced(shadow, fact, op)


def as_before(shadow: Shadow, op: Operation) -> Found:
    """What guest_memfd keeps of the range."""
    return (
        differs(shadow, op, "share") or differs(shadow, op, "order") or differs(shadow, op, "stash")
    )


def misplaced(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    """The offset that the VMM is told of: the page that somebody has refused, else one that is not converted.

    Where the answer promises a prefix, and nobody has named a page, it is where that ends.
    """
    at, begin = fact.offset, op.begin
    said = f"{ERRNO[fact.reason]} is told of gfn {at:#x}"
    if not begin.start <= at < begin.end:
        return f"{said}, outside {span(begin.start, begin.end)}"
    if fact.reason is Reason.POISONED:
        return None if shadow.poison.get(at) else f"{said}, which is not poisoned"
    if op.blamed != OWN and op.culprit >= 0:
        return None if at == op.culprit else f"{said}, and {op.blamed} has named {op.culprit:#x}"
    if op.blamed != OWN and fact.reason is Reason.BUG:
        left = shadow.left.get(at) or shadow.devices.left.get(at)
        return None if left else f"{said}, which nobody has failed to unmap"
    if shadow.share.get(at) == begin.to:
        return f"{said}, which is {begin.to.name}"
    end, side = shadow.share.run_at(begin.start, begin.end)
    if fact.prefix and at != (end if side == begin.to else begin.start):
        return f"{said}, and what is converted ends elsewhere"
    return None


def i11(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    for start, end, was, now in shadow.changed(op, "sept") if failed(shadow, fact) else ():
        if was == Entry.MAPPED:
            return f"{span(start, end)} was MAPPED in the S-EPT and is {Entry(now).name} after a refusal"
    return None


def l4(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    """After ABORT. Whoever has been told of it, or has refused, has put back what he had taken out himself.

    The others' host mappings and the shared EPT come back by faults, if the page is there to be found by them.
    """
    if not op.aborted or not failed(shadow, fact):
        return None
    for start, end, was, now in shadow.changed(op, "sept"):
        # What was blocked when this conversion began, somebody else had in hand.
        let_go = Entry.PENDING if was == Entry.PENDING_BLOCKED else was
        back = was == Entry.FREE or now in (was, let_go, Entry.MAPPED)
        if not back and not others(shadow, fact, start, end):
            return f"{span(start, end)} was {Entry(was).name} and is {Entry(now).name} after ABORT"
    return not_put_back(shadow, op, fact.reason) or as_before(shadow, op)


def others(shadow: Shadow, fact: o.ConvertEnd, start: int, end: int) -> bool:
    """Is it a leaf that somebody else has blocked, such as a fault that splits it for an ACCEPT, and has in hand now?

    They come in while a conversion is under way wherever its faults do not wait.
    """
    op, first, last = shadow.in_hand
    return op != fact.op and first <= start and end <= last


def not_put_back(shadow: Shadow, op: Operation, reason: Reason) -> Found:
    """Host PTEs and IOMMU entries that were there. Devices that have gone meanwhile want none (EIO)."""
    host, iommu = (op.undone >> consumer & 1 for consumer in (Consumer.HOST_MAP, Consumer.IOMMU))
    for start, end, was, _ in shadow.changed(op, "pte"):
        if was and host:
            return f"host PTEs of {span(start, end)} are gone after ABORT"
        if was and not shadow.share.only(start, end, Share.SHARED):
            return f"host PTEs of {span(start, end)} are gone, and no fault will bring them back"
    for name in shadow.devices.names if iommu and reason is not Reason.DEAD else ():
        for start, end, was, _ in shadow.changed(op, name):
            if was:
                return f"{name} entries of {span(start, end)} are gone after ABORT"
    return None


def an4(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    return None if shadow.closed else differs(shadow, op, "share")


def an5(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    """Whether it was refused or not. Poisoned pages are out of the filemap on purpose."""
    if shadow.closed or not op.emptied:
        return None
    for start, end, was, now in shadow.changed(op, "order"):
        if was >= 0 > now and not shadow.poison.only(start, end, 1):
            return f"the folio of {span(start, end)} was {order(was)} and is {order(now)}"
    return None


def an7(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    return differs(shadow, op, "order") if failed(shadow, fact) else None


def an8(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    for start, end, was, _ in shadow.changed(op, "pte") if failed(shadow, fact) else ():
        if was:
            return f"host PTEs of {span(start, end)} were present and are none after a refusal"
    return None


def an15(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if fact.reason is Reason.NONE or not op.lost:
        return None
    leaves = "a leaf of 2 MiB stays" if op.lost == 1 else f"{op.lost} leaves of 2 MiB stay"
    return f"{leaves} split in 4 KiB after a refusal"


def an22(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if not op.prefix or shadow.closed:
        return None
    done, rest = span(op.begin.start, op.prefix), span(op.prefix, op.begin.end)
    return f"{done} is {side(op.begin.to)} after a refusal, {rest} is not"


def an25(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if fact.reason is not Reason.REFERENCES or not op.transient or op.begin.to is not Share.PRIVATE:
        return None
    return "refused for references that would all have gone by themselves"
