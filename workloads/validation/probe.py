"""A watcher that takes down what the rows are about, from observations alone. Times are ns, sizes pages."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from actors import observations as o
from actors.contract import Consumer, Reason, Share
from actors.intervals import IntervalMap


class Probe:
    """One run's facts. Read by whoever made it: validation runs in one process."""

    def __init__(self) -> None:
        self.failed = 0
        self.latencies: list[int] = []  # of requests that went well, in the order of their answers
        self.pages = 0  # of these requests
        self.mapped: list[
            int
        ] = []  # from the VMM's bitmap to its answer: what mapping for devices takes
        self.iommu: list[tuple[str, int]] = []  # (phase, how long the IOMMU driver took)
        self.touched: list[tuple[int, int]] = []  # (pages, how long the load's vCPUs took)
        self.booted: list[int] = []
        self.split: Counter[int] = Counter()  # conversion -> leaves of 2 MiB split for it
        self.reserved: dict[
            int, int
        ] = {}  # conversion -> pages that guest_memfd set aside for itself
        self.shared: dict[int, IntervalMap] = {}  # guest_memfd -> gfn -> Share
        self.write_locks = 0  # takes of mmu_lock for the level of an ACCEPT
        self._bitmap_at: dict[int, int] = {}

    def watches(self) -> Mapping[type, Callable[[int, Any], None]]:
        """See cluster.world.Watcher."""
        return {
            o.Answered: self.answered,
            o.Bitmap: self.bitmap,
            o.ConsumerReplied: self.replied,
            o.MemoryTouched: self.touch,
            o.Booted: self.boot,
            o.HugeLost: self.huge_lost,
            o.Reserving: self.reserving,
            o.ShareStored: self.stored,
            o.AcceptHonoured: self.honoured,
        }

    def answered(self, now: int, fact: o.Answered) -> None:
        if fact.reason is not Reason.NONE:
            self.failed += 1
            return
        self.latencies.append(fact.latency)
        self.pages += fact.end - fact.start
        if fact.to is Share.SHARED:
            self.mapped.append(now - self._bitmap_at[fact.vm])

    def bitmap(self, now: int, fact: o.Bitmap) -> None:
        self._bitmap_at[fact.vm] = now

    def replied(self, _: int, fact: o.ConsumerReplied) -> None:
        if fact.consumer is Consumer.IOMMU:
            self.iommu.append((fact.phase, fact.took))

    def touch(self, _: int, fact: o.MemoryTouched) -> None:
        self.touched.append((fact.end - fact.start, fact.took))

    def boot(self, _: int, fact: o.Booted) -> None:
        self.booted.append(fact.took)

    def huge_lost(self, _: int, fact: o.HugeLost) -> None:
        self.split[fact.op] += fact.leaves

    def reserving(self, _: int, fact: o.Reserving) -> None:
        # guest_memfd reserves for itself before it asks anybody: the first fact is its own.
        self.reserved.setdefault(fact.op, fact.pages)

    def stored(self, _: int, fact: o.ShareStored) -> None:
        found = self.shared.setdefault(fact.gmem, IntervalMap.filled(Share.PRIVATE))
        found.set(fact.start, fact.end, fact.to)

    def honoured(self, _: int, fact: o.AcceptHonoured) -> None:
        self.write_locks += fact.takes

    def result(self) -> dict[str, Any]:
        """See cluster.world.Watcher; the words of partitions are for runs in several processes."""
        return {"answered": len(self.latencies), "failed": self.failed}

    def so_far(self) -> dict[str, Any]:
        """See cluster.world.Watcher."""
        return self.result()
