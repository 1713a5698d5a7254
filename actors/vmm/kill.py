"""SIGKILL of a VMM at any instant of a conversion's life (FI-kill), and how the process goes.

No thread sees user space again: vCPUs are gone at once, and whoever waited for an answer gets none. A thread that is in
the kernel finishes there what it has begun, for guest_memfd's ioctl and VFIO's do not look for signals: a conversion in
PREPARE comes to its decision, a COMMIT to its end. Its answer goes nowhere. It has kept the mm and the files, so after
it, and not before: exit_mmap (N8), the files' last close, the teardown of the VM (docs/domain.md section 4.x).
"""

import enum
from itertools import repeat
from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors.address import GUEST, HOST_MAP, VMM
from actors.contract import Context, Reason, opportunity
from actors.notifier_sites import EXIT_MMAP
from actors.observations import VmmKilled

if TYPE_CHECKING:
    from actors.vmm.process import Vmm

SLICE = 100  # opportunities that are asked about at once
INSTANT_NS = 1_000  # each of them


class Life(enum.IntEnum):
    """Of a VMM that a fault plan may kill."""

    RUNNING = 0
    EXITING = 1  # of its own accord
    KILLED = 2  # a thread is still in the kernel
    LEAVING = 3  # the last one is in exit_mmap
    GONE = 4


def watch(vmm: "Vmm", op: int, number: int, context: Context) -> None:
    """A slice of the conversion's life begins: does a kill fall into it? Each microsecond is an opportunity."""
    pending = vmm.in_hand()
    places = repeat((pending.start, pending.end), SLICE)
    fault = context.choose("vmm.kill", SLICE, opportunity(vmm.vm, op, number), places=places)
    if fault:
        context.after(max(1, fault.first * INSTANT_NS), m.Kill())
    else:
        context.after(SLICE * INSTANT_NS, m.LifeSlice(op, number + 1))


def on_slice(vmm: "Vmm", message: m.LifeSlice, context: Context) -> None:
    """The conversion has lived so long, or has ended meanwhile."""
    if not vmm.dead and vmm.current >= 0 and vmm.op_of(vmm.in_hand()) == message.op:
        watch(vmm, message.op, message.number, context)


def on_kill(vmm: "Vmm", _: m.Kill, context: Context) -> None:
    """SIGKILL. A VMM that has given its VM up already is on its way out anyhow."""
    if vmm.dead:
        return
    context.observe(VmmKilled(vmm.vm))
    vmm.give_up(context)
    if not vmm.idle:  # the lock is the process's own, and goes with it
        vmm.left(vmm.current, vmm.queued_at(vmm.current), context)
    context.send(vmm.vm | GUEST, m.VmDead(), context.link)
    if vmm.current >= 0:
        vmm.answer(vmm.in_hand(), Reason.DEAD, -1, False, context)
    if vmm.life == Life.EXITING:  # nothing that it waits for keeps the mm: it is going
        vmm.life = Life.LEAVING
        return
    vmm.life = Life.KILLED
    if vmm.idle:
        leave(vmm, context)


def returned(vmm: "Vmm", context: Context) -> bool:
    """A call into the kernel is over: was its caller killed meanwhile? Then the mm goes with the last thread."""
    if vmm.life is msgspec.UNSET or vmm.life < Life.KILLED:
        return False
    vmm.telling = None
    if vmm.life == Life.KILLED:
        leave(vmm, context)
    return True


def leave(vmm: "Vmm", context: Context) -> None:
    """exit_mmap, over everything that is mapped."""
    vmm.life = Life.LEAVING
    exit_mmap(vmm, context)


def exit_mmap(vmm: "Vmm", context: Context) -> None:
    """N8 of the no-fail callers."""
    end = max(slot.gfn + slot.pages for slot in vmm.slots)
    call = m.NotifierCall(EXIT_MMAP, 0, end, vmm.vm | VMM)
    context.send(vmm.vm | HOST_MAP, call, context.cost("memory_fault_exit"))


def left(vmm: "Vmm", context: Context) -> None:
    """The mm is gone: the files are closed, and the VM is torn down with them."""
    if vmm.life == Life.LEAVING:
        vmm.life = Life.GONE
        vmm.close(context)
