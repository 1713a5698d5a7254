"""Devices: DMA, and what the VMM maps for them."""

from actors.contract import Message, Reason


class DmaAccess(Message, frozen=True, tag=90):
    """Device -> IOMMU: one DMA to this range (iova = gfn) through the domain of a listener of the VMM."""

    vm: int
    start: int
    end: int
    listener: int
    write: bool


class DmaUnmap(Message, frozen=True, tag=91):
    """VMM -> IOMMU driver: unmap a range in one listener's domain, invalidate the IOTLB, wait."""

    vm: int
    op: int
    start: int
    end: int
    listener: int


class DmaUnmapped(Message, frozen=True, tag=92):
    """IOMMU driver -> VMM: NONE; or TIMEOUT, when devices may still have the translation."""

    op: int
    reason: Reason


class StartDma(Message, frozen=True, tag=93):
    """Load -> devices: the pool is shared, begin to use it, or go on (`again`), for the VM that `origin` was."""

    again: bool = False
    origin: int = 0


class StopDma(Message, frozen=True, tag=94):
    """Load -> devices: no DMA from here on."""


class DmaDue(Message, frozen=True, tag=95):
    """Timer of the devices: a stream's next DMA, of this number."""

    stream: int
    number: int = 0


class WindowDue(Message, frozen=True, tag=96):
    """Timer of the devices: a stream is to move its window, for the time of this number."""

    stream: int
    number: int = 0


class MoveWindow(Message, frozen=True, tag=97):
    """Devices -> VMM: unmap this range for the stream's device and map it again; its DMA waits meanwhile."""

    stream: int
    start: int
    end: int
    listener: int


class WindowMoved(Message, frozen=True, tag=98):
    """VMM -> devices."""

    stream: int


class HostDiscard(Message, frozen=True, tag=99):
    """VMM -> host mapping: the shared side's own file has a hole here now; its page table entries are gone."""

    start: int
    end: int


class Discarded(Message, frozen=True, tag=100):
    """Timer of the VMM: the side that memory has left is discarded."""

    op: int
