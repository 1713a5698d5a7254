"""One run of a fleet on an executor: start partitions, drive them to the end, collect digest, counts and census."""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from cluster.digest import fleet_digest
from cluster.drive import Driver, Handle, Listener, Pages, Totals, WaitAny
from cluster.local import LocalHandle, first_of
from cluster.memory import usual_collector
from cluster.partition import Partition
from cluster.world import Build


@dataclass(frozen=True)
class Fleet:
    """What is run: `build` makes the hosts of a partition from `plan`; hosts are numbered from 0.

    `lookahead` (ns) is the smallest delay of a link between hosts, None when hosts do not talk.
    """

    build: Build
    plan: bytes
    hosts: int
    lookahead: int | None = None


@dataclass(frozen=True)
class Executor:
    """How it is run. `partitions` 0 is one for each CPU; the local executor has one."""

    name: str = "local"
    partitions: int = 0
    address: str | None = None
    yield_after: float = 0.2  # wall seconds


@dataclass
class Outcome:
    """What a run came to. `finished` is False when it was stopped; `watched` is by partition."""

    finished: bool
    digest: str
    totals: Totals
    watched: list[dict[str, Any]]
    census: dict[str, int]
    partitions: int
    nodes: int
    wall_seconds: float
    peak_rss_bytes: int


def run(fleet: Fleet, executor: Executor, pages: Pages, listener: Listener) -> Outcome:
    """Run to the end, or until the listener stops it."""
    began = time.perf_counter()
    with started(fleet, executor) as (handles, wait_any, nodes):
        driver = Driver(handles, fleet.lookahead, pages, wait_any, listener, executor.yield_after)
        finished = driver.run()
        hosts: dict[int, bytes] = {}
        for handle in handles:
            hosts |= handle.digests()
        return Outcome(
            finished,
            fleet_digest(hosts),
            driver.totals,
            [unpack(handle.watched()) for handle in handles],
            add_up(handle.census() for handle in handles),
            len(handles),
            nodes,
            time.perf_counter() - began,
            sum(handle.peak_rss_bytes() for handle in handles),
        )


@contextlib.contextmanager
def started(fleet: Fleet, executor: Executor) -> Iterator[tuple[Sequence[Handle], WaitAny, int]]:
    """(handles, how to wait for one, nodes); partitions end with the context."""
    if executor.name == "local":
        places = [0] * fleet.hosts
        partition = Partition(fleet.build, fleet.plan, range(fleet.hosts), places)
        try:
            yield [LocalHandle(partition)], first_of, 1
        finally:
            usual_collector()  # another run may follow in this process
        return
    from cluster import ray_partitions

    groups, places = groups_of(fleet.hosts, executor.partitions or os.cpu_count() or 1)
    with ray_partitions.cluster(executor.address, len(groups)):
        handles = ray_partitions.start(fleet.build, fleet.plan, groups, places)
        try:
            yield handles, ray_partitions.first_ready, ray_partitions.nodes(handles)
        finally:
            ray_partitions.stop(handles)


def groups_of(hosts: int, partitions: int) -> tuple[list[list[int]], list[int]]:
    """(hosts of each partition, partition of each host): whole hosts in equal runs (`packed`)."""
    count = min(partitions, hosts)
    places = [host * count // hosts for host in range(hosts)]
    return [[h for h in range(hosts) if places[h] == place] for place in range(count)], places


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
