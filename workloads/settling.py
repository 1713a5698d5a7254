"""What a run's latencies are once its beginning is left out: a watcher that is there only where `warm_up` asks for it.

A run begins with nothing under way, which is not how it goes on. Of all answered conversions, in the order of their
intended starts, those at the beginning are left out that MSER-5 finds (workloads.analysis.warm_up); directions and
outcomes alike. Counts, resources and everything that is checked are of the whole run.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from actors import observations as o
from actors.contract import Reason, Share
from cluster.histogram import Histogram
from workloads.analysis import warm_up
from workloads.meter import DIRECTION, OUTCOMES

WAYS = [(DIRECTION[to], outcome) for to in Share for outcome in OUTCOMES]
Start = tuple[int, int, int]
"""Of an answered conversion: its intended start, its latency (ns), its place in WAYS."""


class Settled(NamedTuple):
    """How many of how many are left out, and the intended start of the first that is not (ns).

    `first` is None where the rule cannot tell: then nothing is left out.
    """

    left_out: int
    of: int
    first: int | None


class Settling:
    """A partition's answers."""

    def __init__(self) -> None:
        self.answers = array("q")

    def watches(self) -> Mapping[type, Callable[[int, Any], None]]:
        """See cluster.world.Watcher."""
        return {o.Answered: self.answered}

    def answered(self, now: int, fact: o.Answered) -> None:
        if fact.latency >= 0:  # not NO_LATENCY
            way = 2 * fact.to + (fact.reason is not Reason.NONE)
            self.answers.extend((now - fact.latency, fact.latency, way))

    def result(self) -> bytes:
        """See cluster.world.Watcher."""
        return self.answers.tobytes()

    def so_far(self) -> bytes:
        """See cluster.world.Watcher. Nobody knows before the end."""
        return b""


def settled(words: Iterable[bytes]) -> tuple[Settled, dict[tuple[str, ...], Histogram]]:
    """What is left out of what the partitions saw, and latencies of the rest by direction and outcome."""
    starts = sorted(start for word in words for start in unpacked(word))
    cut = whole(starts, warm_up.mser5([latency for _, latency, _ in starts]))
    rest = starts[cut or 0 :]
    latencies: dict[tuple[str, ...], Histogram] = {}
    for _, latency, way in rest:
        latencies.setdefault(WAYS[way], Histogram()).add(latency)
    first = None if cut is None else rest[0][0]
    return Settled(cut or 0, len(starts), first), latencies


def whole(starts: Sequence[Start], cut: int | None) -> int | None:
    """The cut after all who started with the last that it leaves out; None if that leaves nobody.

    Who starts at one time is in no order but that of latencies: cut in the middle, the slowest of them would stay.
    """
    if not cut:
        return cut
    end = bisect_right(starts, starts[cut - 1][0], key=itemgetter(0))
    return end if end < len(starts) else None


def unpacked(word: bytes) -> Iterable[Start]:
    """Of a partition, as they were answered."""
    numbers = iter(array("q", word))
    return zip(numbers, numbers, numbers, strict=True)
