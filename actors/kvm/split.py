"""PREPARE and ABORT in the KVM MMU: split the leaves at the range's edges, or say no with everything as it was."""

from typing import TYPE_CHECKING

from actors import messages as m
from actors.address import ALLOCATOR, KVM, host_base
from actors.contract import PAGES_2M, Context, Reason, Share, opportunity
from actors.gmem.conversion import Verb
from actors.kvm import memory as kvm_memory
from actors.kvm import walk as kvm_walk
from actors.kvm import zap as kvm_zap
from actors.kvm.plans import UNBLOCKING, Walk
from actors.kvm.tickets import WALK
from actors.observations import HugeLost
from actors.tdx.states import LEVEL_2M, LEVEL_4K

if TYPE_CHECKING:
    from actors.kvm.mmu import KvmMmu


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
        refuse(kvm, walk, fault.reason, max(walk.todo[fault.first][0], walk.start), context)
        return
    tables = sum(1 for s, e, _ in walk.todo if kvm.tables.only(s, e, 0))
    walk.reserved = kvm_memory.split_pages(kvm, len(walk.todo), tables)
    if not walk.reserved:
        kvm.take(WALK, walk.op, context)
        return
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
        refuse(kvm, walk, answer.reason, max(in_want(kvm, walk), walk.start), context)
    elif walk.aborting:
        settle(kvm, walk, context)
    else:
        kvm.take(WALK, walk.op, context)


def in_want(kvm: "KvmMmu", walk: Walk) -> int:
    """The first leaf that memory was asked for; the pool gives what all of them need, or nothing."""
    each = kvm_memory.counts(kvm)
    return next(start for start, end, _ in walk.todo if each or kvm.tables.only(start, end, 0))


def ready(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """Nothing can stop the unmap now; where nobody waits to be told, it begins.

    Pages for a leaf that somebody else has split meanwhile (freeze_at = commit) are not wanted any more.
    """
    walk.settled = True
    kvm_memory.spare(kvm, walk, context)
    if walk.verb is Verb.INVALIDATE:
        kvm_zap.commit(kvm, walk, context)
    else:
        kvm.answer(walk, m.Ready(walk.op, kvm.consumer), context.link, context)


def refuse(kvm: "KvmMmu", walk: Walk, reason: Reason, offset: int, context: Context) -> None:
    """Say no; a leaf left blocked is put back first."""
    walk.refusal, walk.offset = reason, offset
    settle(kvm, walk, context)


# --- a step is done, or fails --------------------------------------------------------------------


def split_done(kvm: "KvmMmu", walk: Walk, _: int, context: Context) -> None:
    """512 leaves where one was; nothing makes it one again."""
    start, end, _ = walk.todo[0]
    kvm_walk.leaf(kvm, start, end, Share.PRIVATE, LEVEL_4K, context)
    context.observe(HugeLost(kvm.vm, walk.op, 1))
    if kvm.tables.only(start, end, 0):
        kvm.tables.set(start, end, 1)
        kvm_memory.use(walk, kvm_memory.table_pages(kvm))


def split_next(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """The other edge, or the answer."""
    if walk.aborting:
        settle(kvm, walk, context)
    elif walk.todo:
        kvm.take(WALK, walk.op, context)
    else:
        ready(kvm, walk, context)


def split_failed(kvm: "KvmMmu", walk: Walk, reason: Reason, context: Context) -> None:
    """Before the decision: a no, once the leaf is back as it was.

    TDX huge pages v3 (`busy_bugs`) have KVM_BUG_ON instead, for whatever the SEAMCALL was answered, and no way back.
    """
    walk.refusal, walk.offset = reason, max(walk.todo[0][0], walk.start)
    if walk.busy_bugs:
        kvm.bug("prepare", reason, walk.injected, context)
    put_back(kvm, walk, context)


def put_back(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """UNBLOCK a leaf that a failed DEMOTE left blocked, still under mmu_lock; needs no memory and cannot fail."""
    if walk.blocked and not walk.busy_bugs:
        walk.plan, walk.stage, walk.attempt, walk.done = UNBLOCKING, 0, 0, 0
        kvm_walk.act(kvm, walk, context.link, context)
    else:
        kvm_walk.give_up(kvm, walk, context)
        settle(kvm, walk, context)


def unblock_done(_: "KvmMmu", __: Walk, ___: int, ____: Context) -> None:
    """The leaf is as it was: the mirror never knew that it was blocked."""


def unblock_failed(kvm: "KvmMmu", walk: Walk, reason: Reason, context: Context) -> None:
    """ABORT cannot fail but for a bug, and then the VM is dead."""
    kvm.bug("abort", reason, walk.injected, context)
    kvm_walk.give_up(kvm, walk, context)
    settle(kvm, walk, context)


# --- ABORT ----------------------------------------------------------------------------------------


def abort(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """Undo what PREPARE did, at once if it is over, else as soon as what is under way allows."""
    walk.aborting = True
    if walk.settled:
        settle(kvm, walk, context)


def settle(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """Back as before PREPARE, but for leaves that stay split: return unused memory and say so."""
    kvm_memory.spare(kvm, walk, context)
    if walk.refusal is not Reason.NONE and walk.whole and walk.to is Share.SHARED:
        zap_whole(kvm, walk, context)
        return
    if walk.refusal is not Reason.NONE:
        no = m.Refused(walk.op, kvm.consumer, walk.refusal, walk.offset)
        walk.refusal = Reason.NONE
        kvm.answer(walk, no, context.link, context)
    if walk.aborting:
        kvm.answer(walk, m.Aborted(walk.op, kvm.consumer), context.link + 1, context)
    walk.settled = True


def zap_whole(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """Boundary leaves that could not be split go as a whole, with what lies outside the range; a dead VM's too."""
    walk.refusal, walk.todo = Reason.NONE, []
    if kvm.mirror.get(walk.start) == LEVEL_2M:
        walk.start = walk.start // PAGES_2M * PAGES_2M
    if kvm.mirror.get(walk.end - 1) == LEVEL_2M:
        walk.end = -(-walk.end // PAGES_2M) * PAGES_2M
    ready(kvm, walk, context)
