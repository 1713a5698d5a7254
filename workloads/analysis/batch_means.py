"""Confidence intervals from one long run, whose values depend on those before: the method of batch means.

The run is cut into equal batches, each long against how far its values depend on one another, so that the batches'
own figures are nearly independent and nearly normal (B. Schmeiser, Oper. Res. 30 (1982), who finds that more than 30
batches gain little). What does not fill a batch is left out, at the beginning.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

BATCHES = 30


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and half its interval, which reaches from value - half to value + half, from so many batches."""

    value: float
    half: float
    batches: int

    def covers(self, figure: float) -> bool:
        """Is it within the interval?"""
        return abs(figure - self.value) <= self.half


def mean(values: Sequence[float], confidence: float = 0.95, batches: int = BATCHES) -> Estimate:
    """Of the mean. ValueError with fewer than two values a batch."""
    return batched(values, fmean, confidence, batches)


def percentile(
    values: Sequence[float], share: float, confidence: float = 0.95, batches: int = BATCHES
) -> Estimate:
    """Of the value that this share (0.99: p99) of all stays at or below: rank ceil(share n), as in a summary.

    The value is that of the whole run; how far the batches' own lie apart says how well it is known. A batch needs
    1 / (1 - share) values at least, else ValueError: without one beyond it a percentile is but the largest value.
    """
    size = len(values) // batches
    if size * (1 - share) < 1:
        raise ValueError(f"{size} values a batch say nothing of the {share:.2%} percentile")
    found = batched(values, lambda part: rank(part, share), confidence, batches)
    return Estimate(rank(values, share), found.half, batches)


def rank(values: Sequence[float], share: float) -> float:
    """The order statistic ceil(share n)."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


def batched(
    values: Sequence[float],
    figure: Callable[[Sequence[float]], float],
    confidence: float,
    batches: int,
) -> Estimate:
    """Of any figure that can be had of a part: the mean of the batches' figures, by Student's t."""
    size = len(values) // batches
    if batches < 2 or size < 2:
        raise ValueError(f"{len(values)} values are too few for {batches} batches")
    from scipy.special import stdtrit

    first = len(values) - size * batches
    found = [figure(values[at : at + size]) for at in range(first, len(values), size)]
    t = float(stdtrit(batches - 1, (1 + confidence) / 2))
    return Estimate(fmean(found), t * stdev(found) / math.sqrt(batches), batches)
