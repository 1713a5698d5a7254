"""The invalidation queue of one IOMMU unit, shared by every VM behind it, and what a wait that does not end leaves.

It is a server in virtual time: `free_at` is when its last wait descriptor completes. docs/domain.md section 2.4.
A unit may have a queue for each VM instead: these neither wait for one another nor share descriptors.
"""

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from actors.address import vm_base
from actors.contract import Context, Reason, opportunity
from actors.intervals import IntervalMap
from actors.iommu.tables import listener_of
from actors.observations import Dma, IotlbQueued

if TYPE_CHECKING:
    from actors.iommu.driver import Iommu


class Invalidation(NamedTuple):
    """Of a range of a VM in some of its domains, for one conversion or one request of the VMM."""

    vm: int
    op: int
    start: int
    end: int
    domains: list[int]


def free_at(iommu: "Iommu", vm: int) -> int:
    """When the queue that the VM's invalidations go to has done all that is in it (ns)."""
    return iommu.free_at if iommu.own is msgspec.UNSET else iommu.own.get(vm, 0)


def busy_until(iommu: "Iommu", vm: int, when: int) -> None:
    """It has more to do."""
    if iommu.own is msgspec.UNSET:
        iommu.free_at = when
    else:
        iommu.own[vm] = when


def depth(iommu: "Iommu", vm: int) -> int:
    """How many of its descriptors are taken."""
    if iommu.own is msgspec.UNSET:
        return iommu.slots
    return sum(unmap.slot for unmap in iommu.unmaps.values() if vm_base(unmap.gmem) == vm)


def invalidate(
    iommu: "Iommu", what: Invalidation, ready_in: int, context: Context
) -> tuple[int, Reason, bool]:
    """Queue it behind all others once the entries are cleared.

    Returns when it is over, from now, why it failed, or NONE, and whether a fault point struck.

    Where a driver gives up, it does so after the timeout, and everybody behind it has waited as long. Where it does
    not (inval_fail = hang), an invalidation that a device holds up holds the queue, and whatever the caller holds.
    """
    key = opportunity(what.vm, what.op, what.start)
    begin = max(context.now + ready_in, free_at(iommu, what.vm))
    free = begin + context.cost("iotlb_invalidate", len(what.domains))
    pages = what.end - what.start
    outlier = context.choose("iommu.outlier", 1, key, pages)
    if outlier:
        free += context.cost("iotlb_outlier")
    fault = context.choose("iommu.timeout", 1, key, pages)
    reason = fault.reason if fault else Reason.NONE
    if reason is Reason.TIMEOUT and iommu.hangs:
        reason = Reason.NONE
        free += context.cost("iommu_hang")
    wait = begin - context.now - ready_in
    waited = free - context.now
    if reason is Reason.TIMEOUT or (waited > iommu.timeout and not iommu.hangs):
        reason, waited = Reason.TIMEOUT, iommu.timeout
        free = max(free, context.now + waited)  # everybody behind it waits too
    busy_until(iommu, what.vm, free)
    where = what.start, what.end
    queue = iommu.host if iommu.own is msgspec.UNSET else what.vm
    ahead = depth(iommu, what.vm)
    context.observe(
        IotlbQueued(queue, ahead, wait, what.vm, *where, waited, ready_in, free - begin)
    )
    for domain in what.domains:
        if reason is not Reason.NONE:
            linger(iommu, domain, what.start, what.end)
        else:
            confirmed(iommu, domain, what, waited, context)
    return waited, reason, bool(outlier or fault)


def linger(iommu: "Iommu", domain: int, start: int, end: int) -> None:
    """Nobody knows until when a device may use translations of the range that have no entry any more."""
    table = iommu.lingering.setdefault(domain, IntervalMap.filled(0))
    table.set(start, end, 1)


def confirmed(
    iommu: "Iommu", domain: int, what: Invalidation, waited: int, context: Context
) -> None:
    """A wait descriptor completes: so have all that stood before it in the queue."""
    flushed(iommu, domain, context)
    context.observe(Dma(what.vm, what.start, what.end, False, listener_of(domain)))
    if iommu.streams:
        now = context.now
        iommu.closing = [each for each in iommu.closing if each[3] > now]
        iommu.closing.append((domain, what.start, what.end, now + waited))


def flushed(iommu: "Iommu", domain: int, context: Context) -> None:
    """No IOTLB knows what was unmapped in this domain."""
    gone = iommu.lingering.pop(domain, None)
    for start, end, lingers in gone.runs(0, gone.starts[-1] + 1) if gone else ():
        if lingers:
            context.observe(Dma(vm_base(domain), start, end, False, listener_of(domain)))


def may_linger(iommu: "Iommu", domain: int, start: int, end: int, now: int) -> bool:
    """May an IOTLB still know the whole range, which has no entry: in an unmap under way, or after one that failed?"""
    lingering = iommu.lingering.get(domain)
    if lingering and lingering.only(start, end, 1):
        return True
    return any(
        where == domain and first <= start and end <= last and now < until
        for where, first, last, until in iommu.closing
    )
