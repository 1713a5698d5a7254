"""TDVMCALL MapGPA in KVM: one exit to the VMM for each 2 MiB piece; an interrupt between pieces ends the call early."""

from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors.address import GUEST, KVM, VMM
from actors.contract import PAGES_2M, Context, Reason, Share, opportunity
from actors.names import piece_request

if TYPE_CHECKING:
    from actors.kvm.mmu import KvmMmu


class MapGpaCall(msgspec.Struct):
    """One call of a vCPU; `cursor` is the first gfn not converted yet, the last three name the piece there."""

    task: int
    start: int
    end: int
    to: Share
    cursor: int
    piece: int
    again: int
    back: bool


def begin(kvm: "KvmMmu", message: m.MapGpa, context: Context) -> None:
    """Start at the first piece. The first one is due since the guest wanted it, later ones since the one before."""
    call = MapGpaCall(
        message.task,
        message.start,
        message.end,
        message.to,
        message.start,
        message.piece,
        message.again,
        message.back,
    )
    piece(kvm, call, message.since, context)


def piece(kvm: "KvmMmu", call: MapGpaCall, since: int, context: Context) -> None:
    """Exit to the VMM with the next 2 MiB, counted from the cursor and not aligned."""
    number = piece_request(call.task, call.piece, call.again, call.back)
    kvm.calls[number] = call
    end = min(call.cursor + PAGES_2M, call.end)
    request = m.ConvertRequest(number, call.cursor, end, call.to, since, kvm.vm | KVM)
    context.send(kvm.vm | VMM, request, context.cost("td_exit_roundtrip"))


def answered(kvm: "KvmMmu", message: m.ConvertAnswer, context: Context) -> None:
    """On to the next piece; back to the guest at the end, on an error, or when an interrupt is pending."""
    call = kvm.calls.pop(message.request)
    if message.reason is Reason.NONE:
        call.cursor = min(call.cursor + PAGES_2M, call.end)
        call.piece += 1
        call.again = 0
    resume = call.cursor
    if message.reason is not Reason.NONE or call.cursor == call.end:
        reply = m.MapGpaDone(call.task, message.reason, resume)
        context.send(kvm.vm | GUEST, reply, context.link)
        return
    key = opportunity(kvm.vm, message.request, call.cursor)
    fault = context.choose("kvm.interrupt", 1, key)
    if fault is None:
        piece(kvm, call, context.now, context)
    elif fault.reason is Reason.BUG:
        kvm.bug("mapgpa", Reason.BUG, True, context)
    else:
        early = m.MapGpaDone(call.task, fault.reason, resume, fresh=True)
        context.send(kvm.vm | GUEST, early, context.cost("td_exit_roundtrip"))
