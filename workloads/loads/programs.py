"""Synthetic programs: churn, boot and hot-range. Each job is drawn by its own number, so none depends on another."""

import math
from collections.abc import Iterator
from functools import lru_cache

from actors.contract import PAGE_BYTES, PAGES_2M, Share
from cluster.draws import UNITS, block, key_of
from workloads.loads.draws import exponential
from workloads.loads.load import Job
from workloads.loads.pace import is_open
from workloads.scenario import Boot, Churn, ChurnBeside, HotRange

SECOND_NS = 1_000_000_000


class ChurnProgram:
    """Every lane converts random ranges of its own part of memory to shared, may use them, and takes them back.

    Open, a lane's n-th conversion is due at a random instant of its n-th slot: over some lanes and VMs that is near
    to Poisson arrivals, and no instant depends on those before it.
    """

    one_sequence = boots = False
    sides = 0

    def __init__(self, load: Churn, pages: int, seed: int, vm: int) -> None:
        self.lanes = max(1, min(load.outstanding, pages))
        self.timed = is_open(load)
        self.slot = self.lanes * SECOND_NS / load.rate
        self.load = load
        self.part = pages // self.lanes
        self.keys = tuple(key_of(seed, "churn", vm, lane) for lane in range(self.lanes))

    def job(self, lane: int, step: int) -> Job | None:
        """See workloads.loads.load.Program."""
        load = self.load
        cycle, back = divmod(step, 2)
        size, place, more, think, use, *instants = block(self.keys[lane], cycle)[:7]
        longest = min(load.size_max // PAGE_BYTES, self.part)
        mean = max(1.0, load.size_mean / PAGE_BYTES)
        pages = min(longest, max(1, math.ceil(exponential(mean, size))))
        start = lane * self.part + (place << 16 | more) % (self.part - pages + 1)
        if self.timed:
            wait = round((step + instants[back] / UNITS) * self.slot)
        else:
            wait = 0 if back else round(exponential(load.think, think))
        if back:
            return Job(wait, start, start + pages, Share.PRIVATE)
        return Job(wait, start, start + pages, Share.SHARED, use=use < load.touch * UNITS)


def churn_beside(load: ChurnBeside, pages: int, seed: int, vm: int) -> ChurnProgram:
    """The churn of a load in which something else happens, too."""
    churn = Churn(pace=load.pace, rate=load.conversion_rate, outstanding=load.outstanding)
    return ChurnProgram(churn, pages, seed, vm)


class BootProgram:
    """Firmware's small bounce buffers, swiotlb in one MapGPA call, then the memory that is accepted at boot.

    Linux accepts swiotlb as it allocates it, and converts it before it brings up the other vCPUs.
    """

    lanes = 1
    timed = one_sequence = False
    boots = True
    sides = 0

    def __init__(self, load: Boot, pages: int, accept: bool, seed: int, vm: int) -> None:
        self.key = key_of(seed, "boot", vm)
        self.small = 2 * load.firmware_conversions
        swiotlb = min(
            max(int(pages * PAGE_BYTES * load.swiotlb_fraction), load.swiotlb_min), load.swiotlb_max
        )
        swiotlb = min(max(swiotlb // PAGE_BYTES // PAGES_2M, 1) * PAGES_2M, pages)
        self.top = pages - swiotlb
        self.window = load.firmware_range // PAGE_BYTES
        self.rest = tuple(self.kernel(load, pages, accept))

    def kernel(self, load: Boot, pages: int, accept: bool) -> Iterator[Job]:
        """What comes after the firmware."""
        if accept:
            yield Job(0, self.top, pages, Share.PRIVATE, convert=False)
        yield Job(0, self.top, pages, Share.SHARED)
        accepted = min(load.accept // PAGE_BYTES, self.top)
        if accept and accepted:
            yield Job(
                0,
                0,
                accepted,
                Share.PRIVATE,
                convert=False,
                parts=load.accept_vcpus,
                ticking=load.ticking_vcpus,
            )

    def job(self, lane: int, step: int) -> Job | None:
        """See workloads.loads.load.Program."""
        if step < self.small:
            return self.bounce(step)
        step -= self.small
        return self.rest[step] if step < len(self.rest) else None

    def bounce(self, step: int) -> Job:
        """A buffer of some 8 KiB, 32 KiB at most, used for 20 to 200 us (docs/domain.md section 9, W2).

        Buffers lie below swiotlb, close together: firmware uses the same few MiB again and again.
        """
        number, back = divmod(step, 2)
        size, place, more, use = block(self.key, number)[:4]
        pages = min(8, max(1, math.ceil(exponential(2.0, size))))
        top = max(self.top, pages)
        window = min(max(self.window, pages), top)
        start = top - window + (place << 16 | more) % (window - pages + 1)
        wait = 20_000 + 180_000 * use // UNITS if back else 0
        return Job(wait, start, start + pages, Share.PRIVATE if back else Share.SHARED)


# (offset, size) of the sub-ranges that KVM's private_mem_conversions_test converts, in pages.
HOT_RANGES = ((0, 1), (0, PAGES_2M), (1, 1), (1, PAGES_2M), (PAGES_2M, 1))


class HotRangeProgram:
    """KVM's conversion selftest: a region for each vCPU, parts to private, odd pages back, all shared again."""

    timed = one_sequence = boots = False
    sides = 0

    def __init__(self, load: HotRange, pages: int) -> None:
        self.region = load.region // PAGE_BYTES
        self.lanes = max(1, min(load.vcpus, pages // self.region))
        self.rounds = load.rounds

    def job(self, lane: int, step: int) -> Job | None:
        """See workloads.loads.load.Program."""
        jobs = hot_jobs(self.region)
        if step >= self.rounds * len(jobs):
            return None
        base = lane * self.region
        start, end, to = jobs[step % len(jobs)]
        return Job(0, base + start, base + end, to)


@lru_cache(maxsize=16)
def hot_jobs(region: int) -> tuple[tuple[int, int, Share], ...]:
    """One round of the selftest over a region of so many pages."""
    jobs = [(0, region, Share.SHARED)]
    for offset, size in HOT_RANGES:
        start, end = offset, min(offset + size, region)
        if start >= end:
            continue
        jobs.append((start, end, Share.PRIVATE))
        jobs += [(page, page + 1, Share.SHARED) for page in range(start, end) if page % 2]
        jobs.append((0, region, Share.SHARED))
    return tuple(jobs)
