"""What a VMM does for its devices when memory changes sides: its bitmap first, then its listeners one after the other.

A listener is a container of VFIO with a domain of its own. Populating can fail, and then neither the bitmap nor the
listeners before it are rolled back; discarding cannot. docs/domain.md section 2.7.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors.address import DEVICES, HOST_MAP, IOMMU, host_base
from actors.contract import Context, Message, Reason, Share
from actors.observations import Bitmap, ErrorDropped, Failed, SideDiscarded
from actors.vmm import kill as vmm_kill

if TYPE_CHECKING:
    from actors.vmm.process import Pending, Vmm

WINDOW_OPS = 1 << 58  # numbers of what is no conversion, out of the way of those that are
Part = tuple[int, int, int]
"""(listener, start, end)"""


class Follow(msgspec.Struct, frozen=True, array_like=True):
    """How the VMM's devices see guest memory.

    `pin`: a mapping holds pins, so guest_memfd refuses what is mapped; the VMM unmaps before the ioctl (`unmap_first`),
    or once it was refused. `apart`: the shared side is another file; whoever changes sides loses the old one.
    """

    listeners: int = 1
    pin: bool = False
    unmap_first: bool = True
    apart: bool = False


class Round(msgspec.Struct):
    """Listeners being told under the conversion lock; `then` (AFTER) goes on with `reason`, `offset`, `redundant`."""

    op: int
    todo: list[Part]
    populate: bool
    then: str
    reason: Reason = Reason.NONE
    offset: int = -1
    redundant: bool = False


class Window(msgspec.Struct):
    """A device's request to move its window, waiting for the conversion lock."""

    stream: int
    start: int
    end: int
    listener: int
    queued_at: int


# --- around the ioctl ----------------------------------------------------------------------------


def before(vmm: "Vmm", pending: "Pending", op: int, context: Context) -> None:
    """The ioctl, once devices have let go where guest_memfd would refuse what they have mapped."""
    took = context.cost("vmm_overhead")
    how = vmm.follow
    pinned = how.pin and not how.apart and vmm.devices
    first = pinned and how.unmap_first and pending.to is Share.PRIVATE
    if not first or vmm.bitmap.only(pending.start, pending.end, Share.PRIVATE):
        vmm.ioctl(pending, op, took, context)
        return
    todo = discards(vmm, pending.start, pending.end)
    pending.unmapped += todo
    begin(vmm, Round(op, todo, False, "ioctl"), took, context)


def discards(vmm: "Vmm", start: int, end: int) -> list[Part]:
    """What the listeners may have mapped of a range, by the bitmap."""
    parts = [(s, e) for s, e, side in vmm.bitmap.runs(start, end) if side == Share.SHARED]
    return [(listener, s, e) for listener in range(vmm.follow.listeners) for s, e in parts]


def follow(vmm: "Vmm", pending: "Pending", op: int, redundant: bool, context: Context) -> None:
    """The kernel has converted: the bitmap, then the devices, then the side that is given up."""
    start, end, to = pending.start, pending.end, pending.to
    how = vmm.follow
    if to is Share.SHARED:
        todo = populates(vmm, start, end)
    else:
        todo = discards(vmm, start, end) if how.apart else []
    vmm.bitmap.set(start, end, to)
    context.observe(Bitmap(vmm.vm, start, end, to))
    then = "discard" if how.apart and not redundant else "answer"
    if to is Share.PRIVATE:
        vmm.holes.set(start, end, 0)
    telling = Round(op, todo if vmm.devices else [], to is Share.SHARED, then, redundant=redundant)
    begin(vmm, telling, 0, context)


def populates(vmm: "Vmm", start: int, end: int) -> list[Part]:
    """What the listeners have not mapped yet of a range: what was private, and where their last try failed."""
    found: list[Part] = []
    for listener in range(vmm.follow.listeners):
        for first, last, side in vmm.bitmap.runs(start, end):
            for s, e, failed in vmm.holes.runs(first, last):
                if side != Share.PRIVATE and not failed >> listener & 1:
                    continue
                joins = found and found[-1][0] == listener and found[-1][2] == s
                found.append((listener, found.pop()[1] if joins else s, e))
    return found


