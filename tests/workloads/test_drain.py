"""A run whose load has ended: who knows that it has, and what is left of it."""

import math
from collections import Counter

from cluster import drive
from cluster.local import LocalHandle, first_of
from cluster.pace import Pace
from cluster.partition import FOREVER, Order, Partition
from cluster.placement import packed
from cluster.run import Executor, in_this_process, unpack
from tests.runs import Silent
from workloads import scenario, simulate

END = 5_000_000
FLOOD = (
    "fleet.hosts=2",
    "fleet.vms_per_host=2",
    "vm.memory=64MiB",
    'scenario.duration="5ms"',
    'workload=[{kind="churn",pace="open",rate=50000}]',
)


def job_of(*overrides):
    return simulate.prepare(scenario.decode("", "flood.toml", [*FLOOD, *overrides]))


def requested(word):
    counters = Counter(
        {name: count for name, *labels, count in word["meter"]["counters"] if not labels}
    )
    return counters["requested"]


def test_a_partition_tells_what_waits_for_a_vcpu_once_nobody_asks_for_more():
    fleet = simulate.fleet_of(job_of().plan)
    partition = Partition(fleet.build, fleet.plan, packed(fleet.hosts, 1))
    horizons = (END - 1000, END + 1000, FOREVER)
    words = [
        unpack(partition.advance(Order(horizon, math.inf, watch=True)).watched)
        for horizon in horizons
    ]
    asking, ended, over = words
    assert (asking["backlog"], over["backlog"]) == (0, 0)
    assert ended["backlog"] == requested(over) - requested(ended) > 100


def test_the_driver_knows_how_far_the_last_host_is():
    job = job_of('scenario.duration="1ms"')
    looks: list[tuple[int, int]] = []

    class Looking(Silent):
        tell_every = 0.0

        def progress(self, totals, watched):
            hosts = [host for one in partitions for host in one.hosts.values()]
            times = [at for host in hosts if (at := host.next_time()) is not None]
            looks.append((totals.earliest, min(times, default=totals.earliest)))

    fleet, executor = simulate.fleet_of(job.plan), Executor("ray", 2, yield_after=0.002)
    with in_this_process(fleet, executor, packed(2, 2)) as (handles, *_):
        partitions = [handle.partition for handle in handles if isinstance(handle, LocalHandle)]
        driver = drive.Driver(handles, None, job.page, first_of, Looking(), Pace(0.002))
        assert driver.run()
    assert all(known <= due for known, due in looks)
    assert looks[-1][0] > END // 10
