"""Wall clock by executor: Ray with one partition against local, two partitions against one, by fleet and its size.

Fleets whose hosts do not talk, and fleets of growing size in which VMs arrive, depart and move, so that partitions meet
at the end of each window. "Work" is what one partition does in a window. The last column is no wall clock: both
partitions take turns in this process, and each window counts as long as the longer of the two, by processor time. So
much a second core can save, before anything that Ray adds; on a machine that others use it is the figure to believe.
"""

import gc
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import common
from benchmarks.drive import Driven, drive, fleet_of, timed
from benchmarks.model import scenario as apart
from cluster import ray_partitions
from cluster.local import LocalHandle, first_of
from cluster.partition import Order, Partition, Report
from cluster.placement import Places, packed
from cluster.run import Executor, Fleet
from workloads.simulate import prepare

SIDES = {"local": Executor("local"), "one": Executor("ray", 1), "two": Executor("ray", 2)}
VMS_A_HOST = 8
BOOT_MS = 4  # of simulated time, in which all VMs boot side by side


def together(vms: int, vm_ms: int) -> Fleet:
    """VMs that come to a fleet with room for a quarter more, stay for 100 ms on average, and move now and then."""
    hosts = max(2, vms // VMS_A_HOST)
    return fleet_of(
        prepare(
            common.scenario(
                f"fleet.hosts={hosts}",
                f"fleet.vms_per_host={VMS_A_HOST * 5 // 4}",
                "fleet.reuse=readmit",
                "fleet.generations=3",
                "vm.start=unaccepted",
                "vm.memory=8MiB",
                "arrivals.kind=closed",
                f"arrivals.population={vms}",
                "arrivals.policy=spread",
                f"arrivals.boots={VMS_A_HOST}",
                "arrivals.lifetime=100ms",
                "arrivals.pause=1ms",
                "moves.kind=poisson",
                f"moves.rate={vms}",
                "workload=[{kind='churn',size_mean='16KiB'}]",
                "costs.override={boot_fixed='1ms',hkid_reclaim='300us'}",
                "scenario.conversions=0",
                f"scenario.duration={1000 * BOOT_MS + 1000 * vm_ms // vms}us",
            )
        )
    )


class Clocked(LocalHandle):
    """A partition in this process that notes the processor time of each order, by the window's end."""

    def __init__(self, partition: Partition, spent: dict[int, list[float]]) -> None:
        super().__init__(partition)
        self.spent = spent
        self.until = 0

    def begin(self, order: Order) -> None:
        """See cluster.drive.Handle."""
        self.until = order.horizon
        super().begin(order)

    def finish(self) -> Report:
        """See cluster.drive.Handle."""
        began = time.process_time()
        report = super().finish()
        self.spent[self.until].append(time.process_time() - began)
        return report


def longest(fleet: Fleet, places: Places) -> float:
    """Processor time of a run on as many cores as there are places: the longest of each window."""
    parts = [Partition(fleet.build, fleet.plan, places, n) for n in range(places.count)]
    gc.collect()
    if fleet.lookahead is None:  # no windows: each runs to its end
        spent = {n: defaultdict[int, list[float]](list) for n in range(places.count)}
        for place, part in enumerate(parts):
            timed([Clocked(part, spent[place])], first_of)
        return max(sum(map(sum, one.values())) for one in spent.values())
    windows: dict[int, list[float]] = defaultdict(list)
    handles = [Clocked(part, windows) for part in parts]
    timed(handles, first_of, lookahead=fleet.lookahead)
    return sum(map(max, windows.values()))


def row(name: str, fleet: Fleet, rounds: int) -> dict[str, Any]:
    """Of one fleet; all sides must come to one digest."""
    last: dict[str, Driven] = {}

    def side(executor: str) -> Callable[[], float]:
        def seconds() -> float:
            last[executor] = drive(fleet, SIDES[executor])
            return last[executor].seconds

        return seconds

    sides = {executor: side(executor) for executor in SIDES}
    one, two = (packed(fleet.hosts, count, fleet.weights) for count in (1, 2))
    sides |= {"cpu one": lambda: longest(fleet, one), "cpu two": lambda: longest(fleet, two)}
    found = common.interleaved(sides, rounds)
    digests = {driven.digest for driven in last.values()}
    assert len(digests) == 1, f"the executors differ: {digests}"
    windows = last["two"].totals.windows
    wait = last["two"].totals
    return {
        "fleet": name,
        "events": last["local"].totals.events,
        "windows": windows,
        "work ms": 1000 * min(found["cpu one"]) / windows if windows else "",
        "local s": statistics.median(found["local"]),
        "one / local": common.median_ratio(found["one"], found["local"]),
        "two against one": common.median_ratio(found["one"], found["two"]),
        "best": min(found["one"]) / min(found["two"]),
        "waiting": sum(wait.wait) / max(1e-9, sum(wait.wait) + sum(wait.busy)),
        "by processor time": common.median_ratio(found["cpu one"], found["cpu two"]),
    }


def rows(sizes: Sequence[int], conversions: int, vm_ms: int, rounds: int) -> list[dict[str, Any]]:
    """All fleets, the smallest of those that interact first."""
    alone = fleet_of(prepare(apart(16, conversions)))
    found = [row("16 hosts apart", alone, rounds)]
    for vms in sizes:
        common.say(f"{vms} VMs that interact")
        found.append(row(f"{vms:,} VMs together", together(vms, vm_ms), rounds))
    return found


def main() -> None:
    parser = common.flags(__doc__)
    parser.add_argument(
        "--vms", type=int, nargs="+", default=[16, 32, 64, 128, 256], help="together"
    )
    parser.add_argument("--conversions", type=int, default=16_000, help="of the fleet apart")
    parser.add_argument("--vm-ms", type=int, default=1600, help="VMs times ms of simulated time")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with ray_partitions.cluster(None, 2):
        found = rows(options.vms, options.conversions, options.vm_ms, options.rounds)
    common.publish({"load before": load, "rows": found}, found, options.json)
    if not options.json:
        print(f"\nload average before: {load:.1f}")


if __name__ == "__main__":
    main()
