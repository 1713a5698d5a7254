"""The last close of a guest_memfd in KVM: its leaves go, then the HKID, then the TD.

The order is the kernel's: kvm_gmem_release zaps what the file maps, with BLOCK, TRACK and REMOVE for each leaf while
the TD has its HKID (docs/domain.md section 2.3). A file keeps a reference to the VM, so that the HKID is freed after
the last one. A VMM that calls KVM_TDX_TERMINATE_VM has it freed before: then a leaf takes one PAGE.RECLAIM. Nobody
can say no to either. What fails stays where it is, and word is left of it as after a COMMIT.

One message is about one batch, a gibibyte at most, and mmu_lock is held for one batch at a time.
"""

import enum
from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors.address import GMEMS_MAX, TDX, host_base
from actors.contract import Context, Place, Reason, Share, Trace
from actors.kvm import accept as kvm_accept
from actors.kvm import memory as kvm_memory
from actors.kvm import zap as kvm_zap
from actors.kvm.plans import Walk
from actors.kvm.tickets import TEARDOWN
from actors.locks.holders import RELEASE_OP
from actors.observations import Leaf
from actors.tdx.states import PAGES

if TYPE_CHECKING:
    from actors.kvm.mmu import KvmMmu

BATCH = 1 << 18  # pages


class Hkid(enum.IntEnum):
    """Of the TD."""

    HELD = 0
    SURRENDERED = 1  # the VMM has called KVM_TDX_TERMINATE_VM
    FREEING = 2
    FREED = 3


class Ending(msgspec.Struct):
    """A file on its way out: `todo` are gfns that may still be mapped."""

    gmem: int
    trace: Trace
    todo: list[Place]


def on_terminate(kvm: "KvmMmu", _: m.Terminate, __: Context) -> None:
    """ASSUMED: the HKID is freed when the first file comes to its end, so that no conversion is met half way."""
    kvm.hkid = Hkid.SURRENDERED


def on_teardown(kvm: "KvmMmu", message: m.Teardown, context: Context) -> None:
    """The file is closed: every leaf goes, once the last vCPU is out of its ioctl."""
    kvm.dead = True
    if kvm_accept.splitting(kvm):
        kvm.closing.append(message)
        return
    instance = message.gmem % GMEMS_MAX
    todo = [(slot.gfn, slot.gfn + slot.pages) for slot in kvm.slots if slot.gmem == instance]
    kvm.ends[instance] = Ending(message.gmem, message.trace, todo)
    if kvm.hkid in (Hkid.HELD, Hkid.FREED):
        kvm.take(TEARDOWN, instance, context)
    elif kvm.hkid is Hkid.SURRENDERED:
        free_hkid(kvm, context)


def free_hkid(kvm: "KvmMmu", context: Context) -> None:
    """The TD has no key from the answer on."""
    kvm.hkid = Hkid.FREEING
    context.send(host_base(kvm.vm) | TDX, m.FreeHkid(kvm.vm), context.link)


def on_hkid_freed(kvm: "KvmMmu", _: m.HkidFreed, context: Context) -> None:
    """Files that wait may go; if none is left, the TD may."""
    kvm.hkid = Hkid.FREED
    if all_ended(kvm):
        reclaim(kvm, context)
    for instance in list(
        kvm.ends
    ):  # a file of which nothing is mapped is through at once, and so may be the TD
        kvm.take(TEARDOWN, instance, context)


def tear_down(kvm: "KvmMmu", instance: int, context: Context) -> None:
    """Under mmu_lock for writing, with guest_memfd's ilock held outside: the file's shared leaves, then a batch."""
    ending = kvm.ends[instance]
    kvm_memory.close(kvm, context)
    shared = sum(clear(kvm, Share.SHARED, *place, context) for place in ending.todo)
    took = context.cost("shared_zap_4k", shared) if shared else 0
    start, end = next_batch(kvm, ending)
    count = leaves(kvm, start, end)
    if count:
        if kvm.hkid is Hkid.HELD:  # else it is a part of what a RECLAIM takes
            took += context.cost("mmu_walk", count)
        batch = m.TakeOut(kvm.vm, instance, start, end)
        context.send(host_base(kvm.vm) | TDX, batch, max(took, context.link))
    elif took:
        context.after(took, m.TakenOut(instance, start, end))
    else:
        on_taken_out(kvm, m.TakenOut(instance, start, end), context)


def next_batch(kvm: "KvmMmu", ending: Ending) -> Place:
    """The first gibibyte of the file that has private leaves, as far as it is in one slot; empty at the end."""
    while ending.todo:
        first, last = ending.todo[0]
        while first < last:
            end = min((first // BATCH + 1) * BATCH, last)
            if not kvm.mirror.only(first, end, 0):
                ending.todo[0] = first, last
                return first, end
            first = end
        ending.todo.pop(0)
    return 0, 0


def leaves(kvm: "KvmMmu", start: int, end: int) -> int:
    """How many private ones there are."""
    runs = kvm.mirror.runs(start, end)
    return sum((last - first) // PAGES[level] for first, last, level in runs if level)


def clear(kvm: "KvmMmu", share: Share, start: int, end: int, context: Context) -> int:
    """KVM's own tables have nothing there any more. Returns how many pages they had."""
    table, pages = kvm.mirror if share is Share.PRIVATE else kvm.shared_ept, 0
    for first, last, level in table.runs(start, end):
        if level:
            pages += last - first
            context.observe(Leaf(kvm.vm, first, last, share, 0))
    if pages:
        table.set(start, end, 0)
    return pages


def on_taken_out(kvm: "KvmMmu", message: m.TakenOut, context: Context) -> None:
    """A batch is through: word of what has stayed, then the next batch, or the end of the file."""
    ending, instance = kvm.ends[message.instance], message.instance
    op = RELEASE_OP | instance
    clear(kvm, Share.PRIVATE, message.start, message.end, context)
    for start, end in message.left:
        walk = Walk(ending.gmem, op, start, end, Share.SHARED)
        walk.trace = ending.trace
        kvm_zap.left_mapped(kvm, walk, Reason.BUG, start, end, context)
    kvm.drop(TEARDOWN, instance, context)
    start, end = next_batch(kvm, ending)
    if start < end:
        kvm.take(TEARDOWN, instance, context)
    else:
        del kvm.ends[instance]
        kvm.gone(ending.gmem, context)


def gone(kvm: "KvmMmu", gmem: int, context: Context) -> None:
    """Nothing of the file is mapped: guest_memfd has its memory back, and with the last file the TD goes."""
    context.send(gmem, m.TornDown(), context.link)
    kvm.ended += 1
    if not all_ended(kvm):
        return
    if kvm.hkid is Hkid.FREED:
        reclaim(kvm, context)
    else:
        free_hkid(kvm, context)


def all_ended(kvm: "KvmMmu") -> bool:
    """Was that the last of the VM's files?"""
    return kvm.ended == len({slot.gmem for slot in kvm.slots})


def reclaim(kvm: "KvmMmu", context: Context) -> None:
    """What the TD has had besides: page tables and control pages."""
    context.send(host_base(kvm.vm) | TDX, m.Reclaim(kvm.vm), context.link)
