"""Page faults on guest_memfd: the guest's, by way of KVM, and the host's on its own mapping of the file."""

from typing import TYPE_CHECKING

from actors import messages as m
from actors.address import vm_base
from actors.contract import Context, Reason, Share
from actors.gmem import failure as gmem_failure
from actors.gmem import frames as gmem_frames
from actors.gmem import punch as gmem_punch
from actors.gmem.folios import HOLE
from actors.gmem.tickets import GUEST_FAULT, HOST_FAULT, TICKETS
from actors.locks.lock import Waiter
from actors.observations import FaultWaited

if TYPE_CHECKING:
    from actors.gmem.inode import Gmem


def on_get_pfn(gmem: "Gmem", message: m.GetPfn, context: Context) -> None:
    """A guest fault. The attribute is read without the lock (KVM's sequence check makes that safe), then ilock."""
    if gmem.released or not gmem.poison.only(message.start, message.end, 0):
        failed = gmem_failure.bad(gmem, message.start, message.end)
        reply = m.GotPfn(message.access, Reason.POISONED, 0, 0, failed)
    elif not gmem.share.only(message.start, message.end, message.share):
        reply = m.GotPfn(message.access, Reason.REFERENCES, 0, 0)
    else:
        ticket = message.access * TICKETS + GUEST_FAULT
        gmem.faults[ticket] = message
        gmem.take(ticket, False, context)
        return
    context.send(gmem.asker(message.access), reply, context.link)


def answer_pfn(gmem: "Gmem", ticket: int, context: Context) -> None:
    """Look the folio up; the lock is not held beyond that."""
    fault = gmem.faults[ticket]
    assert isinstance(fault, m.GetPfn)
    order = min(order for _, _, order in gmem.folios.runs(fault.start, fault.end))
    if order == HOLE:
        gmem_punch.fill(gmem, ticket, fault.start, fault.end, context)
        return
    del gmem.faults[ticket]
    reason = Reason.NONE if order >= 0 else Reason.POISONED  # a folio that an undo has lost
    reply = m.GotPfn(fault.access, reason, order, gmem_frames.pfn_of(gmem, fault.start))
    context.send(gmem.asker(fault.access), reply, context.link)
    gmem.drop(ticket, context)


def waited(gmem: "Gmem", waiter: Waiter, context: Context) -> None:
    """A page fault that had to wait for the lock."""
    fault = gmem.faults.get(waiter.ticket)
    if fault:
        for start, end in gmem.gfns(fault.start, fault.end):
            wait = context.now - waiter.since
            context.observe(FaultWaited(vm_base(gmem.address), start, end, "ilock", wait))


def on_host_fault(gmem: "Gmem", message: m.HostFault, context: Context) -> None:
    """A fault on the VMM's own mapping of the file; ilock is held until the PTE is there."""
    ticket = message.ticket * TICKETS + HOST_FAULT
    gmem.faults[ticket] = message
    gmem.take(ticket, False, context)


def answer_host(gmem: "Gmem", ticket: int, context: Context) -> None:
    """SIGBUS unless the whole range is shared, and no page of it poisoned, as bad ones are."""
    fault = gmem.faults[ticket]
    assert isinstance(fault, m.HostFault)
    shared = gmem.share.only(fault.start, fault.end, Share.SHARED)
    allowed = shared and not gmem.released and gmem.poison.only(fault.start, fault.end, 0)
    orders = (order for _, _, order in gmem.folios.runs(fault.start, fault.end))
    if allowed and HOLE in orders:
        gmem_punch.fill(gmem, ticket, fault.start, fault.end, context)
        return
    del gmem.faults[ticket]
    context.send(fault.reply_to, m.HostPage(fault.ticket, allowed), context.link)
    if not allowed:
        gmem.drop(ticket, context)


def on_host_faulted(gmem: "Gmem", message: m.HostFaulted, context: Context) -> None:
    """The host's PTEs are installed."""
    gmem.drop(message.ticket * TICKETS + HOST_FAULT, context)
