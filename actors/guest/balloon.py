"""The guest's balloon: memory that it gives up is the host's until it is used again, and then accepted anew."""

from typing import TYPE_CHECKING

from actors import messages as m
from actors.address import VMM
from actors.contract import Context
from actors.guest import release as guest_release
from actors.kvm.tickets import HOLE
from actors.messages import ATTEMPT_BITS

if TYPE_CHECKING:
    from actors.guest.task import Task
    from actors.guest.td import Guest

NUMBER_SHIFT = HOLE.bit_length() + ATTEMPT_BITS


def inflate(guest: "Guest", task: "Task", context: Context) -> None:
    """Stop using the range, and let go of it where trusted IO has it pinned."""
    if not guest_release.release(guest, task, task.start, False, context):
        tell(guest, task, context)


def tell(guest: "Guest", task: "Task", context: Context) -> None:
    """The balloon device has it."""
    guest.accepted.set(task.start, task.end, 0)
    task.out = True
    op = task.task << NUMBER_SHIFT | HOLE << ATTEMPT_BITS
    call = m.PunchHole(op, task.start, task.end)
    guest.execute(guest.vm | VMM, call, context.cost("td_exit_roundtrip"), context)


def on_hole_punched(guest: "Guest", message: m.HolePunched, context: Context) -> None:
    """The host has the memory, or has it not; for the guest it is gone either way."""
    task = guest.active.get(message.op >> NUMBER_SHIFT)
    if task is None:
        return
    task.out = False
    task.failure = message.reason
    guest.finish(task, context)
