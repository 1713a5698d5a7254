"""One VM of 1 TiB, all of it made shared in one request: what pages cost that nobody looks at."""

import tempfile
import time
from typing import Any

from benchmarks import common
from benchmarks.drive import fleet_of, timed
from cluster.digest import canonical
from cluster.local import LocalHandle, first_of
from cluster.partition import Partition
from cluster.placement import packed
from workloads.scenario import Scenario
from workloads.simulate import prepare

TIB = 1 << 40
SECOND_NS = 1_000_000_000


def scenario(folder: str) -> Scenario:
    """The host's pool must hold page tables and vmemmap of 2^28 small pages."""
    return common.scenario(
        *common.traced(common.one_line_log(folder, TIB)),
        "fleet.vms_per_host=1",
        "fleet.spare_memory=64GiB",
        "vm.memory=1TiB",
    )


def measure() -> dict[str, Any]:
    """The row: start is reading the scenario's log and building the host."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = scenario(folder)
        began = time.perf_counter()
        job = prepare(wanted)
        fleet = fleet_of(job)
        handle = LocalHandle(Partition(fleet.build, fleet.plan, packed(1, 1)))
        start = time.perf_counter() - began
        seconds, totals = timed([handle], first_of, job.page)
    shared = handle.census()["shared_bytes"]
    assert shared == TIB, f"{shared} bytes are shared"
    cells = handle.partition.hosts[0].cells.values()
    return {
        "1 TiB in one request": "",
        "start ms": start * 1000,
        "wall s": seconds,
        "events": totals.events,
        "simulated s": totals.now / SECOND_NS,
        "state bytes": sum(len(canonical(cell.actor)) for cell in cells),
    }
