"""dma-storm: a pool that becomes shared and stays so, devices that use it, conversions beside it and in it.

docs/domain.md section 9, W4.
"""

import math

from actors import messages as m
from actors.address import DEVICES
from actors.contract import PAGE_BYTES, Context, Share
from actors.devices import NEVER, Dma, Window
from cluster.draws import UNITS, block, key_of
from workloads.loads.draws import below, exponential
from workloads.loads.load import Job, Load, Program
from workloads.loads.pace import is_open
from workloads.loads.tenant import Moved
from workloads.scenario import DmaStorm

SECOND_NS = 1_000_000_000


class DmaLoad(Load):
    """A load that tells the devices when to begin, and when to stop."""

    def on_done(self, message: m.TaskDone, context: Context) -> None:
        """The first lane's first task has shared the pool, or as much of it as could be.

        Where all lanes have ended meanwhile, as an open loop's can, nobody would stop what begins now.
        """
        if message.task == self.task(0, 0) and self.ended < self.program.lanes:
            context.send(self.vm | DEVICES, m.StartDma(), context.link)
        super().on_done(message, context)

    def end_lane(self, context: Context) -> None:
        """With the last conversion the DMA ends."""
        super().end_lane(context)
        if self.ended == self.program.lanes:
            context.send(self.vm | DEVICES, m.StopDma(), context.link)

    HANDLERS = {**Load.HANDLERS, m.TaskDone: on_done}


class DmaStormProgram:
    """Lane 0 makes the pool shared first. Then every lane converts a range there and back, again and again.

    Each lane keeps to its own part, of the memory beside the pool or, with probability pool_hits, of the pool.
    """

    one_sequence = boots = False
    sides = 0

    def __init__(self, load: DmaStorm, pages: int, seed: int, vm: int) -> None:
        self.load = load
        self.timed = is_open(load)
        self.pool = load.pool // PAGE_BYTES
        self.lanes = max(1, min(load.outstanding, pages - self.pool, self.pool))
        self.slot = self.lanes * SECOND_NS / load.rate
        self.part = (pages - self.pool) // self.lanes
        self.pool_part = self.pool // self.lanes
        self.keys = tuple(key_of(seed, "dma-storm", vm, lane) for lane in range(self.lanes))

    def job(self, lane: int, step: int) -> Job:
        """See workloads.loads.load.Program; it has no end of its own."""
        first_of_all = lane == 0
        if first_of_all and step == 0:
            return Job(0, 0, self.pool, Share.SHARED)
        load = self.load
        cycle, back = divmod(step - first_of_all, 2)
        size, high, low, think, hit, *instants = block(self.keys[lane], cycle)[:7]
        in_pool = hit < load.pool_hits * UNITS
        part = self.pool_part if in_pool else self.part
        first = lane * part + (0 if in_pool else self.pool)
        pages = spread(size, load.size_mean, min(load.size_max // PAGE_BYTES, part))
        start = first + below(part - pages + 1, high, low)
        away = Share.PRIVATE if in_pool else Share.SHARED
        if self.timed:  # as of kind churn
            wait = round((step + instants[back] / UNITS) * self.slot)
        else:
            wait = 0 if back else round(exponential(load.think, think))
        return Job(wait, start, start + pages, Share(1 - away) if back else away)


def drives_devices(program: Program) -> bool:
    """Is it the program of a VM whose devices have DMA of their own?"""
    own = program.program if isinstance(program, Moved) else program
    return isinstance(own, DmaStormProgram)


class DmaStreams:
    """What the devices do with the pool; each stream has a part of it to itself (actors.devices.Streams)."""

    def __init__(self, load: DmaStorm, seed: int, vm: int) -> None:
        self.load = load
        self.streams = min(load.streams, load.pool // PAGE_BYTES)
        self.part = load.pool // PAGE_BYTES // self.streams
        self.keys = tuple(key_of(seed, "dma", vm, stream) for stream in range(self.streams))
        self.window_keys = tuple(
            key_of(seed, "window", vm, stream) for stream in range(self.streams)
        )

    def dma(self, stream: int, number: int) -> Dma:
        """At exponential intervals, anywhere in the part; every other one writes, by chance."""
        load = self.load
        size, high, low, gap, way = block(self.keys[stream], number)[:5]
        pages = spread(size, load.dma_mean, min(load.dma_max // PAGE_BYTES, self.part))
        start = stream * self.part + below(self.part - pages + 1, high, low)
        wait = round(exponential(SECOND_NS / load.dma_rate, gap))
        return Dma(wait, start, start + pages, way < UNITS // 2)

    def window(self, stream: int, number: int) -> Window:
        """Of any length between window_min and window_max, as far as the part is that long."""
        load = self.load
        if not load.windows:
            return Window(NEVER, 0, 0)
        size, high, low, gap = block(self.window_keys[stream], number)[:4]
        longest = min(load.window_max // PAGE_BYTES, self.part)
        least = min(load.window_min // PAGE_BYTES, longest)
        pages = least + (longest - least + 1) * size // UNITS
        start = stream * self.part + below(self.part - pages + 1, high, low)
        return Window(round(exponential(SECOND_NS / load.windows, gap)), start, start + pages)


def spread(draw: int, mean: int, longest: int) -> int:
    """Pages of a range: an exponential in bytes, at least one page and at most `longest`."""
    pages = exponential(max(1.0, mean / PAGE_BYTES), draw)
    return min(longest, max(1, math.ceil(pages)))