def refused(
    vmm: "Vmm", pending: "Pending", op: int, reason: Reason, offset: int, context: Context
) -> None:
    """The ioctl failed. What was unmapped for it is mapped again, before anything else."""
    if vmm.follow.unmap_first and pending.unmapped and not vmm.dead:
        take_back(vmm, pending, Round(op, [], True, "refused", reason, offset), context)
    else:
        vmm.failed(pending, reason, offset, context)


def let_go(vmm: "Vmm", pending: "Pending", op: int, offset: int, context: Context) -> bool:
    """A cooperative VMM takes the page that is in the way out of its devices' tables; is it there?"""
    how = vmm.follow
    if not how.pin or how.unmap_first or not vmm.devices:
        return False
    todo = discards(vmm, offset, offset + 1)
    if not todo:
        return False
    pending.unmapped = joined([*pending.unmapped, *todo])
    begin(vmm, Round(op, todo, False, "again", Reason.NONE, offset), 0, context)
    return True


def joined(parts: list[Part]) -> list[Part]:
    """The same pages in as few parts as it takes."""
    found: list[Part] = []
    for part in sorted(parts):
        listener, start, end = part
        if found and found[-1][0] == listener and start <= found[-1][2]:
            _, first, last = found.pop()
            found.append((listener, first, max(last, end)))
        else:
            found.append(part)
    return found


def take_back(vmm: "Vmm", pending: "Pending", telling: Round, context: Context) -> None:
    """Map again what was unmapped for a conversion that did not happen."""
    telling.todo, pending.unmapped = pending.unmapped, []
    begin(vmm, telling, 0, context)


# --- one listener after the other ----------------------------------------------------------------


def begin(vmm: "Vmm", telling: Round, took: int, context: Context) -> None:
    """The first of them, or what comes after all."""
    assert vmm.telling is None, "two rounds of listeners under one lock"
    vmm.telling = telling
    turn(vmm, telling, took, context)


def turn(vmm: "Vmm", telling: Round, took: int, context: Context) -> None:
    """The next one's call into VFIO."""
    if not telling.todo:
        vmm.telling = None
        AFTER[telling.then](vmm, telling, took, context)
        return
    listener, start, end = telling.todo[0]
    call: Message = (
        m.DmaMap(vmm.vm, telling.op, start, end, listener)
        if telling.populate
        else m.DmaUnmap(vmm.vm, telling.op, start, end, listener)
    )
    context.send(host_base(vmm.vm) | IOMMU, call, took + context.cost("vfio_ioctl"))


def on_mapped(vmm: "Vmm", message: m.DmaMapped, context: Context) -> None:
    """A listener sees the range, or cannot: then it and those after it do not."""
    if vmm.dead and vmm_kill.returned(vmm, context):
        return
    telling = vmm.telling
    assert telling and telling.op == message.op and telling.populate
    if message.reason is Reason.NONE:
        mark(vmm, telling.todo.pop(0), False)
        turn(vmm, telling, 0, context)
        return
    for part in telling.todo:
        mark(vmm, part, True)
    telling.todo = []
    if telling.op < WINDOW_OPS:
        phase = "map" if telling.reason is Reason.NONE else "map_again"
        context.observe(Failed(vmm.vm, message.op, phase, "iommu", message.reason))
    if telling.reason is Reason.NONE:
        telling.reason = message.reason
    turn(vmm, telling, 0, context)


def mark(vmm: "Vmm", part: Part, failed: bool) -> None:
    """Whether the listener's map of the range has failed."""
    listener, start, end = part
    bit = 1 << listener
    for s, e, failures in vmm.holes.runs(start, end):
        if bool(failures & bit) is not failed:
            vmm.holes.set(s, e, failures ^ bit)


def on_unmapped(vmm: "Vmm", message: m.DmaUnmapped, context: Context) -> None:
    """A listener has let go; one whose invalidation was given up says so to nobody."""
    if vmm.dead and vmm_kill.returned(vmm, context):
        return
    telling = vmm.telling
    assert telling and telling.op == message.op and not telling.populate
    telling.todo.pop(0)
    if message.reason is not Reason.NONE and telling.op < WINDOW_OPS:
        context.observe(ErrorDropped(vmm.vm, message.op, "iommu", "unmap", message.reason))
    turn(vmm, telling, 0, context)


