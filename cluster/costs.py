"""The cost model at work: named durations with their distributions, one draw for any number of units."""

import math
from array import array
from collections.abc import Mapping
from functools import cache

import msgspec

from cluster.draws import log_exponential_quantiles, normal_quantiles

_SUMS_KEPT = 4096
LOGNORMAL, EXPONENTIAL = "lognormal", "exponential"
EXPONENTIAL_SPREAD = math.sqrt(math.log(2))  # of the lognormal with an exponential's moments


class Cost(msgspec.Struct, frozen=True, array_like=True):
    """One duration. `mean` is ns per unit; `spread` is the log's sigma of one unit, 0 for a constant.

    With `law` EXPONENTIAL one unit is drawn from that, whatever the spread; several are again a lognormal.
    """

    name: str
    mean: float
    spread: float
    law: str = LOGNORMAL


@cache
def quantiles(law: str) -> "array[float]":
    """By a draw of 16 bits: z of a standard normal, or the log of a unit exponential."""
    make = {LOGNORMAL: normal_quantiles, EXPONENTIAL: log_exponential_quantiles}[law]
    return array("d", make())  # not a tuple: half a megabyte instead of two, met at random


Sum = tuple[int, float, float, float, "array[float]"]
"""The cost of some number of units: `fixed` (ns), or where it is 0 mean (ns) * exp(sigma * z - half), with z by draw
from the last member. A lognormal of this mean, where `half` is half of sigma squared; an exponential, where z is the
log of a unit one. No NamedTuple: one takes twice as long to take apart."""


def sum_of(cost: Cost, count: int) -> Sum:
    """A constant times `count`, one exponential, or the lognormal that stands for the sum of `count` draws."""
    mean, sigma = cost.mean * count, cost.spread
    if cost.law == EXPONENTIAL:
        if count == 1:
            return 0, mean, 1.0, 0.0, quantiles(EXPONENTIAL)
        sigma = EXPONENTIAL_SPREAD
    if sigma and count != 1:
        sigma = math.sqrt(math.log1p(math.expm1(sigma * sigma) / count))
    fixed = 0 if sigma else max(1, round(mean))
    return fixed, mean, sigma, sigma * sigma / 2, quantiles(LOGNORMAL)


def time_of(found: Sum, draw: int) -> int:
    """ns by a draw of 16 bits."""
    fixed, mean, sigma, half, z = found
    return fixed or int(mean * math.exp(sigma * z[draw] - half) + 0.5) or 1


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

    Sums of lognormals are replaced by the lognormal with their first two moments (docs/domain.md section 16). A
    uniform or exponential entry of a cost table comes here as the lognormal of its moments; who wants an exponential
    as such says so (Cost.law), as the models of queueing theory do.
    """

    def __init__(self, costs: Mapping[str, Cost]) -> None:
        self.costs = dict(costs)
        self.sums = Sums(self.costs)
        self.ones = {name: sum_of(cost, 1) for name, cost in self.costs.items()}  # most are

    def duration(self, cost: Cost, count: int, draw: int) -> int:
        """ns of `count` units, from a draw of 16 bits; a constant needs none."""
        return time_of(self.sums[cost.name, count], draw)
