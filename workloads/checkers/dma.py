"""Books and checks about devices: what the IOMMU maps, what a DMA met there, and whether the VMM knows it."""

from typing import TYPE_CHECKING, NamedTuple

from actors import observations as o
from actors.contract import Reason, Share
from actors.intervals import IntervalMap
from actors.messages import ATTEMPT_BITS
from workloads.checkers.words import span

if TYPE_CHECKING:
    from workloads.checkers.operation import Operation
    from workloads.checkers.shadow import Shadow

Found = str | None
NONE = Reason.NONE  # a member is slow to look up


class Backing(NamedTuple):
    """How a VM's devices see its memory: by how many listeners, and whether the shared side is a file of its own.

    `before`: all of it is mapped for listener 0 when the VM starts, and nobody tells devices of conversions. `pins`:
    what is mapped has a reference. `patience` is for how long (ns) the driver waits for an invalidation.
    """

    listeners: int = 0
    apart: bool = False
    before: int = 0  # pages
    pins: bool = False
    patience: int = 0


class Domain:
    """What one listener has mapped. Maps are gfn -> 0 or 1."""

    def __init__(self) -> None:
        self.mapped = IntervalMap.filled(0)
        self.lost = IntervalMap.filled(
            0
        )  # it was mapped, and is no more, on the side that it was mapped on
        self.failed = IntervalMap.filled(
            0
        )  # a map of it was refused, or its unmap given up, for a cause
        self.stale = IntervalMap.filled(0)  # the pages that it maps are no more the guest's
        self.faulted = IntervalMap.filled(
            0
        )  # a DMA met a lost page; the conversion at fault has not ended


class DeviceBooks:
    """One VM's devices. `refused` is gfn -> 1 where the last conversion has failed."""

    def __init__(self, backing: Backing) -> None:
        self.backing = backing
        self.domains = [Domain() for _ in range(max(1, backing.listeners))]
        others = (f"IOMMU for listener {n}" for n in range(1, len(self.domains)))
        self.names = ("IOMMU", *others)  # of what each listener's domain maps, for people
        mapped = (domain.mapped for domain in self.domains)
        self.tables = dict(zip(self.names, mapped, strict=True))
        self.refused = IntervalMap.filled(0)
        self.left = IntervalMap.filled(0)  # 1 where the driver said that it could not unmap
        # (start, end, until) of invalidations that somebody waits for.
        self.waits: list[tuple[int, int, int]] = []
        # Requests that were refused, and that their VMMs may try again after devices have let go: what they are about.
        self.trying: dict[int, tuple[int, int]] = {}
        if backing.before:
            self.domains[0].mapped.set(0, backing.before, 1)

    def map(self, fact: o.Dma) -> None:
        domain = self.domains[fact.listener]
        if not fact.mapped:
            for start, end, mapped in domain.mapped.runs(fact.start, fact.end):
                if mapped:
                    domain.lost.set(start, end, 1)
        else:
            forget(domain.lost, fact.start, fact.end)
        domain.mapped.set(fact.start, fact.end, int(fact.mapped))
        forget(self.left, fact.start, fact.end)
        forget(domain.failed, fact.start, fact.end)
        forget(domain.stale, fact.start, fact.end)

    def queued(self, fact: o.IotlbQueued, now: int) -> None:
        if self.waits:
            self.waits = [wait for wait in self.waits if now < wait[2]]
        self.waits.append((fact.start, fact.end, now + fact.took))

    def held_up(self, start: int, end: int) -> None:
        """The fault plan, or others in the queue, kept a map or an unmap of the range from being done."""
        for domain in self.domains:
            domain.failed.set(start, end, 1)

    def stored(self, fact: o.ShareStored) -> None:
        """From here on devices see the new side, or nothing, and neither is a loss."""
        for domain in self.domains:
            forget(domain.lost, fact.start, fact.end)

    def discarded(self, fact: o.SideDiscarded) -> None:
        """Whoever maps the side that was given up maps pages of nobody."""
        for domain in self.domains if fact.side is Share.SHARED else ():
            for start, end, mapped in domain.mapped.runs(fact.start, fact.end):
                if mapped:
                    domain.stale.set(start, end, 1)

    def fault(self, fact: o.DmarFault) -> bool:
        """Is it the first one to meet what a conversion has taken away?"""
        domain = self.domains[fact.listener]
        before = domain.faulted.fragments > 1
        for start, end, lost in domain.lost.runs(fact.start, fact.end):
            if lost:
                domain.faulted.set(start, end, 1)
        return domain.faulted.fragments > 1 and not before

    def ended(self, fact: o.ConvertEnd, operation: "Operation") -> None:
        """A conversion is over; whoever met its traces has been told by now."""
        start, end = operation.begin.start, operation.begin.end
        failed = fact.reason is not NONE
        if failed and self.backing.listeners:
            self.trying[fact.op >> ATTEMPT_BITS] = (start, end)
        if failed or not self.refused.only(start, end, 0):
            self.refused.set(start, end, int(failed))
        for domain in self.domains:
            if not domain.faulted.only(start, end, 0):
                domain.faulted.set(start, end, 0)

    def answered(self, fact: o.Answered) -> None:
        """Of a request that is over devices have all that is theirs again."""
        self.trying.pop(fact.request, None)

    def excused(self, domain: Domain, start: int, end: int) -> bool:
        """Could the listener not follow, for a cause? Or has it let go of the range for a request that is not over?"""
        tried = any(start < last and first < end for first, last in self.trying.values())
        return domain.failed.only(start, end, 1) or (tried and domain.lost.only(start, end, 1))


