"""Checks on a conversion that was refused: what it had changed has to be as before. Held when it ends.

Where the refusal says that a prefix of the range is converted, and it is, only what comes after that prefix is judged.
"""

from actors import observations as o
from actors.contract import Reason, Share
from actors.tdx_states import Entry
from workloads.checkers.checks import Found, span
from workloads.checkers.operation import Operation
from workloads.checkers.shadow import Shadow


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
    return f"{name} of {span(start, end)} was {was} and is {now} after a refusal"


def i8(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    """Held over whatever this conversion did to folios and their stash."""
    if shadow.closed or not shadow.stashing:
        return None
    touched = {run for name in ("order", "stash") for run in op.touched(name)}
    if not any(stash_wrong(shadow, start, end) for start, end in touched):
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
    for s, e, order in shadow.order.runs(start, end):
        split = 0 <= order < shadow.huge.get(s)
        for first, last, present in shadow.stash.runs(s, e):
            if present != split and shadow.poison.only(first, last, 0):
                state = "split" if split else "whole" if order >= 0 else "lost"
                return (
                    f"{span(first, last)} is {state}, its stash {'there' if present else 'missing'}"
                )
    return None


def i10(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if not failed(shadow, fact):
        return None
    return (
        differs(shadow, op, "share") or differs(shadow, op, "order") or differs(shadow, op, "stash")
    )


def i11(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    for start, end, was, now in shadow.changed(op, "sept") if failed(shadow, fact) else ():
        if was == Entry.MAPPED:
            return f"{span(start, end)} was MAPPED and is {Entry(now).name} after a refusal"
    return None


def l4(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    """After ABORT. Host mappings and the shared EPT come back by faults, if the page is there to be found by them."""
    if not op.aborted or not failed(shadow, fact):
        return None
    for start, end, was, now in shadow.changed(op, "sept"):
        # What was blocked when this conversion began, somebody else had in hand.
        let_go = Entry.PENDING if was == Entry.PENDING_BLOCKED else was
        if was != Entry.FREE and now not in (was, let_go, Entry.MAPPED):
            return f"{span(start, end)} was {Entry(was).name} and is {Entry(now).name} after ABORT"
    for start, end, was, _ in shadow.changed(op, "pte"):
        if was and not shadow.share.only(start, end, Share.SHARED):
            return f"host PTEs of {span(start, end)} are gone, and no fault will bring them back"
    return i10(shadow, fact, op)


def an4(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    return None if shadow.closed else differs(shadow, op, "share")


def an5(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    """Whether it was refused or not. Poisoned pages are out of the filemap on purpose."""
    if shadow.closed or not op.emptied:
        return None
    for start, end, was, now in shadow.changed(op, "order"):
        if was >= 0 > now and not shadow.poison.only(start, end, 1):
            return f"{span(start, end)} had folios of order {was} and has none in the filemap"
    return None


def an7(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    return differs(shadow, op, "order") if failed(shadow, fact) else None


def an8(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    for start, end, was, _ in shadow.changed(op, "pte") if failed(shadow, fact) else ():
        if was:
            return f"host PTEs of {span(start, end)} are gone after a refusal"
    return None


def an15(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if fact.reason is Reason.NONE or not op.lost:
        return None
    return f"{op.lost} mappings of 2 MiB stay split after a refusal"


def an22(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if not op.prefix or shadow.closed:
        return None
    return f"{span(op.begin.start, op.prefix)} is converted, the rest of the range is not"


def an25(shadow: Shadow, fact: o.ConvertEnd, op: Operation) -> Found:
    if fact.reason is not Reason.REFERENCES or not op.transient or op.begin.to is not Share.PRIVATE:
        return None
    return "refused for references that would all have gone by themselves"
