"""A histogram of integer durations: three significant decimal digits, mergeable, exact in count, sum and maximum."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any

DIGITS = 1000
_POWERS = [DIGITS * 10**k for k in range(18)]
_WIDTHS = [10**k for k in range(19)]  # of a decade's buckets
NS = 1_000_000_000
# 1-2-5 from 1 us to 500 s, in ns: the classic buckets of every latency family. Each is a bucket edge below.
BOUNDS_NS = tuple(d * 10**k for k in range(3, 12) for d in (1, 2, 5))
BOOT_BOUNDS_NS = tuple(d * 10**k for k in range(9, 13) for d in (1, 2, 5))[:11]


class Histogram:
    """Bucket b of decade k holds the values in ((b - 1) * 10^k, b * 10^k]; b has three digits, or fewer in decade 0."""

    __slots__ = ("count", "counts", "most", "total")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.count = 0
        self.total = 0
        self.most = 0

    def add(self, value: int) -> None:
        """Count one value >= 0."""
        decade = bisect_left(_POWERS, value)
        bucket = decade << 10 | -(-value // _WIDTHS[decade])
        counts = self.counts
        counts[bucket] = counts.get(bucket, 0) + 1
        self.count += 1
        self.total += value
        if value > self.most:  # noqa: PLR1730 - max() costs a call for every value
            self.most = value

    def merge(self, other: "Histogram") -> None:
        """Add all that the other has counted."""
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.count += other.count
        self.total += other.total
        self.most = max(self.most, other.most)

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
        result, seen, edges = [], 0, iter([*self.edges(), (1 << 80, 0)])
        edge, count = next(edges)
        for bound in bounds:
            while edge <= bound:
                seen += count
                edge, count = next(edges)
            result.append(seen)
        return result

    def pack(self) -> list[Any]:
        """Plain data."""
        return [self.count, self.total, self.most, list(self.counts), list(self.counts.values())]

    @classmethod
    def unpack(cls, packed: Sequence[Any]) -> "Histogram":
        """From plain data."""
        found = cls()
        found.count, found.total, found.most, buckets, counts = packed
        found.counts = dict(zip(buckets, counts, strict=True))
        return found

    @classmethod
    def joined(cls, packed: Iterable[Sequence[Any]]) -> "Histogram":
        """The sum of several."""
        found = cls()
        for one in packed:
            found.merge(cls.unpack(one))
        return found
