"""The cost model at work: named durations with their distributions, one draw for any number of units."""

import math
from array import array
from collections.abc import Mapping

import msgspec

from cluster.draws import normal_quantiles

_SUMS_KEPT = 4096
_NORMAL = array("d")  # not a tuple: half a megabyte instead of two, met at random


class Cost(msgspec.Struct, frozen=True, array_like=True):
    """One duration. `mean` is ns per unit; `spread` is the log's sigma of one unit, 0 for a constant."""

    name: str
    mean: float
    spread: float


Sum = tuple[int, float, float, float]
"""The cost of some number of units: `fixed` (ns), 0 unless it is a constant; a lognormal's mean (ns), sigma, and half
of sigma squared. No NamedTuple: one takes twice as long to take apart."""


def sum_of(cost: Cost, count: int) -> Sum:
    """A constant times `count`, or the lognormal that stands for the sum of `count` draws."""
    mean, sigma = cost.mean * count, cost.spread
    if sigma and count != 1:
        sigma = math.sqrt(math.log1p(math.expm1(sigma * sigma) / count))
    return 0 if sigma else max(1, round(mean)), mean, sigma, sigma * sigma / 2


def at(found: Sum, z: float) -> int:
    """ns at this quantile of the standard normal."""
    fixed, mean, sigma, half = found
    return fixed or int(mean * math.exp(sigma * z - half) + 0.5) or 1


class Sums(dict[tuple[str, int], Sum]):
    """By name and number of units; the first ones met are kept."""

    def __init__(self, costs: Mapping[str, Cost]) -> None:
        super().__init__()
        self.costs = costs

    def __missing__(self, key: tuple[str, int]) -> Sum:
        name, count = key
        found = sum_of(self.costs[name], count)
        if len(self) < _SUMS_KEPT:
            self[key] = found
        return found


def floor_of(costs: Mapping[str, Cost], name: str) -> int:
    """A constant, ns."""
    return sum_of(costs[name], 1)[0]


def floor_of_links(costs: Mapping[str, Cost]) -> int:
    """The shortest way from one actor to another, ns."""
    return floor_of(costs, "link")


class CostModel:
    """Durations of n units at once: mean n times one unit's, variance n times one unit's, never below 1 ns.

    Lognormal throughout: sums of lognormals are replaced by the lognormal with their first two moments
    (docs/domain.md section 16). A uniform or exponential cost comes here as the lognormal of its moments.
    """

    def __init__(self, costs: Mapping[str, Cost]) -> None:
        self.costs = dict(costs)
        self.sums = Sums(self.costs)
        self.ones = {name: sum_of(cost, 1) for name, cost in self.costs.items()}  # most are
        if not _NORMAL:
            _NORMAL[:] = array("d", normal_quantiles())
        self.normal = _NORMAL

    def duration(self, cost: Cost, count: int, draw: int) -> int:
        """ns of `count` units, from a draw of 16 bits; a constant needs none."""
        return at(self.sums[cost.name, count], self.normal[draw])
