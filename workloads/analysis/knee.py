"""Where latency turns up as the load grows.

The rule: the knee is the least load from which on latency is `factor` times that of the least load measured, or more;
between two points it is taken to lie on the line through them. A latency that goes over and comes back has no knee
there: only from the last point below on does it count. Twice is usual: an M/M/1 queue is there at half of its capacity.
"""

from collections.abc import Sequence


def knee(loads: Sequence[float], latencies: Sequence[float], factor: float = 2.0) -> float | None:
    """The load at the knee; None where latency stays below it. Loads in any order; ValueError for fewer than two."""
    points = sorted(zip(loads, latencies, strict=True))
    if len(points) < 2 or factor <= 1:
        raise ValueError("a knee wants two points at least, and a factor above 1")
    limit = factor * points[0][1]
    last = max(place for place, (_, latency) in enumerate(points) if latency < limit)
    if last == len(points) - 1:
        return None
    (low, below), (high, above) = points[last : last + 2]
    return low + (high - low) * (limit - below) / (above - below)
