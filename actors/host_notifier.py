"""The mm's side of an mmu_notifier: ask KVM to invalidate, change the page tables, let KVM go on.

A callback's error is for its caller to bear. One that can gives its change up; one that cannot makes it all the same,
for it has no way back, and leaves KVM with leaves that the mm no longer knows of.
"""

from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors.address import KVM
from actors.contract import Context, Reason
from actors.notifier_sites import CALLERS, EXIT_MMAP, Caller
from actors.observations import MmUnmapped, NotifierCalled, NotifierError

if TYPE_CHECKING:
    from actors.host_map import HostMap


class Call(msgspec.Struct, array_like=True):
    """A caller between its range_start and range_end."""

    caller: int
    start: int
    end: int
    reply_to: int


def on_notifier_call(host: "HostMap", message: m.NotifierCall, context: Context) -> None:
    """mmu_notifier_invalidate_range_start. KVM's own chains come this way too: the mm says whether they may fail."""
    if not host.dead:
        range_start(
            host, Call(message.caller, message.start, message.end, message.reply_to), context
        )
    elif message.reply_to:  # the mm is gone
        context.send(message.reply_to, m.NotifierDone(message.caller, Reason.DEAD), context.link)


def range_start(host: "HostMap", call: Call, context: Context) -> None:
    """Ask KVM, and wait."""
    caller = CALLERS[call.caller]
    host.calls_made += 1
    host.calls[host.calls_made] = call
    context.observe(NotifierCalled(host.vm, caller.label, call.start, call.end))
    start = m.RangeStart(
        host.calls_made, call.start, call.end, host.failable, caller.blocking, caller.protects
    )
    context.send(host.vm | KVM, start, context.link)


def on_range_started(host: "HostMap", message: m.RangeStarted, context: Context) -> None:
    """KVM's callback returned: the caller goes on, or does what it can with the error."""
    call = host.calls.pop(message.number)
    caller = CALLERS[call.caller]
    failed = message.reason is not Reason.NONE
    if failed:
        context.observe(
            NotifierError(host.vm, caller.label, caller.no_fail, caller.blocking, message.reason)
        )
    took = context.link
    if caller.unmaps and (caller.no_fail or not failed):
        took = max(took, unmap(host, caller, call, context))
    if not failed:
        context.send(host.vm | KVM, m.RangeEnd(message.number), took)
    host.dead = host.dead or call.caller == EXIT_MMAP
    if call.reply_to:
        context.send(call.reply_to, m.NotifierDone(call.caller, message.reason), took)


def unmap(host: "HostMap", caller: Caller, call: Call, context: Context) -> int:
    """The entries go, until somebody touches the memory again; returns the time that takes."""
    present = host.ptes.pages(call.start, call.end, 1)
    if not present:
        return 0
    host.ptes.set(call.start, call.end, 0)
    context.observe(MmUnmapped(host.vm, caller.label, call.start, call.end))
    return context.cost("host_unmap_4k", present) + context.cost("host_unmap_flush")


def exit_mmap(host: "HostMap", context: Context) -> None:
    """N8 at the death of the VMM: with a notifier that may fail, the exit asks before its entries go."""
    if host.failable:
        end = max(slot.gfn + slot.pages for slot in host.slots)
        range_start(host, Call(EXIT_MMAP, 0, end, 0), context)
