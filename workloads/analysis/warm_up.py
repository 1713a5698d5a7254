"""How much of a run's beginning to leave out, for it began empty and not as it goes on.

The rule is MSER-5 (K. P. White Jr., Simulation 69 (1997)): of the means of five values each, leave out so many at the
beginning that the squared standard error of the mean of the rest is least. No more than half of the run is left out,
for a few values at the end can look alike by chance; where it is least at the half, the run is too short to tell, and
nobody should conclude anything from it.
"""

from collections.abc import Sequence
from itertools import accumulate

GROUP = 5


def mser5(values: Sequence[float]) -> int | None:
    """How many values to leave out; None where the run is too short to tell."""
    means = [
        sum(values[at : at + GROUP]) / GROUP for at in range(0, len(values) - GROUP + 1, GROUP)
    ]
    if len(means) < 2:
        return None
    middle = sum(means) / len(means)  # sums of squares about it lose no digits
    sums = list(accumulate((x - middle for x in reversed(means)), initial=0.0))
    squares = list(accumulate(((x - middle) ** 2 for x in reversed(means)), initial=0.0))

    def statistic(left: int) -> float:
        rest = len(means) - left
        return (squares[rest] - sums[rest] ** 2 / rest) / rest**2

    most = len(means) // 2
    best = min(range(most + 1), key=statistic)
    return best * GROUP if best < most else None
