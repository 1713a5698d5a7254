"""A pool of memory that is shared to begin with, as swiotlb is, and pieces of it that go private and come back."""

import math

from actors.contract import PAGE_BYTES, Share
from cluster.draws import UNITS, block, key_of
from workloads.loads.draws import below, exponential
from workloads.loads.load import Job
from workloads.scenario import PoolWorkload

SECOND_NS = 1_000_000_000


class Pool:
    """Lanes over the last pages of a VM: each shares its part, then takes pieces of it back and shares them again."""

    def __init__(self, load: PoolWorkload, pages: int, seed: int, vm: int) -> None:
        self.load = load
        self.pages = min(load.pool // PAGE_BYTES, pages)
        self.start = pages - self.pages
        self.lanes = max(1, min(load.outstanding, self.pages))
        self.part = self.pages // self.lanes
        self.slot = self.lanes * SECOND_NS / load.conversion_rate
        self.keys = tuple(key_of(seed, "pool", vm, lane) for lane in range(self.lanes))

    def job(self, lane: int, step: int) -> Job:
        """See workloads.loads.load.Program; it has no end of its own."""
        first = self.start + lane * self.part
        if step == 0:
            return Job(0, first, first + self.part, Share.SHARED, use=True)
        load, opened = self.load, self.load.pace == "open"
        cycle, back = divmod(step - 1, 2)
        size, high, low, away, home = block(self.keys[lane], cycle)[:5]
        longest = min(load.size_max // PAGE_BYTES, self.part)
        mean = max(1.0, load.size_mean / PAGE_BYTES)
        pages = min(longest, max(1, math.ceil(exponential(mean, size))))
        start = first + below(self.part - pages + 1, high, low)
        pause = home if back else away
        # Open, a lane's n-th conversion is due at a random instant of its n-th slot, as of kind churn.
        wait = (step + pause / UNITS) * self.slot if opened else exponential(load.think, pause)
        if back:
            return Job(round(wait), start, start + pages, Share.SHARED, use=True)
        return Job(round(wait), start, start + pages, Share.PRIVATE)
