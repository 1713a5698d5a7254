"""How the KVM MMU walks a range for a conversion: split boundary leaves, zap, put back. Steps of at most 2 MiB.

Costs are charged per page without an event per page: a step is one leaf level, at most 2 MiB, one hold of mmu_lock,
and a handful of batched SEAMCALLs (docs/domain.md section 16).
"""

import enum
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors.address import ALLOCATOR, GUEST, KVM, TDX, host_base
from actors.contract import PAGES_2M, Consumer, Context, Message, Reason, Share, Trace, opportunity
from actors.conversion import Verb
from actors.kvm_tickets import TICKETS, WALK
from actors.observations import HugeLost, Leaf, LeftMapped, PrepareUndone, Reserving
from actors.tdx_states import LEVEL_2M, LEVEL_4K, PAGES, Call, Status

if TYPE_CHECKING:
    from actors.kvm_mmu import KvmMmu

# For each boundary leaf: an S-EPT page, its mirror, and a pair of pages for dynamic PAMT.
SPLIT_PAGES = 4
UNBLOCK_RETRY_NS, UNBLOCK_RETRY_MAX_NS = 1_000, 1_000_000


class Do(enum.IntEnum):
    """What a plan's entry asks for beside SEAMCALLs (which keep their own numbers)."""

    KICK = 16
    ZAP_SHARED = 17


# One plan is what happens to one step's leaves, in order, under one hold of mmu_lock.
SPLIT = (Call.BLOCK, Call.TRACK, Do.KICK, Call.DEMOTE)
ZAP_PRIVATE = (Call.BLOCK, Call.TRACK, Do.KICK, Call.REMOVE)
ZAP_SHARED = (Do.ZAP_SHARED,)
UNBLOCK = (Call.TRACK, Do.KICK, Call.UNBLOCK)
MAP_AGAIN = (Call.AUG,)
PLANS = (SPLIT, ZAP_PRIVATE, ZAP_SHARED, UNBLOCK, MAP_AGAIN)
SPLITTING, ZAPPING, ZAPPING_SHARED, UNBLOCKING, MAPPING = range(5)


class Walk(msgspec.Struct):
    """One conversion's walk. `todo` are steps (start, end, level) still to do, the first one in hand."""

    gmem: int
    op: int
    start: int
    end: int
    to: Share
    plan: int = SPLITTING
    stage: int = -1  # index into the plan; -1 while not under the lock
    todo: list[tuple[int, int, int]] = []
    cursor: int = 0  # how far COMMIT has come
    done: int = 0  # leaves of the step in hand that the current call is through with
    attempt: int = 0
    reserved: int = 0
    blocked: bool = False
    zapped: bool = False
    refusal: Reason = Reason.NONE
    offset: int = 0
    aborting: bool = False
    settled: bool = False
    verb: Verb = Verb.PREPARE
    trace: Trace = Trace.CALLBACK
    bugs: bool = True  # a page that cannot be unmapped is KVM_BUG_ON
    busy_bugs: bool = False  # so is a second BUSY while splitting
    whole: bool = False  # a boundary leaf that cannot be split is zapped as a whole
    protects: bool = False  # leaves lose write access and stay
    listed: bool = False  # guest_memfd wants to know what was unmapped
    unmapped: list[m.Mapped] = []
    kept: list[tuple[int, int]] = []  # of the step in hand: leaves that could not be removed


# --- PREPARE -------------------------------------------------------------------------------------


