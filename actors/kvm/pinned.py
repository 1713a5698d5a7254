"""KVM and what a TD with trusted IO has pinned: PREPARE looks, because an unmap that meets such a page cannot take it.

Where TDX Connect is on, the host cannot BLOCK what the guest has accepted until the guest has released it
(docs/domain.md section 2.4). Nobody has published how a kernel is to find out before it unmaps. Ours, ASSUMED: KVM
reads the entries (SEPT.RD) under mmu_lock, and a page that is held is an unexpected reference, F2. A look is a look: a
guest that accepts a page again after it fails the unmap that follows, and has only itself to blame.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from actors.contract import PAGES_2M, Context, Reason
from actors.kvm import split as kvm_split
from actors.kvm import walk as kvm_walk
from actors.kvm.plans import LOOKING, SPLITTING, Walk
from actors.kvm.tickets import WALK
from actors.tdx.states import Call

if TYPE_CHECKING:
    from actors.kvm.mmu import KvmMmu


def look(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """At every private leaf of the range, before boundary leaves are split."""
    walk.plan, walk.todo = LOOKING, list(steps(kvm, walk))
    look_next(kvm, walk, context)


def steps(kvm: "KvmMmu", walk: Walk) -> Iterator[tuple[int, int, int]]:
    """What is mapped, at most 2 MiB at a time."""
    for first, last, level in kvm.mirror.runs(walk.start, walk.end):
        edges = [first, *range(first // PAGES_2M * PAGES_2M + PAGES_2M, last, PAGES_2M), last]
        for start, end in pairwise(edges) if level else ():
            yield start, end, level


def looked(_: "KvmMmu", __: Walk, ___: int, ____: Context) -> None:
    """Reading changes nothing."""


def look_next(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """The next leaves, or on to what PREPARE does in any case."""
    if walk.aborting:
        kvm_split.settle(kvm, walk, context)
    elif walk.todo:
        kvm.take(WALK, walk.op, context)
    else:
        walk.plan = SPLITTING
        kvm_split.prepare_split(kvm, walk, context)


def held(kvm: "KvmMmu", walk: Walk, reason: Reason, context: Context) -> None:
    """A page that the guest has not released, or a second BUSY: a no, with nothing to undo."""
    offset = kvm_walk.in_hand(walk)[0]
    kvm_walk.give_up(kvm, walk, context)
    kvm_split.refuse(kvm, walk, reason, offset, context)


def may_stay(walk: Walk, reason: Reason) -> bool:
    """Has an unmap that may be refused (A) met a page that the guest holds? BLOCK has changed nothing about it."""
    blocking = kvm_walk.doing(walk) == Call.BLOCK
    return walk.refusable and blocking and reason is Reason.REFERENCES
