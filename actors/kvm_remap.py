"""REMAP in the KVM MMU: PAGE.AUG of what INVALIDATE has zapped. The contents are gone, so entries come back PENDING."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from actors import kvm_walk
from actors import messages as m
from actors.contract import Consumer, Context, Reason, Share
from actors.kvm_plans import MAPPING, Walk
from actors.kvm_tickets import WALK
from actors.tdx_states import PAGES

if TYPE_CHECKING:
    from actors.kvm_mmu import KvmMmu


def remap(kvm: "KvmMmu", walk: Walk, unmapped: Iterable[m.Mapped], context: Context) -> None:
    """PAGE.AUG for what was zapped. Shared mappings need nothing: a fault brings them back."""
    walk.plan = MAPPING
    if not kvm.dead:
        walk.todo = list(unmapped)
    map_next(kvm, walk, context)


def map_next(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """The next leaves, or the answer."""
    if walk.todo:
        kvm.take(WALK, walk.op, context)
    else:
        remapped(kvm, walk, context)


def mapped(kvm: "KvmMmu", walk: Walk, leaves: int, context: Context) -> None:
    """The first `leaves` of the step in hand are there again."""
    start, _, level = walk.todo[0]
    if leaves:
        end = start + leaves * PAGES[level]
        kvm_walk.leaf(kvm, start, end, Share.PRIVATE, level, context)


def mapping_failed(kvm: "KvmMmu", walk: Walk, reason: Reason, context: Context) -> None:
    """Only logged: what is not mapped again stays so. But a bug is KVM_BUG_ON here as well."""
    if reason is Reason.BUG:
        kvm.bug("remap", reason, True, context)
    mapped(kvm, walk, walk.done, context)
    walk.refusal = reason
    kvm_walk.give_up(kvm, walk, context)
    remapped(kvm, walk, context)


def remapped(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """Tell guest_memfd, which only logs it."""
    reply = m.Remapped(walk.op, Consumer.KVM_MMU, walk.refusal)
    kvm.answer(walk, reply, context.link, context)
