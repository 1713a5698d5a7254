"""A histogram of integer durations: three significant decimal digits, mergeable, exact in count, sum and maximum."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import accumulate
from typing import Any

DIGITS = 1000
_POWERS = [DIGITS * 10**k for k in range(18)]
_WIDTHS = [10**k for k in range(19)]  # of a decade's buckets
NS = 1_000_000_000
# 1-2-5 from 1 us to 500 s, in ns: the classic buckets of every latency family. Each is a bucket edge below.
BOUNDS_NS = tuple(d * 10**k for k in range(3, 12) for d in (1, 2, 5))
BOOT_BOUNDS_NS = tuple(d * 10**k for k in range(9, 13) for d in (1, 2, 5))[:11]


FRESH_MOST = 4096


class Histogram:
    """Bucket b of decade k holds the values in ((b - 1) * 10^k, b * 10^k]; b has three digits, or fewer in decade 0.

    Values are put into buckets many at a time, which takes a third of the time that one by one takes.
    """

    __slots__ = ("_count", "_counts", "_most", "_total", "fresh")

    def __init__(self) -> None:
        self.fresh: list[int] = []  # not in their buckets yet
        self._counts: Counter[int] = Counter()
        self._count = 0
        self._total = 0
        self._most = 0

    def add(self, value: int) -> None:
        """Count one value >= 0."""
        fresh = self.fresh
        fresh.append(value)
        if len(fresh) == FRESH_MOST:
            self.settle()

    def settle(self) -> None:
        """Put the fresh values into their buckets."""
        fresh = self.fresh
        if not fresh:
            return
        fresh.sort()
        self._count += len(fresh)
        self._total += sum(fresh)
        self._most = max(self._most, fresh[-1])
        start, decade = 0, bisect_left(_POWERS, fresh[0])
        while start < len(fresh):
            end = bisect_right(fresh, _POWERS[decade], start)
            width, base = _WIDTHS[decade], decade << 10
            self._counts.update([base | -(-value // width) for value in fresh[start:end]])
            start, decade = end, decade + 1
        fresh.clear()

    @property
    def count(self) -> int:
        """How many values."""
        self.settle()
        return self._count

    @property
    def total(self) -> int:
        """Their sum."""
        self.settle()
        return self._total

    @property
    def most(self) -> int:
        """The largest, 0 for none."""
        self.settle()
        return self._most

    @property
    def counts(self) -> Counter[int]:
        """Values by bucket: decade << 10 | b."""
        self.settle()
        return self._counts

    def merge(self, other: "Histogram") -> None:
        """Add all that the other has counted."""
        self.counts.update(other.counts)
        self._count += other.count
        self._total += other.total
        self._most = max(self._most, other.most)

    def edges(self) -> list[tuple[int, int]]:
        """(upper edge, count) of the buckets in use, in order."""
        return sorted(((b & 1023) * 10 ** (b >> 10), count) for b, count in self.counts.items())

    def quantile(self, share: float) -> int:
        """Upper edge of the bucket that holds the value of rank ceil(share * count); never above the maximum.

        At most 1% above the exact order statistic, never below it.
        """
        if not self.count:
            raise ValueError("no values")
        rank = max(1, -int(-share * self.count // 1))
        for edge, count in self.edges():
            rank -= count
            if rank <= 0:
                return min(edge, self.most)
        return self.most

    def below(self, bounds: Sequence[int]) -> list[int]:
        """How many values are <= each bound; exact for bounds that are bucket edges."""
        counts = self.counts
        buckets = sorted(counts)  # their numbers have the order of their edges
        seen = [0, *accumulate(map(counts.__getitem__, buckets))]
        return [seen[bisect_right(buckets, _last_within(bound))] for bound in bounds]

    def pack(self) -> list[Any]:
        """Plain data."""
        return [self.count, self.total, self.most, list(self.counts), list(self.counts.values())]

    @classmethod
    def unpack(cls, packed: Sequence[Any]) -> "Histogram":
        """From plain data."""
        found = cls()
        found._count, found._total, found._most, buckets, counts = packed
        found._counts.update(dict(zip(buckets, counts, strict=True)))
        return found

    @classmethod
    def joined(cls, packed: Iterable[Sequence[Any]]) -> "Histogram":
        """The sum of several."""
        found = cls()
        for one in packed:
            found.merge(cls.unpack(one))
        return found


@cache
def _last_within(bound: int) -> int:
    """The last bucket of which no value is above the bound."""
    decade = bisect_left(_POWERS, bound)
    width: int = _WIDTHS[decade]
    return decade << 10 | bound // width