# --- and then ------------------------------------------------------------------------------------


def go_on(vmm: "Vmm", telling: Round, took: int, context: Context) -> None:
    """The ioctl, now that no device maps the range."""
    vmm.ioctl(vmm.in_hand(), telling.op, took, context)


def answer(vmm: "Vmm", telling: Round, _: int, context: Context) -> None:
    """The conversion counts as failed if a listener could not follow, although the kernel made it."""
    vmm.done(vmm.in_hand(), telling.reason, telling.offset, telling.redundant, context)


def discard(vmm: "Vmm", telling: Round, _: int, context: Context) -> None:
    """Give up the old side's pages, unless a listener could not follow; devices that still map them keep them."""
    pending = vmm.in_hand()
    if telling.reason is not Reason.NONE:
        answer(vmm, telling, 0, context)
        return
    old = Share(1 - pending.to)
    context.observe(SideDiscarded(vmm.vm, pending.start, pending.end, old))
    if old is Share.SHARED:
        gone = m.HostDiscard(pending.start, pending.end)
        context.send(vmm.vm | HOST_MAP, gone, context.link)
    took = context.cost("side_discard_4k", pending.end - pending.start)
    context.after(took, m.Discarded(telling.op))


def on_discarded(vmm: "Vmm", _: m.Discarded, context: Context) -> None:
    """The time of the discard is over."""
    if vmm.dead and vmm_kill.returned(vmm, context):
        return
    vmm.done(vmm.in_hand(), Reason.NONE, -1, False, context)


def decide(vmm: "Vmm", telling: Round, _: int, context: Context) -> None:
    """What was unmapped is mapped again, or not: now to the error itself."""
    vmm.failed(vmm.in_hand(), telling.reason, telling.offset, context)


def again(vmm: "Vmm", telling: Round, _: int, context: Context) -> None:
    """Nothing of this VMM's devices is in the way any more."""
    vmm.again(vmm.in_hand(), telling.offset, context)


# --- windows: a device's own map and unmap -------------------------------------------------------


def on_move_window(vmm: "Vmm", message: m.MoveWindow, context: Context) -> None:
    """Queue behind conversions: one lock serialises all that the VMM does to its devices' tables."""
    if vmm.dead:
        return
    window = Window(message.stream, message.start, message.end, message.listener, context.now)
    number = vmm.window_number(message.stream)
    vmm.windows[number] = window
    vmm.line_up(number, context)


def move(vmm: "Vmm", window: Window, context: Context) -> None:
    """Unmap; not while a part of it is private, or is not mapped at all."""
    vmm.windows_moved += 1
    shared = vmm.bitmap.only(window.start, window.end, Share.SHARED)
    whole = shared and vmm.holes.only(window.start, window.end, 0)
    todo = [(window.listener, window.start, window.end)] if whole else []
    then = "map window" if whole else "window moved"
    begin(vmm, Round(WINDOW_OPS | vmm.windows_moved, todo, False, then), 0, context)


def map_window(vmm: "Vmm", telling: Round, took: int, context: Context) -> None:
    """And map it again, for another buffer of the device's."""
    window = vmm.windows[vmm.current]
    telling.todo = [(window.listener, window.start, window.end)]
    telling.populate, telling.then = True, "window moved"
    begin(vmm, telling, took, context)


def window_moved(vmm: "Vmm", _: Round, __: int, context: Context) -> None:
    """The stream goes on."""
    window = vmm.windows.pop(vmm.current)
    context.send(vmm.vm | DEVICES, m.WindowMoved(window.stream), context.link)
    vmm.release(window.queued_at, context)


AFTER: dict[str, Callable[["Vmm", Round, int, Context], None]] = {
    "ioctl": go_on,
    "answer": answer,
    "discard": discard,
    "refused": decide,
    "again": again,
    "map window": map_window,
    "window moved": window_moved,
}
