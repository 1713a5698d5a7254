"""Where the time goes, by sampling: a timer asks every millisecond which function is at work.

cProfile charges every call, so it makes a program of short functions look like nothing but calls;
samples do not. Time in C (heaps, records being made) counts for the Python function that asked.
"""

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from types import FrameType
from typing import NamedTuple

PERIOD_SECONDS = 0.001
# The first that fits wins.
GROUPS = (
    ("workloads/checkers/", "checkers"),
    ("workloads/meter", "meter"),
    ("workloads/timeline", "meter"),
    ("cluster/histogram", "meter"),
    ("cluster/", "engine"),
    ("actors/intervals", "interval maps"),
    ("actors/", "actors"),
    ("workloads/", "load"),
)


class Place(NamedTuple):
    """A function."""

    file: str
    function: str


@contextmanager
def sampled() -> Iterator[Counter[Place]]:
    """Samples by function, of processor time of this process."""
    found: Counter[Place] = Counter()

    def note(_: int, frame: FrameType | None) -> None:
        if frame is not None:
            path = PurePath(frame.f_code.co_filename)
            found[Place("/".join(path.parts[-3:]), frame.f_code.co_qualname)] += 1

    before = signal.signal(signal.SIGPROF, note)
    signal.setitimer(signal.ITIMER_PROF, PERIOD_SECONDS, PERIOD_SECONDS)
    try:
        yield found
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def group_of(place: Place) -> str:
    """The part of gmemsim that a function belongs to."""
    return next((group for part, group in GROUPS if part in place.file), "Python itself")


def grouped(samples: Counter[Place]) -> dict[str, float]:
    """Share of the samples by group, the largest first."""
    found: Counter[str] = Counter()
    for place, count in samples.items():
        found[group_of(place)] += count
    return {group: count / samples.total() for group, count in found.most_common()}


def top(samples: Counter[Place], most: int) -> dict[str, float]:
    """Share of the samples of the busiest functions."""
    return {
        f"{PurePath(place.file).stem}.{place.function}": count / samples.total()
        for place, count in samples.most_common(most)
    }
