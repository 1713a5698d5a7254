"""One step of a walk under mmu_lock: its plan's SEAMCALLs and kicks, one retry after BUSY, and where that leads."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from actors import messages as m
from actors.address import GUEST, TDX, host_base
from actors.contract import PAGES_2M, Context, Place, Reason, Share
from actors.intervals import IntervalMap
from actors.kvm import entry as kvm_entry
from actors.kvm import memory as kvm_memory
from actors.kvm.plans import (
    LOOKING,
    PLANS,
    SPLITTING,
    UNBLOCKING,
    ZAPPING,
    ZAPPING_SHARED,
    Do,
    Walk,
)
from actors.kvm.tickets import TICKETS, WALK
from actors.observations import Leaf, WalkOvertaken
from actors.tdx.pamt import PAIR
from actors.tdx.states import PAGES, Call, Status

if TYPE_CHECKING:
    from actors.kvm.mmu import KvmMmu

# What every step looks at, and a member is slow to look up.
OK, TRACK, BLOCK, KICK, ZAP_SHARED = Status.OK, Call.TRACK, Call.BLOCK, Do.KICK, Do.ZAP_SHARED
PAIRED = (Call.DEMOTE, Call.AUG)  # what may make leaves of 4 KiB where none were
PRIVATE = Share.PRIVATE
SIDES = {
    ZAPPING: PRIVATE,
    ZAPPING_SHARED: Share.SHARED,
}  # whose leaves a zap has chosen before it has the lock
CALLED_OFF = (SPLITTING, LOOKING)  # by an ABORT that comes while they wait for mmu_lock
PASSES = {ZAPPING_SHARED: "shared_zap_4k", LOOKING: "walk_absent_4k"}  # costs of walking there
UNBLOCK_RETRY_NS, UNBLOCK_RETRY_MAX_NS = 1_000, 1_000_000


class Way(NamedTuple):
    """What the end of a step means in one plan; KvmMmu.WAYS has one for each."""

    done: Callable[["KvmMmu", Walk, int, Context], None]
    """The first so many leaves of the step are through: the tables follow."""
    then: Callable[["KvmMmu", Walk, Context], None]
    """mmu_lock is free again: the next step, or what comes after the last one."""
    failed: Callable[["KvmMmu", Walk, Reason, Context], None]
    """A second BUSY, an interruption, a bug or the like; mmu_lock is still held."""


def doing(walk: Walk) -> int:
    """The entry of the plan that is in hand."""
    return PLANS[walk.plan][walk.stage]


def leaves(walk: Walk) -> int:
    """How many leaves the step in hand has."""
    start, end, level = walk.todo[0]
    return (end - start) // PAGES[level]


def in_hand(walk: Walk) -> Place:
    """The leaves of the step that come next: those that stay for good are passed over. Empty at its end."""
    start, end, level = walk.todo[0]
    first = start + walk.done * PAGES[level]
    for kept, after in walk.kept:
        if first < kept:
            return first, kept
        first = max(first, after)
    return first, end


def locked(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """mmu_lock is held for writing: begin the plan, unless it was called off while waiting."""
    assert walk.stage == -1, f"op {walk.op} takes mmu_lock in stage {walk.stage} of its plan"
    if walk.aborting and walk.plan in CALLED_OFF:
        kvm.drop(WALK, walk.op, context)
        kvm.WAYS[walk.plan].then(kvm, walk, context)
        return
    walk.stage, walk.attempt, walk.done = 0, 0, 0
    start, end, level = walk.todo[0]
    if walk.plan == SPLITTING and kvm.mirror.get(start) != level:
        overtaken(kvm, walk, kvm.mirror, context)  # an ACCEPT had it split (freeze_at = commit)
        return
    if walk.plan in SIDES and not table_of(kvm, SIDES[walk.plan]).only(start, end, level):
        walk.cursor = start  # look again, as under the lock
        overtaken(kvm, walk, table_of(kvm, SIDES[walk.plan]), context)
        return
    name = PASSES.get(walk.plan, "mmu_walk")
    act(kvm, walk, context.cost(name, (end - start) // PAGES[level]), context)


def overtaken(kvm: "KvmMmu", walk: Walk, leaves: IntervalMap, context: Context) -> None:
    """Somebody else's walk has been here since this one looked without the lock: what it left is another step's."""
    start, end, level = walk.todo[0]
    first, last, now = next(run for run in leaves.runs(start, end) if run[2] != level)
    context.observe(WalkOvertaken(kvm.vm, walk.op, first, last, now))
    step_over(kvm, walk, context)


def act(kvm: "KvmMmu", walk: Walk, delay: int, context: Context) -> None:
    """Do the plan's next thing to the step's leaves."""
    start, end, level = walk.todo[0]
    what = PLANS[walk.plan][walk.stage]
    # TRACK and kick come once for each leaf, as KVM does today, or once for the whole step.
    rounds = leaves(walk) if kvm.track_per_page else 1
    if what == KICK:
        context.send(kvm.vm | GUEST, m.Kick(walk.op, rounds), context.cost("kick_link"))
    elif what == ZAP_SHARED:
        context.after(delay, m.Step(walk.op))
    else:
        tracks = what == TRACK  # of the whole step
        first, last = (start, end) if tracks else in_hand(walk)
        walk.done = (first - start) // PAGES[level]
        count = rounds if tracks else (last - first) // PAGES[level]
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
            pairs(kvm, walk, what) if what in PAIRED else 0,
        )
        context.send(host_base(kvm.vm) | TDX, call, max(delay, context.link))


def pairs(kvm: "KvmMmu", walk: Walk, what: int) -> int:
    """Pairs of PAMT pages that come with a call of PAIRED."""
    return kvm_memory.split_pairs(kvm) if what == Call.DEMOTE else walk.reserved // PAIR


def answered(kvm: "KvmMmu", walk: Walk, answer: m.SeamcallDone, context: Context) -> None:
    """The TDX module's word on the batch: on, again after a kick, or this walk's end."""
    call, status, index = PLANS[walk.plan][walk.stage], answer.status, answer.index
    if status == OK:
        if walk.plan != UNBLOCKING:  # while a leaf is to be unblocked nobody gets in before it is
            kvm_entry.let_in(kvm, context)
        walk.blocked = walk.blocked or call == BLOCK
        passed(kvm, walk, index, context)
        return
    if call != TRACK:
        walk.done += index
    if call == Call.REMOVE:
        kvm.WAYS[walk.plan].done(kvm, walk, walk.done, context)
    if again(walk, status):
        walk.attempt += 1
        wait = min(UNBLOCK_RETRY_NS << min(walk.attempt - 1, 16), UNBLOCK_RETRY_MAX_NS)
        kvm_entry.keep_out(kvm, walk.op, wait, context)
    else:
        walk.injected = answer.injected
        kvm.WAYS[walk.plan].failed(kvm, walk, REASONS[status], context)


def again(walk: Walk, status: int) -> bool:
    """Everybody out, then once more? UNBLOCK goes on until it succeeds."""
    return status == Status.BUSY and (walk.attempt == 0 or walk.plan == UNBLOCKING)


def passed(kvm: "KvmMmu", walk: Walk, calls: int, context: Context) -> None:
    """All calls of the batch went well: what is left of the step after a retry, or the plan's next entry."""
    if doing(walk) == TRACK:
        advance(kvm, walk, context)
    else:
        walk.done += calls
        on(kvm, walk, context)


