"""The largest of some growing values at which an objective still holds. Pure: who asks runs nothing here."""

from collections.abc import Generator, Sequence
from typing import NamedTuple

Number = int | float


class Answer(NamedTuple):
    """`value` is None where even the smallest misses it; `most` is whether the largest still holds it.

    `missed` is the smallest value that was found to miss it. `monotone` is whether a value beyond a miss held, or one
    below a hit missed, among those that were looked at: then the answer is one edge of several.
    """

    value: Number | None
    missed: Number | None
    most: bool
    monotone: bool
    tried: tuple[tuple[Number, bool], ...]


Asking = Generator[Number, bool, Answer]
"""Yields the next value to try, is sent whether the objective held there, returns the answer."""


def largest(values: Sequence[Number]) -> Asking:
    """Gallop from the smallest on, bisect between the last hit and the first miss, then look at their neighbours."""
    tried: dict[int, bool] = {}
    hit, miss = -1, len(values)
    place, stride = 0, 1
    while hit + 1 < miss:
        tried[place] = yield values[place]
        if tried[place]:
            hit = place
        else:
            miss = place
        if miss == len(values):
            place, stride = min(hit + stride, miss - 1), 2 * stride
        else:
            place = (hit + miss) // 2
    for near in (hit - 1, miss + 1):
        if 0 <= near < len(values) and near not in tried:
            tried[near] = yield values[near]
    held = [place for place, ok in tried.items() if ok]
    missed = [place for place, ok in tried.items() if not ok]
    return Answer(
        value=values[hit] if hit >= 0 else None,
        missed=values[miss] if miss < len(values) else None,
        most=hit == len(values) - 1,
        monotone=not held or not missed or max(held) < min(missed),
        tried=tuple((values[place], ok) for place, ok in sorted(tried.items())),
    )
