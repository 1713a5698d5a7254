"""A malicious guest (docs/domain.md section 9, W12): one vCPU converts, others use the private alias meanwhile."""

from actors.contract import PAGE_BYTES, Share
from cluster.draws import UNITS, block, key_of
from workloads.loads.draws import exponential
from workloads.loads.load import Job
from workloads.scenario import Hostile


class HostileProgram:
    """Lane 0 converts the first pages of memory to shared and back; each of the others is a vCPU at their alias."""

    timed = one_sequence = boots = False

    def __init__(self, load: Hostile, pages: int, seed: int, vm: int) -> None:
        self.load = load
        self.pages = min(load.size // PAGE_BYTES, pages)
        self.sides = load.vcpus
        self.lanes = 1 + self.sides
        self.keys = tuple(key_of(seed, "hostile", vm, lane) for lane in range(self.lanes))

    def job(self, lane: int, step: int) -> Job:
        """See workloads.loads.load.Program; it has no end of its own."""
        load, pages = self.load, self.pages
        wait, use = block(self.keys[lane], step)[:2]
        if lane:
            pause = round(exponential(load.pause, wait))
            return Job(pause, 0, pages, Share.PRIVATE, convert=False, alias=load.access)
        pause = round(exponential(load.think, wait))
        if step % 2:
            return Job(pause, 0, pages, Share.PRIVATE)
        return Job(pause, 0, pages, Share.SHARED, use=use < load.touch * UNITS)
