"""Devices and the IOMMU: what is mapped, queued, done, faulted."""

from actors.contract import Observation


class Dma(Observation, frozen=True, tag=17):
    """A listener's IOMMU domain maps the range, or no longer does; IOTLB invalidation included."""

    vm: int
    start: int
    end: int
    mapped: bool
    listener: int = 0


class IotlbQueued(Observation, frozen=True, tag=18):
    """An invalidation of a range of the VM entered the unit's queue behind `depth` others and waited `wait`.

    Its driver waits for `took` in all, from now: until the wait descriptor completes, or it gives up. It is in the
    queue `ready` from now, and has the unit `busy` after its wait. `queue` is the host's, or the VM's own, by whose
    base address it is.
    """

    queue: int
    depth: int
    wait: int
    vm: int
    start: int
    end: int
    took: int = 0
    ready: int = 0
    busy: int = 0


class DmaDone(Observation, frozen=True, tag=100):
    """A device has read or written the range; `stale` when only its IOTLB still knew it."""

    vm: int
    start: int
    end: int
    listener: int
    write: bool
    stale: bool


class DmarFault(Observation, frozen=True, tag=101):
    """A device met this range with no translation: a DMAR fault in the host's log, and the DMA is lost."""

    host: int
    vm: int
    start: int
    end: int
    listener: int
    write: bool


class DmaHeld(Observation, frozen=True, tag=102):
    """A stream of DMA stood still for `wait` while the VMM moved its window."""

    vm: int
    wait: int
