"""Draws of 16 bits as the numbers that programs need."""

import math
from functools import lru_cache

from cluster.draws import UNITS, normal_quantiles


def exponential(mean: float, draw: int) -> float:
    """An exponential of this mean."""
    return -mean * math.log1p(-(draw + 0.5) / UNITS)


def lognormal(mean: float, sigma: float, draw: int) -> float:
    """A lognormal of this mean, `sigma` of its logarithm."""
    return mean * math.exp(sigma * _normal()[draw] - sigma * sigma / 2)


def below(limit: int, high: int, low: int) -> int:
    """A whole number from 0 to limit - 1, from two draws."""
    return (high << 16 | low) % limit


@lru_cache(maxsize=1)
def _normal() -> tuple[float, ...]:
    return normal_quantiles()
