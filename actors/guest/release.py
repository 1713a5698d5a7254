"""What a guest with trusted IO does before its memory can leave it: TDG.MEM.PAGE.RELEASE of what it has accepted.

The guest unaccepts, and asks for the conversion, or gives the memory up, when that is done. A page that it forgets
(fault point guest.release) it releases on its next try, for a host that refuses tells it which page is in the way.
"""

from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors.address import TDX, host_base
from actors.contract import Context, opportunity

if TYPE_CHECKING:
    from actors.guest.task import Task
    from actors.guest.td import Guest


class Releasing(msgspec.Struct):
    """Tasks whose memory is being released: where each goes on, and whether it has asked the host before."""

    tasks: dict[int, tuple[int, bool]] = {}


def release(guest: "Guest", task: "Task", start: int, again: bool, context: Context) -> bool:
    """Release what the rest of the task has accepted; is that under way, so that the host has to wait?"""
    parts = tuple(accepted(guest, start, task.end))
    if not parts or guest.releasing is msgspec.UNSET:
        return False
    if start == task.start and not again and not task.tries:
        parts = all_but_forgotten(guest, task, parts, context)
    guest.releasing.tasks[task.task] = start, again
    call = m.Release(guest.vm, task.task, parts)
    guest.execute(host_base(guest.vm) | TDX, call, context.link, context)
    return True


def accepted(guest: "Guest", start: int, end: int) -> list[tuple[int, int]]:
    """The parts of a range that the guest holds for accepted."""
    return [(s, e) for s, e, is_so in guest.accepted.runs(start, end) if is_so]


def all_but_forgotten(guest: "Guest", task: "Task", parts: m.Parts, context: Context) -> m.Parts:
    """The driver that hands the memory over has left out a page: the first that the fault strikes, if any."""
    pages = task.end - task.start
    key = opportunity(guest.vm, task.task, task.start)
    fault = context.choose("guest.release", pages, key)
    if fault is None:
        return parts
    page = task.start + fault.first
    cut = [((s, min(e, page)), (max(s, page + 1), e)) for s, e in parts]
    return tuple(part for pair in cut for part in pair if part[0] < part[1])


def on_released(guest: "Guest", message: m.Release, context: Context) -> None:
    """The host may have it now."""
    assert guest.releasing is not msgspec.UNSET, "a release that nobody asked for"
    start, again = guest.releasing.tasks.pop(message.task)
    for first, last in message.parts:
        guest.accepted.set(first, last, 0)
    task = guest.active.get(message.task)
    if task is not None:
        guest.hand_over(task, start, context, again)
