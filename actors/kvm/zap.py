"""COMMIT and INVALIDATE in the KVM MMU: zap the leaves of the side that is given up, tell of what is left mapped."""

from bisect import insort
from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors.address import GUEST
from actors.contract import PAGES_2M, TELLS, Context, Message, Reason, Share, Trace
from actors.gmem.conversion import Verb
from actors.intervals import IntervalMap
from actors.kvm import entry as kvm_entry
from actors.kvm import pinned as kvm_pinned
from actors.kvm import walk as kvm_walk
from actors.kvm.plans import ZAPPING, ZAPPING_SHARED, Walk
from actors.kvm.tickets import WALK, converts
from actors.observations import LeftMapped, PrepareUndone, TlbFlushed
from actors.tdx.states import LEVEL_2M, PAGES, Call

if TYPE_CHECKING:
    from actors.kvm.mmu import KvmMmu


def commit(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """Zap the leaves of the side that is given up, step by step from the start of the range."""
    assert walk.settled and not walk.todo, f"COMMIT of op {walk.op} before its READY"
    walk.settled = False
    walk.plan = ZAPPING if walk.to is Share.SHARED else ZAPPING_SHARED
    walk.cursor = walk.start
    next_step(kvm, walk, context)


def next_step(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """Queue for mmu_lock with the next leaves, or finish."""
    leaves = kvm_walk.table_of(kvm, kvm_walk.SIDES[walk.plan])
    absent = 0
    while walk.cursor < walk.end:
        end, level = leaves.run_at(walk.cursor, walk.end)
        if level:
            end = min(end, walk.cursor // PAGES_2M * PAGES_2M + PAGES_2M)
            if level == LEVEL_2M and end - walk.cursor < PAGES_2M:
                unsplit(kvm, walk, end, context)
                continue
            walk.todo = [(walk.cursor, end, level)]
            walk.cursor = end
            kvm.take(WALK, walk.op, context)
            return
        absent += end - walk.cursor
        walk.cursor = end
    took = context.cost("walk_absent_4k", absent) if absent else context.link
    if walk.zapped and walk.plan == ZAPPING_SHARED:
        walk.zapped = False
        context.send(kvm.vm | GUEST, m.Flush(walk.op), took)
    else:
        committed(kvm, walk, took + 1, context)


def flushed(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """One remote flush for the whole range ends a zap of shared leaves."""
    context.observe(TlbFlushed(kvm.vm, walk.op))
    committed(kvm, walk, context.link, context)


def zapped(kvm: "KvmMmu", walk: Walk, leaves: int, context: Context) -> None:
    """The first `leaves` of the step in hand are gone, but for those that could not be removed; a flush is due."""
    start, _, level = walk.todo[0]
    if not leaves:
        return
    side = kvm_walk.SIDES[walk.plan]
    last = start + leaves * PAGES[level]
    at = last if walk.protects else start
    for first, stop in [*walk.kept, (last, last)]:
        if at < min(first, last):
            if walk.listed and side is Share.PRIVATE:
                walk.unmapped += [run for run in kvm.mirror.runs(at, min(first, last)) if run[2]]
            kvm_walk.leaf(kvm, at, min(first, last), side, 0, context, walk.op)
        at = stop
    walk.zapped = True


def committed(kvm: "KvmMmu", walk: Walk, took: int, context: Context) -> None:
    """All leaves are gone that can go."""
    if walk.verb is not Verb.INVALIDATE:
        reply: Message = m.Committed(walk.op, kvm.consumer)
    elif walk.refusal is Reason.NONE:
        reply = m.Invalidated(walk.op, kvm.consumer, tuple(walk.unmapped))
    else:
        reply = m.Refused(walk.op, kvm.consumer, walk.refusal, walk.offset)
    kvm.answer(walk, reply, took, context)


# --- what cannot be unmapped ----------------------------------------------------------------------


def unsplit(kvm: "KvmMmu", walk: Walk, end: int, context: Context) -> None:
    """A boundary leaf of 2 MiB where PREPARE left none: to zap a part of it is a bug (v3), and nothing is unmapped."""
    if converts(walk.op):
        context.observe(PrepareUndone(kvm.vm, walk.op, walk.cursor, end))
    kvm.bug("commit", Reason.BUG, False, context)
    left_mapped(kvm, walk, Reason.BUG, walk.cursor, end, context)
    walk.cursor = end


def zap_failed(kvm: "KvmMmu", walk: Walk, reason: Reason, context: Context) -> None:
    """The leaf is marked and the walk goes on: KVM's hook is void, and SEAMCALLs work for a VM that is bugged."""
    first, last = kvm_walk.in_hand(walk)
    if walk.refusal is Reason.NONE:
        walk.refusal, walk.offset = reason, first
    if kvm_pinned.may_stay(walk, reason):
        kvm_entry.let_in(kvm, context)
        pass_over(walk, first, first + PAGES[walk.todo[0][2]])
        kvm_walk.on(kvm, walk, context)
        return
    if walk.bugs or reason is not Reason.BUG:
        kvm.bug("commit", reason, walk.injected, context)
    kvm_entry.let_in(kvm, context)
    if kvm_walk.doing(walk) == Call.TRACK:  # one for all leaves of the step, none of which can go
        while first < last:
            keep(kvm, walk, reason, first, last, context)
            first, last = kvm_walk.in_hand(walk)
    else:
        keep(kvm, walk, reason, first, first + PAGES[walk.todo[0][2]], context)
    kvm_walk.on(kvm, walk, context)


def keep(kvm: "KvmMmu", walk: Walk, reason: Reason, start: int, end: int, context: Context) -> None:
    """These leaves of the step in hand stay; on to what comes after them."""
    left_mapped(kvm, walk, reason, start, end, context)
    pass_over(walk, start, end)


def pass_over(walk: Walk, start: int, end: int) -> None:
    """On to what comes after these leaves, and no more of them in this step."""
    insort(walk.kept, (start, end))
    first, _, level = walk.todo[0]
    walk.done = (end - first) // PAGES[level]


def left_mapped(
    kvm: "KvmMmu", walk: Walk, reason: Reason, start: int, end: int, context: Context
) -> None:
    """Step 4 of the mail, when there is a bug: word of pages that are still mapped, the way that was asked for."""
    context.observe(LeftMapped(kvm.vm, walk.op, start, end, walk.trace))
    if kvm.left is msgspec.UNSET:
        kvm.left = IntervalMap.filled(0)
    kvm.left.set(start, end, 1)
    if walk.trace in TELLS:
        word: Message = m.Poison(walk.op, kvm.consumer, reason, start, end)
    elif walk.trace is Trace.REFERENCE:
        word = m.KeepReference(start, end)
    else:
        return
    context.send(walk.gmem, word, context.link)


def first_left(kvm: "KvmMmu", start: int, end: int) -> int:
    """The first gfn of the range that KVM has not been able to unmap, or -1."""
    if kvm.left is msgspec.UNSET:
        return -1
    return next((first for first, _, left in kvm.left.runs(start, end) if left), -1)
