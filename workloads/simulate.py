"""One run, from a scenario to what it came to: plan, executor, driver, digest. Writes nothing and prints nothing."""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import msgspec

from actors.slots import Slot
from cluster.digest import fleet_digest
from cluster.drive import Driver, Handle, Listener, Totals, WaitAny
from cluster.local import LocalHandle, first_of
from cluster.partition import Partition
from workloads import cost_table
from workloads.census import add_up
from workloads.fleet import build
from workloads.plan import ENCODER, LogShape, Plan
from workloads.scenario import Scenario, Trace
from workloads.trace_program import PAGE_RECORDS
from workloads.trace_spool import HUGE_PAGE, TraceLog, read_logs

PAGE = 4096


@dataclass
class Job:
    """A scenario ready to run: its plan, and the spools of the traces that it names."""

    plan: Plan
    logs: list[TraceLog]

    def page(self, source: int, number: int) -> bytes:
        """Records of a spool (cluster.drive.Pages)."""
        return self.logs[source].page(number * PAGE_RECORDS, PAGE_RECORDS)


@dataclass
class Outcome:
    """What a run came to. `finished` is False when it was stopped; `watched` are the watchers' words by partition."""

    finished: bool
    digest: str
    totals: Totals
    watched: list[dict[str, Any]]
    census: dict[str, int]
    partitions: int
    nodes: int
    wall_seconds: float
    peak_rss_bytes: int


def prepare(scenario: Scenario, max_damaged: int | None = None, most_vms: int = 0) -> Job:
    """Look up everything that the scenario names; a mistake in it is a UsageError."""
    logs: list[TraceLog] = []
    shapes: list[tuple[LogShape, ...]] = []
    for workload in scenario.workload:
        found = read_logs(workload.log, max_damaged) if isinstance(workload, Trace) else ()
        shapes.append(tuple(log_shape(log, len(logs) + n) for n, log in enumerate(found)))
        logs += found
    costs = cost_table.load(scenario.costs.model, scenario.costs.override)
    return Job(Plan(scenario, costs, tuple(shapes), most_vms), logs)


def log_shape(log: TraceLog, source: int) -> LogShape:
    """The VM that a log tells of; where it names no slot, memory grows to the highest conversion."""
    slots = tuple(
        Slot(slot.gpa // PAGE, slot.size // PAGE, slot.inode, slot.offset // PAGE)
        for slot in log.slots
    )
    whole = -(-log.highest_end // HUGE_PAGE) * HUGE_PAGE // PAGE
    return LogShape(
        source, slots or (Slot(0, whole, 0, 0),), log.vcpus, log.conversions, log.has_times
    )


def groups_of(hosts: int, partitions: int) -> tuple[list[list[int]], list[int]]:
    """(hosts of each partition, partition of each host): whole hosts in equal runs (placement `packed`)."""
    count = min(partitions, hosts)
    places = [host * count // hosts for host in range(hosts)]
    return [[h for h in range(hosts) if places[h] == place] for place in range(count)], places


def run(job: Job, listener: Listener, address: str | None = None) -> Outcome:
    """Run to the end, or until the listener stops it."""
    engine = job.plan.scenario.engine
    began = time.perf_counter()
    with executor(job, address) as (handles, wait_any, nodes):
        driver = Driver(
            handles, None, job.page, wait_any, listener, engine.yield_after / 1_000_000_000
        )
        finished = driver.run()
        watched = [unpack(handle.watched()) for handle in handles]
        hosts: dict[int, bytes] = {}
        for handle in handles:
            hosts |= handle.digests()
        census = add_up([handle.census() for handle in handles])
        rss = sum(handle.peak_rss_bytes() for handle in handles)
    return Outcome(
        finished,
        fleet_digest(hosts),
        driver.totals,
        watched,
        census,
        len(handles),
        nodes,
        time.perf_counter() - began,
        rss,
    )


Started = tuple[Sequence[Handle], WaitAny, int]


@contextlib.contextmanager
def executor(job: Job, address: str | None) -> Iterator[Started]:
    """(handles, how to wait for one, nodes) of the executor that the scenario names."""
    scenario = job.plan.scenario
    encoded = ENCODER.encode(job.plan)
    hosts = scenario.fleet.hosts
    if scenario.engine.executor == "local":
        groups, places = groups_of(hosts, 1)
        yield [LocalHandle(Partition(build, encoded, groups[0], places))], first_of, 1
        return
    from cluster import ray_partitions

    count = scenario.engine.partitions or os.cpu_count() or 1
    groups, places = groups_of(hosts, count)
    with ray_partitions.cluster(address, len(groups)):
        handles = ray_partitions.start(build, encoded, groups, places)
        try:
            yield handles, ray_partitions.first_ready, ray_partitions.nodes(handles)
        finally:
            ray_partitions.stop(handles)


def unpack(watched: bytes) -> dict[str, Any]:
    """A partition's word as plain data."""
    found: dict[str, Any] = msgpack.unpackb(watched, strict_map_key=False)
    return found


def plan_bytes(plan: Plan) -> bytes:
    """As it crosses to a worker."""
    return msgspec.msgpack.encode(plan)