def prepare_split(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """Find the boundary leaves, at most two, and split them."""
    walk.todo = [(leaf, leaf + PAGES_2M, LEVEL_2M) for leaf in boundaries(kvm, walk)]
    if walk.todo:
        split_leaves(kvm, walk, context)
    else:
        ready(kvm, walk, context)


def split_leaves(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """Reserve for the leaves of `todo`, then split them under mmu_lock; ends with READY or a refusal."""
    key = opportunity(kvm.vm, walk.op, walk.start)
    leaves = ((start, end) for start, end, _ in walk.todo)
    fault = context.choose("kvm.split_memory", len(walk.todo), key, places=leaves)
    if fault:
        refuse(kvm, walk, fault.reason, walk.start, context)
        return
    walk.reserved = SPLIT_PAGES * sum(1 for s, e, _ in walk.todo if kvm.tables.only(s, e, 0))
    if not walk.reserved:
        kvm.take(WALK, walk.op, context)
        return
    context.observe(Reserving(walk.gmem, walk.op, walk.reserved))
    request = m.Reserve(kvm.vm | KVM, walk.op, walk.reserved, start=walk.start, end=walk.end)
    context.send(host_base(kvm.vm) | ALLOCATOR, request, context.link)


def boundaries(kvm: "KvmMmu", walk: Walk) -> list[int]:
    """First gfn of each 2 MiB leaf that the range cuts through."""
    found = []
    for edge in (walk.start, walk.end):
        leaf = edge // PAGES_2M * PAGES_2M
        if edge != leaf and kvm.mirror.get(leaf) == LEVEL_2M and leaf not in found:
            found.append(leaf)
    return found


def reserved(kvm: "KvmMmu", walk: Walk, answer: m.Reserved, context: Context) -> None:
    """Go on to split under mmu_lock, unless there is no memory or the question was taken back."""
    if not answer.granted:
        walk.reserved = 0
        refuse(kvm, walk, answer.reason, walk.start, context)
    elif walk.aborting:
        settle(kvm, walk, context)
    else:
        kvm.take(WALK, walk.op, context)


def ready(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """Nothing can stop the unmap now; where nobody waits to be told, it begins."""
    walk.settled = True
    if walk.verb is Verb.INVALIDATE:
        commit(kvm, walk, context)
    else:
        kvm.answer(walk, m.Ready(walk.op, Consumer.KVM_MMU), context.link, context)


def refuse(kvm: "KvmMmu", walk: Walk, reason: Reason, offset: int, context: Context) -> None:
    """Say no; a leaf left blocked is put back first."""
    walk.refusal, walk.offset = reason, offset
    settle(kvm, walk, context)


# --- COMMIT --------------------------------------------------------------------------------------


def commit(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """Zap the leaves of the side that is given up, step by step from the start of the range."""
    assert walk.settled and not walk.todo, f"COMMIT of op {walk.op} before its READY"
    walk.settled = False
    walk.plan = ZAPPING if walk.to is Share.SHARED else ZAPPING_SHARED
    walk.cursor = walk.start
    next_step(kvm, walk, context)


def next_step(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """Queue for mmu_lock with the next leaves, or finish."""
    leaves = kvm.mirror if walk.plan == ZAPPING else kvm.shared_ept
    absent = 0
    while walk.cursor < walk.end:
        end, level = leaves.run_at(walk.cursor, walk.end)
        if level and kvm.dead and walk.plan == ZAPPING:
            # No SEAMCALL works for a dead TD: what is still mapped can only be reported.
            for s, e, mapped in leaves.runs(walk.cursor, walk.end):
                if mapped:
                    left_mapped(kvm, walk, Reason.DEAD, s, e, context)
            break
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
    committed(kvm, walk, context.link, context)


def unsplit(kvm: "KvmMmu", walk: Walk, end: int, context: Context) -> None:
    """A boundary leaf of 2 MiB where PREPARE left none: to zap a part of it is a bug (v3), and nothing is unmapped."""
    context.observe(PrepareUndone(kvm.vm, walk.op, walk.cursor, end))
    kvm.bug("commit", Reason.BUG, False, context)
    left_mapped(kvm, walk, Reason.BUG, walk.cursor, end, context)
    walk.cursor = end


def committed(kvm: "KvmMmu", walk: Walk, took: int, context: Context) -> None:
    """All leaves are gone that can go."""
    if walk.verb is not Verb.INVALIDATE:
        reply: Message = m.Committed(walk.op, Consumer.KVM_MMU)
    elif walk.refusal is Reason.NONE:
        reply = m.Invalidated(walk.op, Consumer.KVM_MMU, tuple(walk.unmapped))
    else:
        reply = m.Refused(walk.op, Consumer.KVM_MMU, walk.refusal, walk.offset)
    kvm.answer(walk, reply, took, context)


# --- one step under the lock ---------------------------------------------------------------------


def locked(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """mmu_lock is held for writing: begin the plan, unless it was called off while waiting."""
    assert walk.stage == -1, f"op {walk.op} takes mmu_lock in stage {walk.stage} of its plan"
    if walk.aborting and walk.plan == SPLITTING:
        kvm.drop(WALK, walk.op, context)
        settle(kvm, walk, context)
        return
    walk.stage, walk.attempt, walk.done = 0, 0, 0
    start, end, level = walk.todo[0]
    if walk.plan == SPLITTING and kvm.mirror.get(start) != level:
        step_over(kvm, walk, context)  # an ACCEPT had it split meanwhile (freeze_at = commit)
        return
    name = "shared_zap_4k" if walk.plan == ZAPPING_SHARED else "mmu_walk"
    act(kvm, walk, context.cost(name, (end - start) // PAGES[level]), context)


def act(kvm: "KvmMmu", walk: Walk, delay: int, context: Context) -> None:
    """Do the plan's next thing to the step's leaves."""
    start, end, level = walk.todo[0]
    what = PLANS[walk.plan][walk.stage]
    leaves = (end - start) // PAGES[level]
    # TRACK and kick come once for each leaf, as KVM does today, or once for the whole step.
    rounds = leaves if kvm.track_per_page else 1
    if what == Do.KICK:
        context.send(kvm.vm | GUEST, m.Kick(walk.op, rounds), context.cost("kick_link"))
    elif what == Do.ZAP_SHARED:
        context.after(delay, m.Step(walk.op))
    else:
        first = start + walk.done * PAGES[level]
        count = rounds if what == Call.TRACK else leaves - walk.done
        if walk.attempt and walk.plan != UNBLOCKING:
            count = 1  # the retry is for the one call that met BUSY
        attempt = -1 if walk.plan == UNBLOCKING else walk.attempt
        call = m.Seamcall(
            kvm.vm,
            walk.op * TICKETS + WALK,
            what,
            first,
            end,
            level,
            count,
            -1,
            walk.op,
            attempt,
        )
        context.send(host_base(kvm.vm) | TDX, call, max(delay, context.link))


def answered(kvm: "KvmMmu", walk: Walk, status: int, index: int, context: Context) -> None:
    """The TDX module's word on the batch: on, again after a kick, or this walk's end."""
    call = PLANS[walk.plan][walk.stage]
    if status == Status.OK:
        walk.blocked = walk.blocked or call == Call.BLOCK
        passed(kvm, walk, index, context)
        return
    if call != Call.TRACK:
        walk.done += index
    if call == Call.REMOVE:
        zapped(kvm, walk, walk.done, context)
    if status == Status.BUSY and (walk.attempt == 0 or walk.plan == UNBLOCKING):
        # wait_for_sept_zap: everybody out, then once more. UNBLOCK goes on until it succeeds.
        walk.attempt += 1
        wait = min(UNBLOCK_RETRY_NS << min(walk.attempt - 1, 16), UNBLOCK_RETRY_MAX_NS)
        context.send(kvm.vm | GUEST, m.Kick(walk.op, 1), wait)
    else:
        failed(kvm, walk, REASONS[status], context)


def passed(kvm: "KvmMmu", walk: Walk, calls: int, context: Context) -> None:
    """All calls of the batch went well: what is left of the step after a retry, or the plan's next entry."""
    start, end, level = walk.todo[0]
    call, leaves = PLANS[walk.plan][walk.stage], (end - start) // PAGES[level]
    retried = walk.attempt > 0 and walk.plan != UNBLOCKING
    if call == Call.TRACK or not retried or walk.done + calls >= leaves:
        advance(kvm, walk, context)
        return
    walk.done += calls
    walk.attempt = 0
    act(kvm, walk, context.link, context)


REASONS: dict[int, Reason] = {
    Status.BUSY: Reason.BUSY,
    Status.INTERRUPTED: Reason.INTERRUPTED,
    Status.NOT_TRACKED: Reason.BUG,
    Status.BUG: Reason.BUG,
    Status.WRONG_STATE: Reason.BUG,
    Status.NO_PAMT: Reason.NO_MEMORY,
    Status.IN_USE: Reason.REFERENCES,
    Status.TIMED_OUT: Reason.TIMEOUT,
}


def kicked(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """A kick of the plan is over, or the one that comes before a retry."""
    if PLANS[walk.plan][walk.stage] == Do.KICK:
        advance(kvm, walk, context)
    else:
        act(kvm, walk, context.link, context)


def advance(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """On to the plan's next entry, or the step is done."""
    walk.stage += 1
    walk.attempt, walk.done = 0, 0
    if walk.stage < len(PLANS[walk.plan]):
        act(kvm, walk, context.link, context)
    else:
        step_done(kvm, walk, context)


def stepped(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """A zap of shared leaves took its time."""
    advance(kvm, walk, context)


def step_done(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """The tables follow; drop the lock so that waiters get their turn between steps."""
    start, end, level = walk.todo[0]
    assert end - start <= PAGES_2M, f"a step of {end - start} pages under one hold of mmu_lock"
    if walk.plan == SPLITTING:
        split_done(kvm, walk, start, end, context)
    elif walk.plan == MAPPING:
        leaf(kvm, start, end, Share.PRIVATE, level, context)
    elif walk.plan != UNBLOCKING:
        zapped(kvm, walk, (end - start) // PAGES[level], context)
    step_over(kvm, walk, context)


def step_over(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """On to the next step, or to what comes after the last one."""
    walk.blocked, walk.kept = False, []
    walk.todo.pop(0)
    walk.stage = -1
    kvm.drop(WALK, walk.op, context)
    if walk.plan in (ZAPPING, ZAPPING_SHARED):
        next_step(kvm, walk, context)
    elif walk.todo and walk.plan in (SPLITTING, MAPPING) and not walk.aborting:
        kvm.take(WALK, walk.op, context)
    elif walk.plan == MAPPING:
        remapped(kvm, walk, context)
    elif walk.plan == SPLITTING and not walk.aborting:
        ready(kvm, walk, context)
    else:
        settle(kvm, walk, context)


def split_done(kvm: "KvmMmu", walk: Walk, start: int, end: int, context: Context) -> None:
    """512 leaves where one was; nothing makes it one again."""
    leaf(kvm, start, end, Share.PRIVATE, LEVEL_4K, context)
    context.observe(HugeLost(kvm.vm, walk.op, 1))
    if kvm.tables.only(start, end, 0):
        kvm.tables.set(start, end, 1)
        walk.reserved -= SPLIT_PAGES


def zapped(kvm: "KvmMmu", walk: Walk, leaves: int, context: Context) -> None:
    """The first `leaves` of the step in hand are gone, but for those that could not be removed; a flush is due."""
    start, _, level = walk.todo[0]
    if not leaves:
        return
    side = Share.PRIVATE if walk.plan == ZAPPING else Share.SHARED
    last = start + leaves * PAGES[level]
    at = last if walk.protects else start
    for first, stop in [*walk.kept, (last, last)]:
        if at < min(first, last):
            if walk.listed and side is Share.PRIVATE:
                walk.unmapped += [run for run in kvm.mirror.runs(at, min(first, last)) if run[2]]
            leaf(kvm, at, min(first, last), side, 0, context)
        at = stop
    walk.zapped = True


def leaf(kvm: "KvmMmu", start: int, end: int, share: Share, level: int, context: Context) -> None:
    """Write KVM's own tables."""
    table = kvm.mirror if share is Share.PRIVATE else kvm.shared_ept
    table.set(start, end, level)
    context.observe(Leaf(kvm.vm, start, end, share, level))


# --- when it does not work -----------------------------------------------------------------------


def failed(kvm: "KvmMmu", walk: Walk, reason: Reason, context: Context) -> None:
    """A second BUSY, an interruption or a bug: FAILURES says what follows in which plan."""
    FAILURES[walk.plan](kvm, walk, reason, context)


def split_failed(kvm: "KvmMmu", walk: Walk, reason: Reason, context: Context) -> None:
    """Before the decision: a no, once the leaf is back as it was."""
    walk.refusal, walk.offset = reason, max(walk.todo[0][0], walk.start)
    if walk.busy_bugs and reason is Reason.BUSY:
        kvm.bug("prepare", reason, False, context)
    put_back(kvm, walk, context)


def zap_failed(kvm: "KvmMmu", walk: Walk, reason: Reason, context: Context) -> None:
    """After it: the page is marked. A VM that lives through it has the rest of the range unmapped."""
    if walk.bugs or reason is not Reason.BUG:
        kvm.bug("commit", reason, reason is Reason.BUG, context)
    start, end, level = walk.todo[0]
    removing = PLANS[walk.plan][walk.stage] == Call.REMOVE
    first = start + (walk.done if removing else 0) * PAGES[level]
    last = first + PAGES[level] if removing and reason is Reason.BUG else end
    left_mapped(kvm, walk, reason, first, last, context)
    if kvm.dead:
        walk.stage, walk.kept = -1, []
        kvm.drop(WALK, walk.op, context)
        walk.refusal, walk.offset = reason, first
        committed(kvm, walk, context.link + 1, context)
        return
    walk.kept.append((first, last))
    walk.done, walk.attempt = (last - start) // PAGES[level], 0
    if removing and last < end:
        act(kvm, walk, context.link, context)
    else:
        step_done(kvm, walk, context)


def unblock_failed(kvm: "KvmMmu", walk: Walk, reason: Reason, context: Context) -> None:
    """ABORT cannot fail but for a bug, and then the VM is dead."""
    kvm.bug("abort", reason, reason is Reason.BUG, context)
    walk.stage = -1
    kvm.drop(WALK, walk.op, context)
    settle(kvm, walk, context)


def mapping_failed(kvm: "KvmMmu", walk: Walk, reason: Reason, context: Context) -> None:
    """Only logged: what is not mapped again stays so. But a bug is KVM_BUG_ON here as well."""
    if reason is Reason.BUG:
        kvm.bug("remap", reason, True, context)
    start, _, level = walk.todo[0]
    if walk.done:
        leaf(kvm, start, start + walk.done * PAGES[level], Share.PRIVATE, level, context)
    walk.refusal, walk.stage = reason, -1
    kvm.drop(WALK, walk.op, context)
    remapped(kvm, walk, context)


FAILURES = {
    SPLITTING: split_failed,
    ZAPPING: zap_failed,
    ZAPPING_SHARED: zap_failed,
    UNBLOCKING: unblock_failed,
    MAPPING: mapping_failed,
}


def left_mapped(
    kvm: "KvmMmu", walk: Walk, reason: Reason, start: int, end: int, context: Context
) -> None:
    """Step 4 of the mail, when there is a bug: word of pages that are still mapped, the way that was asked for."""
    context.observe(LeftMapped(kvm.vm, walk.op, start, end, walk.trace))
    if walk.trace is Trace.CALLBACK:
        word: Message = m.Poison(walk.op, Consumer.KVM_MMU, reason, start, end)
    elif walk.trace is Trace.REFERENCE:
        word = m.KeepReference(start, end)
    else:
        return
    context.send(walk.gmem, word, context.link)


# --- mapping again -------------------------------------------------------------------------------


def remap(kvm: "KvmMmu", walk: Walk, unmapped: Iterable[m.Mapped], context: Context) -> None:
    """PAGE.AUG for what was zapped. Shared mappings need nothing: a fault brings them back."""
    walk.plan = MAPPING
    if not kvm.dead:
        walk.todo = list(unmapped)
    if walk.todo:
        kvm.take(WALK, walk.op, context)
    else:
        remapped(kvm, walk, context)


def remapped(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """Tell guest_memfd, which only logs it."""
    reply = m.Remapped(walk.op, Consumer.KVM_MMU, walk.refusal)
    kvm.answer(walk, reply, context.link, context)


def abort(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """Undo what PREPARE did, at once if it is over, else as soon as what is under way allows."""
    walk.aborting = True
    if walk.settled:
        settle(kvm, walk, context)


def put_back(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """UNBLOCK a leaf that a failed DEMOTE left blocked, still under mmu_lock; needs no memory and cannot fail."""
    if walk.blocked:
        walk.plan, walk.stage, walk.attempt, walk.done = UNBLOCKING, 0, 0, 0
        act(kvm, walk, context.link, context)
    else:
        walk.stage = -1
        kvm.drop(WALK, walk.op, context)
        settle(kvm, walk, context)


def settle(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """Back as before PREPARE, but for leaves that stay split: return unused memory and say so."""
    if walk.reserved:
        host = host_base(kvm.vm) | ALLOCATOR
        context.send(host, m.GiveBack(walk.reserved), context.link)
        walk.reserved = 0
    if walk.refusal is not Reason.NONE and walk.whole and not kvm.dead:
        zap_whole(kvm, walk, context)
        return
    if walk.refusal is not Reason.NONE:
        no = m.Refused(walk.op, Consumer.KVM_MMU, walk.refusal, walk.offset)
        walk.refusal = Reason.NONE
        kvm.answer(walk, no, context.link, context)
    if walk.aborting:
        kvm.answer(walk, m.Aborted(walk.op, Consumer.KVM_MMU), context.link + 1, context)
    walk.settled = True


def zap_whole(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """Boundary leaves that could not be split go as a whole, with what lies outside the range."""
    walk.refusal, walk.todo = Reason.NONE, []
    if kvm.mirror.get(walk.start) == LEVEL_2M:
        walk.start = walk.start // PAGES_2M * PAGES_2M
    if kvm.mirror.get(walk.end - 1) == LEVEL_2M:
        walk.end = -(-walk.end // PAGES_2M) * PAGES_2M
    ready(kvm, walk, context)
