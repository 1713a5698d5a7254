"""One run on an executor, with the clock on its events alone: not on building hosts or starting Ray."""

import gc
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from cluster.digest import fleet_digest
from cluster.drive import Driver, Pages, Totals
from cluster.run import Executor, Fleet, add_up, started, unpack


class Quiet:
    """A listener that asks for nothing and stops nothing (cluster.drive.Listener)."""

    def progress(self, totals: Totals, watched: Sequence[bytes]) -> None:
        """Not interested."""

    def should_stop(self) -> bool:
        """Never."""
        return False


class Driven(NamedTuple):
    """What a run came to; `seconds` are of wall clock, from the first event to the last."""

    seconds: float
    totals: Totals
    digest: str
    census: dict[str, int]
    watched: list[dict[str, Any]]


def no_pages(source: int, page: int) -> bytes:
    """For runs without a trace."""
    raise AssertionError(f"page {page} of {source}")


def drive(fleet: Fleet, executor: Executor, pages: Pages = no_pages) -> Driven:
    """As cluster.run.run, but for the clock."""
    with started(fleet, executor) as (handles, wait_any, _):
        driver = Driver(handles, fleet.lookahead, pages, wait_any, Quiet(), executor.yield_after)
        gc.collect()
        began = time.perf_counter()
        driver.run()
        seconds = time.perf_counter() - began
        hosts: dict[int, bytes] = {}
        for handle in handles:
            hosts |= handle.digests()
        census = add_up(handle.census() for handle in handles)
        watched = [unpack(handle.watched()) for handle in handles]
        return Driven(seconds, driver.totals, fleet_digest(hosts), census, watched)
