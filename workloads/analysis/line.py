"""The straight line through points: least squares, with how well its slope is known."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True, slots=True)
class Line:
    """y = base + slope x. `half` is half the 95% interval of the slope, `r_squared` 1 where nothing is off the line."""

    base: float
    slope: float
    half: float
    r_squared: float


def fit(xs: Sequence[float], ys: Sequence[float]) -> Line:
    """ValueError with fewer than three points, or where all have the same x."""
    if len(xs) != len(ys) or len(set(xs)) < 2 or len(xs) < 3:
        raise ValueError("a line wants three points at least, and two places")
    middle_x, middle_y = fmean(xs), fmean(ys)
    xx = sum((x - middle_x) ** 2 for x in xs)
    xy = sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True))
    yy = sum((y - middle_y) ** 2 for y in ys)
    slope = xy / xx
    base = middle_y - slope * middle_x
    off = sum((y - base - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
    from scipy.special import stdtrit

    freedom = len(xs) - 2
    half = float(stdtrit(freedom, 0.975)) * math.sqrt(off / freedom / xx)
    return Line(base, slope, half, 1 - off / yy if yy else 1.0)
