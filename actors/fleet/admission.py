"""Who comes after a VM that is gone: another one takes its place on the host, on frames that are free by then.

It is admitted once the HKID of the one before it is reclaimed (docs/domain.md section 16). Frames that somebody has
given back come first, the lowest first, then such as nobody has had: ASSUMED, a host has room for as many VMs as it
began with, whatever was lost. Whether a frame is really free, the host cannot see. That is AN11.
"""

from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors.address import GMEM, LOAD
from actors.contract import Context
from actors.fleet import messages as f
from actors.intervals import IntervalMap
from actors.observations import FramesReused, VmAdmitted

if TYPE_CHECKING:
    from actors.allocator import Allocator

FREE, HELD = 1, 2  # frames for anybody; frames that a balloon has given back, and may want again
Grant = tuple[int, int, int]
"""(first index, the one after the last, first pfn)"""


class Admissions(msgspec.Struct):
    """`successors` is VM -> who comes after it, each of so many pages; grants are of whole `unit`s.

    `fresh` is the first frame that nobody has had yet. With an `agent` nobody comes after another of his own accord:
    the host's agent is told of places that are free, and says who is admitted.
    """

    successors: dict[int, int]
    pages: int
    unit: int
    fresh: int
    agent: int | msgspec.UnsetType = msgspec.UNSET


def on_reclaim(allocator: "Allocator", message: m.Reclaim, context: Context) -> None:
    """A TD is gone for good: its place is free."""
    admits = allocator.admits
    assert admits is not msgspec.UNSET, "a host that admits nobody is told of a free place"
    if admits.agent is not msgspec.UNSET:
        context.send(admits.agent, message, context.link)
        return
    vm = admits.successors.pop(message.vm, 0)
    if vm:
        admit(allocator, vm, message.vm, context)


def on_admit_vm(allocator: "Allocator", message: f.AdmitVm, context: Context) -> None:
    """The host's agent has given this VM a place."""
    admit(allocator, message.vm, message.before, context)


def admit(allocator: "Allocator", vm: int, before: int, context: Context) -> None:
    """Frames for a VM, which begins to boot."""
    admits = allocator.admits
    assert admits is not msgspec.UNSET
    context.observe(VmAdmitted(vm, before))
    grants, used = grant(allocator, admits, context)
    took = context.cost("page_alloc", admits.pages // admits.unit)
    context.send(vm | GMEM, m.Admit(grants, used), took)
    context.send(vm | LOAD, m.Admit((), used), took)


def grant(
    allocator: "Allocator", admits: Admissions, context: Context
) -> tuple[tuple[Grant, ...], int]:
    """Frames for one VM, and how many of them others have had."""
    found: list[Grant] = []
    index = 0
    for start, end in whole(allocator.frames, admits.unit):
        last = min(end, start + admits.pages - index)
        if start >= last:
            break
        allocator.frames.set(start, last, 0)
        context.observe(FramesReused(allocator.host, start, last))
        found.append((index, index + last - start, start))
        index += last - start
    if index < admits.pages:
        found.append((index, admits.pages, admits.fresh))
        admits.fresh += admits.pages - index
    return tuple(found), index


def whole(frames: IntervalMap, unit: int) -> list[tuple[int, int]]:
    """The free frames, as far as they are whole units."""
    runs = frames.runs(0, frames.starts[-1] + 1)
    free = [(start, end) for start, end, state in runs if state == FREE]
    inner = [(-(-start // unit) * unit, end // unit * unit) for start, end in free]
    return [(start, end) for start, end in inner if start < end]
