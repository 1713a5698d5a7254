"""One run of a fleet on an executor: start partitions, drive them to the end, collect digest, counts and census."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgpack

from cluster.costs import floor_of_links
from cluster.digest import fleet_digest, joined
from cluster.drive import Driver, Handle, Listener, Pages, Totals, WaitAny
from cluster.faults import FaultPlan
from cluster.keeping import Keeper, Saved
from cluster.lasting import LossError
from cluster.local import LocalHandle, bugs_told, first_of
from cluster.memory import peak_rss_bytes, usual_collector
from cluster.pace import Pace
from cluster.partition import Partition
from cluster.placement import (
    LOOKAHEAD_NS_MIN,
    WHOLE,
    PlacementError,
    Places,
    packed,
    runs,
    split,
)
from cluster.telling import Retold
from cluster.world import Build


@dataclass(frozen=True)
class Fleet:
    """What is run: `build` makes the hosts of a partition from `plan`; hosts are numbered from 0.

    `lookahead` (ns) is the smallest delay of a link between hosts, None when hosts do not talk. `weights` say how much
    work each host is expected to be, in any unit; none: they are alike.
    """

    build: Build
    plan: bytes
    hosts: int
    lookahead: int | None = None
    weights: Sequence[int] = ()


@dataclass(frozen=True)
class Executor:
    """How it is run. `partitions` 0 is what the placement takes, or packed one for each CPU; local has one."""

    name: str = "local"
    partitions: int = 0
    placement: str = "packed"
    address: str | None = None
    checkpoint_interval: float = 0.0  # wall seconds, 0 for none on disk
    yield_after: float = 0.2  # wall seconds
    pace: int = 0  # ns of simulated time for each wall second, 0 for as fast as it can


@dataclass(frozen=True)
class Kept:
    """Where a run keeps its checkpoints, its key (cluster.keeping.key_of), and the one that it goes on from."""

    path: Path | None = None
    key: bytes = b""
    saved: Saved | None = None


NOWHERE = Kept()


@dataclass
class Outcome:
    """What a run came to. `finished` is False when it was stopped; `watched` is by partition, or the driver's own.

    `lookahead` is in ns, None where partitions do not talk.
    """

    finished: bool
    digest: str
    totals: Totals
    watched: list[dict[str, Any]]
    census: dict[str, int]
    partitions: int
    lookahead: int | None
    nodes: int
    wall_seconds: float
    peak_rss_bytes: int


Started = tuple[Sequence[Handle], WaitAny, int]
"""Partitions that are there, how to wait for one, and how many nodes they are on."""
Start = Callable[[Fleet, Executor, Places], contextlib.AbstractContextManager[Started]]


def run(
    fleet: Fleet, executor: Executor, pages: Pages, listener: Listener, kept: Kept = NOWHERE
) -> Outcome:
    """Run to the end, or until the listener stops it."""
    start = partial(started, stop=listener.should_stop)
    return run_on(fleet, executor, start, pages, listener, kept)


def run_on(
    fleet: Fleet,
    executor: Executor,
    start: Start,
    pages: Pages,
    listener: Listener,
    kept: Kept = NOWHERE,
) -> Outcome:
    """The same on partitions that `start` starts."""
    began = time.perf_counter()
    found = placed(fleet, executor, kept.saved)
    path = kept.path if executor.checkpoint_interval else None
    keeper = Keeper(path, executor.checkpoint_interval, Saved(kept.key, found.places))
    with start(fleet, executor, found.places) as (handles, wait_any, nodes):
        driver = Driver(
            handles,
            found.lookahead,
            pages,
            wait_any,
            listener,
            Pace(executor.yield_after, executor.pace),
            found.retold,
            keeper,
        )
        try:
            finished = driver.run(kept.saved)
        except LossError as error:
            seconds = time.perf_counter() - began
            raise LostRunError(error, last_words(driver, found.lookahead, nodes, seconds)) from None
        if finished:
            balanced(handles)
        parts = digests_of(handles)
        watched = [handle.watched() for handle in handles]
        if found.retold:
            watched = [found.retold.result(watched)]
        return Outcome(
            finished,
            fleet_digest(parts if found.places.whole else joined(parts, fleet.hosts)),
            driver.totals,
            [unpack(words) for words in watched],
            add_up(handle.census() for handle in handles),
            len(handles),
            found.lookahead,
            nodes,
            time.perf_counter() - began,
            sum(handle.peak_rss_bytes() for handle in handles),
        )


def balanced(handles: Iterable[Handle]) -> None:
    """What was sent in a run that is over has been handled once or taken back, or the engine has a bug."""
    left = sum(handle.balance() for handle in handles)
    assert not left, f"{left:+} messages were sent and neither handled once nor taken back"


def digests_of(handles: Iterable[Handle]) -> dict[int, bytes]:
    """Of all hosts or actors; each lives in one partition, or the engine has a bug."""
    parts: dict[int, bytes] = {}
    for handle in handles:
        own = handle.digests()
        twice = sorted(parts.keys() & own.keys())
        assert not twice, f"two partitions have handled messages of {twice[0]:#x}"
        parts |= own
    return parts


class LostRunError(Exception):
    """A run that could not go on, for this loss, and what had come of it by then."""

    def __init__(self, loss: LossError, outcome: Outcome) -> None:
        super().__init__(str(loss))
        self.loss = loss
        self.outcome = outcome


def last_words(driver: Driver, lookahead: int | None, nodes: int, seconds: float) -> Outcome:
    """What the driver knows without the partition that is lost: it has neither digest nor census."""
    words = [driver.retold.so_far()] if driver.retold else driver.watched
    for place, handle in enumerate(() if driver.retold else driver.handles):
        with contextlib.suppress(LossError):
            words[place] = handle.watched()
    count = len(driver.handles)
    found = [unpack(word) for word in words if word]
    return Outcome(
        False, "", driver.totals, found, {}, count, lookahead, nodes, seconds, peak_rss_bytes()
    )


class Placed(NamedTuple):
    """Who is where. `retold` watches beside the driver where hosts are not whole; `lookahead` as in Outcome."""

    places: Places
    lookahead: int | None
    retold: Retold | None


def placed(fleet: Fleet, executor: Executor, saved: Saved | None = None) -> Placed:
    """The placement of a fleet. Partitions of hosts that are not whole talk over the links within them."""
    if saved and saved.places.whole:
        return Placed(saved.places, fleet.lookahead, None)
    if not saved and executor.name == "local":
        return Placed(packed(fleet.hosts, 1), fleet.lookahead, None)
    if not saved and executor.placement in WHOLE:
        count = runs(executor.placement, fleet.hosts, executor.partitions)
        if count > 1 and fleet.lookahead is not None:
            refuse_short(executor.placement, fleet.lookahead, "network")
        return Placed(packed(fleet.hosts, count, fleet.weights), fleet.lookahead, None)
    blank = fleet.build(fleet.plan, ())
    link = floor_of_links(blank.costs.costs)
    refuse_short(executor.placement, link, "link")
    lookahead = link if fleet.lookahead is None else min(link, fleet.lookahead)
    if saved:
        return Placed(saved.places, lookahead, Retold(blank.watchers, saved.retold))
    return Placed(cut(fleet, executor, blank.faults), lookahead, Retold(blank.watchers))


def refuse_short(placement: str, lookahead: int, cost: str) -> None:
    """Windows of so many ns would hold hardly an event."""
    if lookahead < LOOKAHEAD_NS_MIN:
        raise PlacementError(
            f'placement "{placement}" has a lookahead of {lookahead} ns (cost {cost}), expected '
            f"{LOOKAHEAD_NS_MIN} ns or more"
        )


def cut(fleet: Fleet, executor: Executor, faults: FaultPlan) -> Places:
    """Hosts in pieces: who there is, is known once all are built."""
    hosts = fleet.build(fleet.plan, range(fleet.hosts)).actors.values()
    addresses = (address for members in hosts for address in members)
    instances = executor.placement == "instance"
    return split(fleet.hosts, addresses, instances, faults.together(), executor.partitions)


@contextlib.contextmanager
def started(
    fleet: Fleet, executor: Executor, places: Places, stop: Callable[[], bool] = lambda: False
) -> Iterator[Started]:
    """Partitions; they end with the context. `stop` is asked while workers do not start."""
    if executor.name == "local":
        with in_this_process(fleet, executor, places) as found:
            yield found
        return
    from cluster import ray_partitions

    with ray_partitions.cluster(executor.address, places.count):
        handles = ray_partitions.start(fleet.build, fleet.plan, places, stop)
        try:
            yield handles, ray_partitions.first_ready, ray_partitions.nodes(handles)
        finally:
            ray_partitions.stop(handles)


@contextlib.contextmanager
def in_this_process(fleet: Fleet, _: Executor, places: Places) -> Iterator[Started]:
    """The partitions of any placement in one process: they take turns, and all that crosses is bytes as it would be."""
    try:
        yield [local(fleet, places, place) for place in range(places.count)], first_of, 1
    finally:
        usual_collector()  # another run may follow in this process


def local(fleet: Fleet, places: Places, place: int) -> LocalHandle:
    """A partition in this process: the only one, or one of a run that has begun on more."""
    with bugs_told(places.names[place], lambda: 0):
        return LocalHandle(Partition(fleet.build, fleet.plan, places, place))


def add_up(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    """The sum by key."""
    found: Counter[str] = Counter()
    for part in parts:
        found.update(part)
    return dict(found)


def unpack(watched: bytes) -> dict[str, Any]:
    """A partition's word as plain data."""
    found: dict[str, Any] = msgpack.unpackb(watched, strict_map_key=False)
    return found
