"""What happened when, on one host: equal bins of simulated time, doubled in width when there are too many."""

from collections.abc import Iterable, Sequence
from typing import Any

BINS_MAX = 256
WIDTH_NS = 1 << 20  # about a millisecond


class Bin:
    """Requests answered, failed ones among them, most in flight, left at the end, longest latency (ns)."""

    __slots__ = ("answered", "failed", "in_flight", "left", "slowest")

    def __init__(self, in_flight: int) -> None:
        self.answered = self.failed = self.slowest = 0
        self.in_flight = self.left = in_flight

    def absorb(self, other: "Bin") -> None:
        """Become the bin of both spans; the other is the later one."""
        self.answered += other.answered
        self.failed += other.failed
        self.in_flight = max(self.in_flight, other.in_flight)
        self.slowest = max(self.slowest, other.slowest)
        self.left = other.left


class Timeline:
    """Bins by number, those without an event left out; `in_flight` is the count now, the others are of all bins."""

    def __init__(self) -> None:
        self.shift = WIDTH_NS.bit_length() - 1  # a bin's number is its time >> shift
        self.bins: dict[int, Bin] = {}
        self.in_flight = self.answered = self.failed = 0

    def fresh(self, now: int) -> Bin:
        """The bin of this time, which is not there yet."""
        while len(self.bins) >= BINS_MAX:
            self.widen()
        return self.bins.setdefault(now >> self.shift, Bin(self.in_flight))

    def widen(self) -> None:
        """Bins of twice the width."""
        self.shift += 1
        old, self.bins = self.bins, {}
        for number, one in old.items():
            known = self.bins.setdefault(number >> 1, one)
            if known is not one:
                known.absorb(one)

    def enter(self, now: int) -> None:
        """A request was taken on."""
        found = self.bins.get(now >> self.shift) or self.fresh(now)
        in_flight = self.in_flight + 1
        self.in_flight = found.left = in_flight
        if in_flight > found.in_flight:  # noqa: PLR1730 - no call for every request, here and below
            found.in_flight = in_flight

    def leave(self, now: int, failed: bool, latency: int) -> None:
        """A request was answered."""
        found = self.bins.get(now >> self.shift) or self.fresh(now)
        self.in_flight = found.left = self.in_flight - 1
        found.answered += 1
        self.answered += 1
        if failed:
            found.failed += 1
            self.failed += 1
        if latency > found.slowest:  # noqa: PLR1730
            found.slowest = latency

    def pack(self) -> list[Any]:
        """Plain data."""
        bins = [
            [number, b.answered, b.failed, b.in_flight, b.slowest, b.left]
            for number, b in sorted(self.bins.items())
        ]
        return [self.shift, self.in_flight, bins]

    def so_far(self) -> list[Any]:
        """The same with all in one bin, that of the beginning."""
        here = self.in_flight
        return [self.shift, here, [[0, self.answered, self.failed, here, 0, here]]]


Row = tuple[int, int, int, int, int, int]
"""Start (ns), answered, failed, most in flight, slowest (ns), in flight at the end."""


def joined(packed: Iterable[Sequence[Any]]) -> tuple[int, list[Row]]:
    """(bin width in ns, rows) of all hosts together.

    In flight is the sum over hosts of each host's most within the bin: exact for one host, an upper bound (of one bin's
    width) for several. A host without an event in a bin counts as it stood before.
    """
    hosts = list(packed)
    shift = max((host[0] for host in hosts), default=WIDTH_NS.bit_length() - 1)
    merged = [_widened(host, shift) for host in hosts]
    numbers = sorted({number for bins in merged for number in bins})
    standing = [0] * len(merged)
    rows: list[Row] = []
    for number in numbers:
        found = [bins.get(number) for bins in merged]
        answered = sum(b.answered for b in found if b)
        failed = sum(b.failed for b in found if b)
        slowest = max((b.slowest for b in found if b), default=0)
        most = [b.in_flight if b else standing[host] for host, b in enumerate(found)]
        standing = [b.left if b else standing[host] for host, b in enumerate(found)]
        rows.append((number << shift, answered, failed, sum(most), slowest, sum(standing)))
    return 1 << shift, rows


def _widened(host: Sequence[Any], shift: int) -> dict[int, Bin]:
    bins: dict[int, Bin] = {}
    for number, answered, failed, in_flight, slowest, left in host[2]:
        one = Bin(in_flight)
        one.left = left
        one.answered, one.failed, one.slowest = answered, failed, slowest
        known = bins.setdefault(number >> shift - host[0], one)
        if known is not one:
            known.absorb(one)
    return bins
