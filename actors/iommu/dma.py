"""DMA of devices through the IOMMU: done, done by a translation that is on its way out, or a DMAR fault.

Translations and invalidations do not wait for each other here: what slows DMA down is the VMM's map and unmap, whose
invalidations stand in the one queue of the unit.
"""

from typing import TYPE_CHECKING

from actors import messages as m
from actors.contract import Context
from actors.iommu.queue import may_linger
from actors.iommu.tables import domains_of
from actors.observations import DmaDone, DmarFault

if TYPE_CHECKING:
    from actors.iommu.driver import Iommu


def on_access(iommu: "Iommu", message: m.DmaAccess, context: Context) -> None:
    """Walk the listener's domain; the first page without an entry decides."""
    vm, start, end = message.vm, message.start, message.end
    listener, write = message.listener, message.write
    domain = vm | listener
    if domain not in domains_of(iommu, vm):
        return  # the device is gone
    table = iommu.domains[domain]
    missing = next((run for run in table.runs(start, end) if not run[2]), None)
    if missing is None:
        context.observe(DmaDone(vm, start, end, listener, write, False))
    elif may_linger(iommu, domain, missing[0], missing[1], context.now):
        context.observe(DmaDone(vm, start, end, listener, write, True))
    else:
        context.observe(DmarFault(iommu.host, vm, missing[0], missing[1], listener, write))
