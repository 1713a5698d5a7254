"""The Universal Scalability Law: throughput against how many ask at once.

N. J. Gunther, Guerrilla Capacity Planning (2007).

X(N) = rate N / (1 + contention (N - 1) + coherency N (N - 1)): what has to be done one after the other bends the line,
and what everybody has to agree on with everybody else brings it down again.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

NOTHING = 1e-9  # a coefficient of which no number of users that anybody has would tell anything


@dataclass(frozen=True, slots=True)
class Scalability:
    """A fit. `residuals` are measured less fitted throughput, in the order of the points; `r_squared` sums them up."""

    rate: float  # of one alone
    contention: float
    coherency: float
    residuals: tuple[float, ...]
    r_squared: float

    def throughput(self, users: float) -> float:
        """X(N)."""
        return law(users, self.rate, self.contention, self.coherency)

    @property
    def most(self) -> float:
        """X at the peak, or what X tends to where there is none; infinite without contention too."""
        if self.coherency:
            return self.throughput(max(self.peak, 1.0))
        return self.rate / self.contention if self.contention else math.inf

    @property
    def peak(self) -> float:
        """The N at which X is largest; without coherency there is none."""
        if not self.coherency:
            return math.inf
        return math.sqrt(max(1 - self.contention, 0.0) / self.coherency)


def law(users: float, rate: float, contention: float, coherency: float) -> float:
    """The law itself."""
    return rate * users / (1 + contention * (users - 1) + coherency * users * (users - 1))


def fit(users: Sequence[float], throughputs: Sequence[float]) -> Scalability:
    """Least squares of relative errors, no coefficient below 0. ValueError with fewer than four points."""
    if len(users) != len(throughputs) or len(users) < 4:
        raise ValueError("three coefficients want four points at least")
    if min(throughputs) <= 0 or min(users) <= 0:
        raise ValueError("users and throughputs must be above 0")
    from scipy.optimize import least_squares

    points = list(zip(users, throughputs, strict=True))
    scale = max(x / n for n, x in points)  # so that all three are near 1 or below

    def errors(guess: Any) -> list[float]:
        rate, contention, coherency = (float(part) for part in guess)
        return [law(n, rate * scale, contention, coherency) / x - 1 for n, x in points]

    found = least_squares(
        errors, (1.0, 0.01, 1e-4), bounds=(0, math.inf), xtol=1e-14, ftol=1e-14, gtol=1e-14,
        x_scale=(1.0, 0.1, 0.01),
    )  # fmt: skip
    rate, contention, coherency = (float(part) if part > NOTHING else 0.0 for part in found.x)
    residuals = tuple(x - law(n, rate * scale, contention, coherency) for n, x in points)
    middle = sum(throughputs) / len(points)
    spread = sum((x - middle) ** 2 for x in throughputs)
    lost = sum(each**2 for each in residuals)
    r_squared = 1 - lost / spread if spread else 1.0
    return Scalability(rate * scale, contention, coherency, residuals, r_squared)
