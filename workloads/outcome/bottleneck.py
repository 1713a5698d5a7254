"""Where a run's wall-clock time went, in one line: what would have to change for it to end sooner."""

from collections.abc import Sequence
from typing import Any

from workloads.outcome.figures import duration, number, share, size, some

FULL = 0.8  # of the time: a partition that is busy as long as that is what others wait for
EVEN = 0.8  # the mean partition has this part of the busiest one's work, or they are unequal
HALF = 0.5  # of the time: who is at work as long as that is what others wait for
FEW = 4  # partitions that are told one by one


def bottleneck(
    seconds: float,
    wall: float,
    busy: Sequence[float],
    windows: int,
    recoveries: int = 0,
    driver: float = 0.0,
    paced: bool = False,
) -> str:
    """Of a run that took `wall` seconds, `seconds` of them with partitions at work; `busy` is by partition.

    In `driver` seconds of them the driver waited for nobody.
    """
    if not seconds or wall - seconds > seconds:
        return f"starting and collecting: {duration(wall - seconds)} of {duration(wall)}"
    most, mean = max(busy), sum(busy) / len(busy)
    if most > FULL * seconds and mean < EVEN * most:
        return (
            f"partition {list(busy).index(most)}: busy {share(most / seconds)} of the time, "
            f"the mean of all {share(mean / seconds)}; its hosts have more to do than others"
        )
    if mean > FULL * seconds:
        of = "the partition was" if len(busy) == 1 else f"all {len(busy)} partitions were"
        return f"events: {of} busy {share(mean / seconds)} of the time"
    idle = f"partitions were busy {share(mean / seconds)} of the time"
    if paced:
        return f"the pace that was asked for: {idle}"
    if recoveries:
        return f"losses: {idle}, {some(recoveries, 'worker')} had to be replaced"
    if driver > HALF * seconds:
        return (
            f"the driver: at work itself {share(driver / seconds)} of the time, "
            f"the mean partition {share(mean / seconds)}"
        )
    if windows:
        return f"windows: {idle}; {some(windows, 'window')}, {duration(seconds / windows)} each"
    return f"orders and reports: {idle}"


def by_partition(engine: dict[str, Any]) -> str:
    """busy 1.20 s, waiting 30.0 ms; the same for each, or the ends of the range where there are many."""
    pairs = list(zip(engine["busy_seconds"], engine["wait_seconds"], strict=True))
    if len(pairs) > FEW:
        pairs = [min(pairs), max(pairs)]
    texts = [f"busy {duration(busy)}, waiting {duration(wait)}" for busy, wait in pairs]
    return (" to " if len(engine["busy_seconds"]) > FEW else "; ").join(texts)


def kept(engine: dict[str, Any]) -> str:
    """What checkpoints cost, and whether the last one is there."""
    count = engine.get("checkpoints", 0)
    if not count:
        return "none"
    text = (
        f"{number(count)}, {duration(engine['checkpoint_seconds'])} in all; "
        f"{size(engine['checkpoint_bytes'])} the last"
    )
    error = engine["checkpoint_error"]
    return f"{text}, which could not be written: {error}" if error else text