def forget(table: IntervalMap, start: int, end: int) -> None:
    """Set to 0 what is nearly always 0 everywhere."""
    if len(table.starts) > 1:
        table.set(start, end, 0)


# --- DMAR faults ---------------------------------------------------------------------------------


def an2(shadow: "Shadow", fact: o.DmarFault) -> Found:
    """Before: the page is shared, and the last conversion of it was refused."""
    if shadow.closed or under_way(shadow, fact.start, fact.end):
        return None
    for start, end, side in shadow.share.runs(fact.start, fact.end):
        if side != Share.SHARED:
            continue
        for first, last, refused in shadow.devices.refused.runs(start, end):
            if refused:
                where = span(first, last)
                return f"DMAR fault at {where}: shared still, and unmapped for a conversion that failed"
    return None


def an2_after(shadow: "Shadow", fact: o.ConvertEnd, op: "Operation") -> Found:
    """The conversion was refused, and a device has met what it had taken away."""
    if fact.reason is NONE or shadow.closed:
        return None
    for domain in shadow.devices.domains:
        for start, end, faulted in domain.faulted.runs(op.begin.start, op.begin.end):
            if faulted:
                where = span(start, end)
                return f"DMAR fault at {where}: unmapped for a conversion that then failed"
    return None


def under_way(shadow: "Shadow", start: int, end: int) -> bool:
    """Is a conversion of a part of the range under way?"""
    begun = (operation.begin for operation in shadow.operations.values())
    return any(begin.start < end and start < begin.end for begin in begun)


# --- where DMA went ------------------------------------------------------------------------------


def i1_dma(shadow: "Shadow", fact: o.DmaDone) -> Found:
    """Before: no device reaches private memory."""
    if shadow.closed or shadow.devices.backing.apart:
        return None
    for start, end, side in shadow.share.runs(fact.start, fact.end):
        if side != Share.SHARED:
            return f"a device {way(fact)} {span(start, end)}, which is private"
    return None


def an27(shadow: "Shadow", fact: o.DmaDone) -> Found:
    """Before: the listener's domain maps pages of the side that the VMM has given up."""
    if shadow.closed:
        return None
    for start, end, stale in shadow.devices.domains[fact.listener].stale.runs(fact.start, fact.end):
        if stale:
            return f"a device {way(fact)} {span(start, end)} in pages that were discarded"
    return None


def way(fact: o.DmaDone) -> str:
    """In a word."""
    return "wrote" if fact.write else "read"


# --- does the VMM know? --------------------------------------------------------------------------


def an18(shadow: "Shadow", fact: o.Answered) -> Found:
    """After: of the range that was answered, bitmap, attribute and every listener's domain say the same."""
    return diverging(shadow, fact, excused=False)


def i21(shadow: "Shadow", fact: o.Answered) -> Found:
    """After: or a listener's map was refused, or its unmap given up, and that had a cause; or another vCPU's request
    of the same pages is tried again, for which it has let go."""
    return diverging(shadow, fact, excused=True)


def diverging(shadow: "Shadow", fact: o.Answered, excused: bool) -> Found:
    """Where bitmap, attribute and domains disagree, but, if `excused`, for what devices have a cause to miss."""
    # No VMM was asked, and what there is to find was found before; or its bitmap is gone with it.
    if fact.latency == o.NO_LATENCY or shadow.killed:
        return None
    devices = shadow.devices
    gone = shadow.dead or fact.reason is Reason.DEAD  # with the VM go its devices
    used = not gone and (devices.backing.listeners or devices.backing.before)
    domains = devices.domains if used else ()
    # Where nobody tells devices of conversions, that is why they see both sides; they have to see all of both.
    untold = excused and devices.backing.before
    for start, end, side in shadow.share.runs(fact.start, fact.end):
        if not shadow.bitmap.only(start, end, side):
            return f"bitmap of {span(start, end)} disagrees with guest_memfd"
        due = Share.SHARED if untold else side
        for listener, domain in enumerate(domains):
            for first, last, mapped in domain.mapped.runs(start, end):
                if mapped == due or (excused and devices.excused(domain, first, last)):
                    continue
                is_on = f"is {Share(side).name.lower()}"
                still = f"{is_on} and {'still' if mapped else 'not'} mapped"
                return f"{span(first, last)} {still} for the devices of listener {listener}"
    return None