def on(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """What is left of the step for the entry in hand, else the next entry, unless no leaf is left for that."""
    _, end, _ = walk.todo[0]
    walk.attempt = 0
    if in_hand(walk)[0] < end:
        act(kvm, walk, context.link, context)
        return
    walk.done = 0
    if in_hand(walk)[0] < end:
        advance(kvm, walk, context)
    else:
        step_done(kvm, walk, context)


REASONS: dict[int, Reason] = {
    Status.BUSY: Reason.BUSY,
    Status.INTERRUPTED: Reason.INTERRUPTED,
    Status.NOT_TRACKED: Reason.BUG,
    Status.BUG: Reason.BUG,
    Status.WRONG_STATE: Reason.BUG,
    Status.NO_PAMT: Reason.NO_MEMORY,
    Status.IN_USE: Reason.REFERENCES,
    Status.OWNED: Reason.BUG,
    Status.TIMED_OUT: Reason.TIMEOUT,
}


def kicked(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """A kick of the plan is over, or the one that comes before a retry."""
    if PLANS[walk.plan][walk.stage] == KICK:
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
    start, end, _ = walk.todo[0]
    assert end - start <= PAGES_2M, f"a step of {end - start} pages under one hold of mmu_lock"
    kvm.WAYS[walk.plan].done(kvm, walk, leaves(walk), context)
    step_over(kvm, walk, context)


def step_over(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """On to the next step, or to what comes after the last one."""
    walk.blocked, walk.kept = False, []
    walk.todo.pop(0)
    give_up(kvm, walk, context)
    kvm.WAYS[walk.plan].then(kvm, walk, context)


def give_up(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """The step is not under the lock any more, done or not."""
    walk.stage = -1
    kvm_entry.let_in(kvm, context)
    kvm.drop(WALK, walk.op, context)


def table_of(kvm: "KvmMmu", share: Share) -> IntervalMap:
    """gfn -> level, of the side."""
    return kvm.mirror if share is PRIVATE else kvm.shared_ept


def leaf(
    kvm: "KvmMmu", start: int, end: int, share: Share, level: int, context: Context, op: int = -1
) -> None:
    """Write KVM's own tables."""
    table_of(kvm, share).set(start, end, level)
    context.observe(Leaf(kvm.vm, start, end, share, level, op))
