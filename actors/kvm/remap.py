"""REMAP in the KVM MMU: PAGE.AUG of what INVALIDATE has zapped. The contents are gone, so entries come back PENDING."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from actors import messages as m
from actors.address import ALLOCATOR, KVM, host_base
from actors.contract import Context, Reason, Share
from actors.kvm import memory as kvm_memory
from actors.kvm import walk as kvm_walk
from actors.kvm.plans import MAPPING, Walk
from actors.kvm.tickets import WALK
from actors.tdx.pamt import PAIR
from actors.tdx.states import LEVEL_4K, PAGES

if TYPE_CHECKING:
    from actors.kvm.mmu import KvmMmu


def remap(kvm: "KvmMmu", walk: Walk, unmapped: Iterable[m.Mapped], context: Context) -> None:
    """PAGE.AUG for what was zapped. Shared mappings need nothing: a fault brings them back."""
    walk.plan = MAPPING
    if not kvm.dead:
        walk.todo = list(unmapped)
    if kvm_memory.counts(kvm):
        # At most 2 MiB each, the frames of which may lie in two regions.
        walk.reserved = 2 * PAIR * sum(1 for *_, level in walk.todo if level == LEVEL_4K)
    if not walk.reserved:
        map_next(kvm, walk, context)
        return
    request = m.Reserve(kvm.vm | KVM, walk.op, walk.reserved, start=walk.start, end=walk.end)
    context.send(host_base(kvm.vm) | ALLOCATOR, request, context.link)


def reserved(kvm: "KvmMmu", walk: Walk, answer: m.Reserved, context: Context) -> None:
    """Pages for the dynamic PAMT, or none: then nothing is mapped again."""
    if answer.granted:
        map_next(kvm, walk, context)
        return
    walk.reserved, walk.refusal = 0, answer.reason
    remapped(kvm, walk, context)


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
        kvm.bug("remap", reason, walk.injected, context)
    mapped(kvm, walk, walk.done, context)
    walk.refusal = reason
    kvm_walk.give_up(kvm, walk, context)
    remapped(kvm, walk, context)


def remapped(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """Tell guest_memfd, which only logs it."""
    kvm_memory.spare(kvm, walk, context)
    reply = m.Remapped(walk.op, kvm.consumer, walk.refusal)
    kvm.answer(walk, reply, context.link, context)
