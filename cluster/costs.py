"""The cost model at work: named durations with their distributions, one draw for any number of units."""

import math
from collections.abc import Mapping

import msgspec

from cluster.draws import normal_quantiles

_SIGMAS_KEPT = 4096
_NORMAL: list[tuple[float, ...]] = []


class Cost(msgspec.Struct, frozen=True, array_like=True):
    """One duration. `mean` is ns per unit; `spread` is the log's sigma of one unit, 0 for a constant."""

    name: str
    mean: float
    spread: float


LINK = "link"


def floor_of_links(model: "CostModel") -> int:
    """The shortest way from one actor to another, ns."""
    return model.duration(model.costs[LINK], 1, 0)


class CostModel:
    """Durations of n units at once: mean n times one unit's, variance n times one unit's, never below 1 ns.

    Lognormal throughout: sums of lognormals are replaced by the lognormal with their first two moments
    (docs/domain.md section 16). A uniform or exponential cost comes here as the lognormal of its moments.
    """

    def __init__(self, costs: Mapping[str, Cost]) -> None:
        self.costs = dict(costs)
        self._sigmas: dict[tuple[str, int], float] = {}
        if not _NORMAL:
            _NORMAL.append(normal_quantiles())
        self._normal = _NORMAL[0]

    def duration(self, cost: Cost, count: int, draw: int) -> int:
        """ns of `count` units, from a draw of 16 bits; a constant needs none."""
        if not cost.spread:
            return max(1, round(cost.mean * count))
        sigma = cost.spread if count == 1 else self._sigma(cost, count)
        z = self._normal[draw]
        return max(1, int(cost.mean * count * math.exp(sigma * z - sigma * sigma / 2) + 0.5))

    def _sigma(self, cost: Cost, count: int) -> float:
        """Sigma of the lognormal that stands for the sum of `count` draws."""
        found = self._sigmas.get((cost.name, count))
        if found is None:
            variance = math.expm1(cost.spread * cost.spread) / count
            found = math.sqrt(math.log1p(variance))
            if len(self._sigmas) < _SIGMAS_KEPT:
                self._sigmas[cost.name, count] = found
        return found
