"""What a VMM has mapped for its devices, by VFIO: map, unmap, and the end of its domains."""

from typing import TYPE_CHECKING

import msgspec

from actors import holders
from actors import messages as m
from actors.address import ALLOCATOR, VMM, vm_base
from actors.contract import Context, Fault, Reason, opportunity
from actors.iommu.queue import Invalidation, flushed, invalidate
from actors.iommu.tables import clear, domains_of, enter, in_use, listener_of
from actors.observations import Dma

if TYPE_CHECKING:
    from actors.iommu.driver import Iommu


def on_map(iommu: "Iommu", message: m.DmaMap, context: Context) -> None:
    """Map a range that became shared: 2 MiB entries where it is aligned, 4 KiB elsewhere."""
    start, end = message.start, message.end
    reason, took = Reason.NONE, context.link
    if message.vm in iommu.detached:
        reason = Reason.DEAD
    elif fault := failure(message, context):
        reason = fault.reason
    else:
        took = enter(iommu, message.vm | message.listener, start, end, context)
    reply = m.DmaMapped(message.op, reason)
    context.send(message.vm | VMM, reply, max(took, context.link))


def failure(message: m.DmaMap, context: Context) -> Fault | None:
    """Does the map fail?"""
    key = opportunity(message.vm, message.op, message.start)
    return context.choose("iommu.map", 1, key, message.end - message.start)


def on_unmap(iommu: "Iommu", message: m.DmaUnmap, context: Context) -> None:
    """Clear what is mapped of a range and wait for the IOTLB. VFIO tells nobody of a wait that is given up."""
    vm, start, end = message.vm, message.start, message.end
    domain = vm | message.listener
    took, reason = context.link, Reason.NONE
    if domain in domains_of(iommu, vm) and in_use(iommu, domain, start, end):
        cleared = clear(iommu, domain, start, end, context)
        what = Invalidation(vm, message.op, start, end, [domain])
        took, reason, _ = invalidate(iommu, what, cleared, context)
    reply = m.DmaUnmapped(message.op, reason)
    context.send(vm | VMM, reply, max(took, context.link))


def on_detach(iommu: "Iommu", message: m.Detach, context: Context) -> None:
    """The domains are torn down; the unit is flushed before anything else is done with the frames."""
    for domain in domains_of(iommu, message.vm):
        table = iommu.domains[domain]
        for start, end, level in table.runs(0, table.starts[-1] + 1):
            if level:
                table.set(start, end, 0)
                context.observe(Dma(message.vm, start, end, False, listener_of(domain)))
        flushed(iommu, domain, context)
    pages = 0 if iommu.tables is msgspec.UNSET else iommu.tables.pop(message.vm, 0)
    if pages:
        context.send(iommu.host | ALLOCATOR, m.GiveBack(pages, message.vm), context.link)
    iommu.detached.append(message.vm)
    holders.let_go(iommu, message.vm, context)


def on_teardown(iommu: "Iommu", message: m.Teardown, context: Context) -> None:
    """A file is closed. Its VM's devices, if it has any, go first."""
    holders.asked(iommu, message.gmem, not domains_of(iommu, vm_base(message.gmem)), context)
