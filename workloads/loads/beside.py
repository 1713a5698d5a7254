"""Programs in which something happens beside the conversions: callers of mmu_notifiers, pin holders, hungry processes.

The last lane posts at random times, whether anybody is ready or not, until the conversions have ended.
"""

import math

from actors import messages as m
from actors.address import ALLOCATOR, HOST_MAP, host_base
from actors.contract import PAGE_BYTES, Share
from actors.notifier_sites import DIRECT, EXIT_MMAP, KVM_CHAINS, MM_CHAINS, OOM_REAPER, Caller
from cluster.draws import UNITS, block, key_of
from workloads.loads.draws import below, exponential, lognormal
from workloads.loads.load import STEPS, Job, Post, load_address
from workloads.loads.pace import is_open
from workloads.loads.pool import Pool
from workloads.loads.programs import churn_beside
from workloads.scenario import MemoryPressure, NotifierStorm, PinHolders

SECOND_NS = 1_000_000_000
# A process exits once, which is no storm: N8 belongs to the workload `shutdown`.
CHAINS = tuple(c for c in (*MM_CHAINS, *KVM_CHAINS) if c.number != EXIT_MMAP)


class NotifierStormProgram:
    """Conversions in a pool, and callers of actors.notifier_sites on ranges of it."""

    one_sequence = boots = False
    sides = 1

    def __init__(self, load: NotifierStorm, pages: int, seed: int, vm: int) -> None:
        self.load = load
        self.timed = is_open(load)
        self.pool = Pool(load, pages, seed, vm)
        self.lanes = self.pool.lanes + 1
        self.host_map = vm | HOST_MAP
        self.key = key_of(seed, "notifier-storm", vm)

    def job(self, lane: int, step: int) -> Job | None:
        """See workloads.loads.load.Program."""
        if lane < self.pool.lanes:
            return self.pool.job(lane, step)
        wait, who, which, size, high, low = block(self.key, step)[:6]
        pages = length(self.load.range_mean, size, self.pool.pages)
        start = self.pool.start + below(self.pool.pages - pages + 1, high, low)
        call = m.NotifierCall(self.caller(who, which).number, start, start + pages)
        pause = round(exponential(SECOND_NS / self.load.rate, wait))
        return Job(pause, start, start + pages, Share.SHARED, post=Post(self.host_map, call))

    def caller(self, who: int, which: int) -> Caller:
        """A chain, the OOM reaper, or one of the 34, by the shares that the scenario gives them."""
        load = self.load
        if who < load.chains * UNITS:
            return CHAINS[which * len(CHAINS) >> 16]
        if who < (load.chains + load.reaper) * UNITS:
            return OOM_REAPER
        return DIRECT[which * len(DIRECT) >> 16]


class PinHoldersProgram:
    """Conversions in a pool, and holders that pin a share of its pages."""

    one_sequence = boots = False
    sides = 1

    def __init__(self, load: PinHolders, pages: int, seed: int, vm: int) -> None:
        self.load = load
        self.timed = is_open(load)
        self.pool = Pool(load, pages, seed, vm)
        self.lanes = self.pool.lanes + 1
        self.host_map = vm | HOST_MAP
        self.key = key_of(seed, "pin-holders", vm)
        # So many pins are in force on average (Little): rate times hold is pages to hold over pages of a pin.
        pins = load.pinned * self.pool.pages / max(1.0, load.pin_mean / PAGE_BYTES)
        self.pause = load.hold / max(pins, 1e-9)

    def job(self, lane: int, step: int) -> Job | None:
        """See workloads.loads.load.Program."""
        if lane < self.pool.lanes:
            return self.pool.job(lane, step)
        load = self.load
        wait, size, high, low, hold = block(self.key, step)[:5]
        pages = length(load.pin_mean, size, self.pool.part)
        start = self.pool.start + below(self.pool.pages - pages + 1, high, low)
        held = round(min(lognormal(load.hold, load.hold_sigma, hold), load.hold_max))
        pin = m.GetPages(start, start + pages, max(1, held))
        pause = round(exponential(self.pause, wait))
        return Job(pause, start, start + pages, Share.SHARED, post=Post(self.host_map, pin))


class MemoryPressureProgram:
    """Churn, and processes of the host that take pages of its pool and give them back."""

    one_sequence = boots = False
    sides = 1

    def __init__(self, load: MemoryPressure, pages: int, seed: int, vm: int) -> None:
        self.load = load
        self.timed = is_open(load)
        self.churn = churn_beside(load, pages, seed, vm)
        self.lanes = self.churn.lanes + 1
        self.vm = vm
        self.key = key_of(seed, "memory-pressure", vm)

    def job(self, lane: int, step: int) -> Job | None:
        """See workloads.loads.load.Program."""
        if lane < self.churn.lanes:
            return self.churn.job(lane, step)
        load = self.load
        wait, size, hold = block(self.key, step)[:3]
        pages = max(1, math.ceil(exponential(load.take_mean / PAGE_BYTES, size)))
        take = m.Reserve(load_address(self.vm), lane * STEPS + step, pages, self.vm, step)
        post = Post(host_base(self.vm) | ALLOCATOR, take)
        pause = round(exponential(SECOND_NS / load.rate, wait))
        held = round(exponential(load.hold, hold))
        return Job(pause, 0, 0, Share.PRIVATE, post=post, hold=held)


def length(mean: int, draw: int, most: int) -> int:
    """Pages of a range whose bytes are exponential with this mean."""
    return min(most, max(1, math.ceil(exponential(mean / PAGE_BYTES, draw))))
