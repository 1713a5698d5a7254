"""A mean over runs and its 95% interval, from Student's t."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, stdev

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """The interval is mean - half to mean + half; of a single value nobody can tell, and half is None.

    What a run counts or measures is never below 0, nor is its mean: an interval that would reach there ends at `low`,
    and contains the mean no more seldom for that. Poisson's intervals would be too narrow, since failures come in
    clusters: one VM that dies fails all that it still asks for.

    Where some of the values are 0 and some are not, `seen` of the `runs` are not.
    """

    mean: float
    half: float | None
    seen: int = 0
    runs: int = 0

    @property
    def low(self) -> float:
        """Its lower end."""
        return max(0.0, self.mean - (self.half or 0.0))

    @property
    def high(self) -> float:
        """Its upper end."""
        return self.mean + (self.half or 0.0)

    def __bool__(self) -> bool:
        """Was it ever anything but 0?"""
        return bool(self.mean)

    @property
    def rare(self) -> bool:
        """Seen in some of the runs, and so seldom that the interval reaches down to 0."""
        return self.seen > 0 and self.half is not None and self.half >= self.mean


def interval(values: Sequence[float]) -> Interval:
    """Of independent runs, as if normal: what is counted rarely is covered less often than it says."""
    mean = fmean(values)
    if len(values) == 1:
        return Interval(mean, None)
    half = t_quantile(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    seen = sum(map(bool, values))
    return (
        Interval(mean, half, seen, len(values)) if 0 < seen < len(values) else Interval(mean, half)
    )


@cache
def t_quantile(freedom: int) -> float:
    """The t that |T| stays below with a probability of 95%."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
