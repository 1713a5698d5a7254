"""A malicious guest (docs/domain.md section 9, W12): one vCPU converts, others use the private alias meanwhile."""

from actors.contract import PAGE_BYTES, Share
from cluster.draws import UNITS, block, key_of
from workloads.loads.draws import below, exponential
from workloads.loads.load import Job
from workloads.scenario import Hostile


class HostileProgram:
    """Lane 0 converts the first pages of memory to shared and back; each of the others is a vCPU at their alias."""

    timed = one_sequence = boots = False

    def __init__(self, load: Hostile, pages: int, seed: int, vm: int) -> None:
        self.load = load
        self.pages = min(load.size // PAGE_BYTES, pages)
        self.piece = min(load.access_size // PAGE_BYTES, self.pages)
        self.sides = load.vcpus
        self.lanes = 1 + self.sides
        self.keys = tuple(key_of(seed, "hostile", vm, lane) for lane in range(self.lanes))

    def job(self, lane: int, step: int) -> Job:
        """See workloads.loads.load.Program; it has no end of its own."""
        return self.using(lane, step) if lane else self.converting(step)

    def converting(self, step: int) -> Job:
        """To shared; and back, unless that is left to the memory faults of the others."""
        load = self.load
        wait, use, back = block(self.keys[0], step)[:3]
        pause = round(exponential(load.think, wait))
        if step % 2 and back < load.back * UNITS:
            return Job(pause, 0, self.pages, Share.PRIVATE)
        return Job(pause, 0, self.pages, Share.SHARED, use=use < load.touch * UNITS)

    def using(self, lane: int, step: int) -> Job:
        """A piece of the private alias, whoever converts it."""
        load = self.load
        wait, high, low = block(self.keys[lane], step)[:3]
        start = below(self.pages - self.piece + 1, high, low)
        pause = round(exponential(load.pause, wait))
        end = start + self.piece
        return Job(pause, start, end, Share.PRIVATE, convert=False, alias=load.access)
