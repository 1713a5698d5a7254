"""Runs on an executor, with the clock on the events alone: not on building hosts, not on Ray."""

import gc
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from cluster.digest import fleet_digest
from cluster.drive import Driver, Handle, Pages, Totals, Unwatched, WaitAny
from cluster.pace import Pace
from cluster.run import Executor, Fleet, add_up, placed, started, unpack
from workloads.scenario import Scenario
from workloads.simulate import Job, prepare
from workloads.simulate import fleet_of as of_plan

LOCAL = Executor("local")
Clock = Callable[[], float]
"""Wall clock, or processor time of this process, which does not count what others do on its cores."""


class Driven(NamedTuple):
    """What a run came to; `seconds` are from the first event to the last."""

    seconds: float
    totals: Totals
    digest: str
    census: dict[str, int]
    watched: list[dict[str, Any]]

    def counter(self, *labels: str) -> int:
        """Of the meter, added up over partitions and over what comes after these labels."""
        rows = [row for word in self.watched for row in word["meter"]["counters"]]
        return sum(row[-1] for row in rows if tuple(row[: len(labels)]) == labels)


def no_pages(source: int, page: int) -> bytes:
    """For runs without a trace."""
    raise AssertionError(f"page {page} of {source}")


def timed(
    handles: Sequence[Handle],
    wait_any: WaitAny,
    pages: Pages = no_pages,
    clock: Clock = time.perf_counter,
    lookahead: int | None = None,
) -> tuple[float, Totals]:
    """Every event of partitions, whose hosts talk if there is a lookahead: (seconds, totals)."""
    driver = Driver(handles, lookahead, pages, wait_any, Unwatched(), Pace(LOCAL.yield_after))
    gc.collect()
    began = clock()
    driver.run()
    return clock() - began, driver.totals


def drive(
    fleet: Fleet,
    executor: Executor,
    pages: Pages = no_pages,
    clock: Clock = time.perf_counter,
) -> Driven:
    """As cluster.run.run, but for the clock."""
    with started(fleet, executor, placed(fleet, executor).places) as (handles, wait_any, _):
        seconds, totals = timed(handles, wait_any, pages, clock, fleet.lookahead)
        hosts: dict[int, bytes] = {}
        for handle in handles:
            hosts |= handle.digests()
        census = add_up(handle.census() for handle in handles)
        watched = [unpack(handle.watched()) for handle in handles]
        return Driven(seconds, totals, fleet_digest(hosts), census, watched)


def fleet_of(job: Job) -> Fleet:
    """A scenario's fleet."""
    return of_plan(job.plan)


def simulate(scenario: Scenario, executor: Executor = LOCAL) -> Driven:
    """A scenario on this executor, whatever its own [engine] says."""
    job = prepare(scenario)
    return drive(fleet_of(job), executor, job.page)
