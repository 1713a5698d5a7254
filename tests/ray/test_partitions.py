"""Real Ray workers: the same digest as one process, whatever the number of partitions."""

import pytest

from cluster.lasting import LossError
from cluster.run import Executor, Fleet, run
from tests.runs import FAULTS, SCHEDULED, SMALL, Silent, simulated, toyed
from tests.toy import ToyPlan

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]
TRACES = ("td-boot-iso.log", "mixed-stderr.log", "td-boot-bare.log", "td-boot-pid.log.gz")


def on_ray(partitions: int) -> list[str]:
    """Overrides."""
    return ["engine.executor=ray", f"engine.partitions={partitions}"]


@pytest.fixture(scope="module")
def local():
    """The same scenario in one process."""
    return simulated(*SMALL, *FAULTS)


@pytest.mark.parametrize("partitions", [1, 2, 4])
def test_partitions_do_not_change_the_digest(partitions, local):
    outcome = simulated(*SMALL, *FAULTS, *on_ray(partitions))
    assert (outcome.digest, outcome.partitions) == (local.digest, partitions)
    assert outcome.totals.events == local.totals.events
    assert outcome.census == local.census


@pytest.mark.parametrize("partitions", [2, 3])
def test_schedules_and_durations_strike_alike_on_any_number_of_partitions(partitions):
    here = simulated(*SMALL, *SCHEDULED)
    there = simulated(*SMALL, *SCHEDULED, *on_ray(partitions))
    assert (there.digest, there.census) == (here.digest, here.census)
    counts = [[row[2:] for row in word["faults"]] for word in there.watched]
    added = [
        [sum(column) for column in zip(*rows, strict=True)] for rows in zip(*counts, strict=True)
    ]
    assert added == [row[2:] for row in here.watched[0]["faults"]]
    assert here.digest != simulated(*SMALL).digest


def test_hosts_that_do_not_talk_run_without_windows(local):
    outcome = simulated(*SMALL, *on_ray(2))
    assert (outcome.totals.windows, outcome.totals.cross_messages) == (0, 0)


def test_more_partitions_than_hosts_are_as_many_as_hosts(local):
    outcome = simulated(*SMALL, *FAULTS, *on_ray(9))
    assert (outcome.digest, outcome.partitions) == (local.digest, 4)


@pytest.mark.parametrize("partitions", [1, 2, 3])
def test_hosts_that_talk_have_the_digest_of_one_process(partitions):
    plan = ToyPlan(hosts=6, tokens=24, hops=100)
    local = toyed(Executor(), plan)
    outcome = toyed(Executor("ray", partitions), plan)
    assert outcome.digest == local.digest
    assert outcome.totals.events == local.totals.events == 24 * 101
    assert outcome.totals.windows == local.totals.windows >= 50
    assert local.totals.cross_messages == 0
    assert partitions == 1 or outcome.totals.cross_messages >= 1000


def test_an_open_loop_goes_on_alike_where_its_vms_die():
    load = 'workload=[{kind="churn",pace="open",rate=2000}]'
    deadly = [
        "scenario.duration=100ms",
        "fleet.vms_per_host=2",
        load,
        'fault=[{point="tdx.bug",probability=0.01}]',
    ]
    assert simulated(*deadly).digest == simulated(*deadly, *on_ray(2)).digest


def test_all_sample_traces_replay_alike():
    logs = "workload=[{kind='trace',log=%r,pace='back-to-back'}]" % list(TRACES)  # noqa: UP031
    fleet = [logs, "fleet.hosts=4", "fleet.vms_per_host=1", "scenario.duration=1h"]
    fleet.append("scenario.conversions=4000")
    assert simulated(*fleet).digest == simulated(*fleet, *on_ray(4)).digest


def test_loads_with_something_beside_the_conversions_are_the_same():
    kinds = (
        "notifier-storm",
        "pin-holders",
        "memory-pressure",
        "memory-failure",
        "balloon",
        "sweep",
        "shutdown",
        "hostile",
    )
    loads = "workload=[" + ",".join(f"{{kind='{kind}'}}" for kind in kinds) + "]"
    fleet = [loads, "fleet.hosts=4", "fleet.vms_per_host=3", "vm.memory=128MiB", *FAULTS]
    fleet.append("scenario.duration=20ms")
    local, ray = simulated(*fleet), simulated(*fleet, *on_ray(3))
    assert (local.digest, local.census) == (ray.digest, ray.census)


def broken(plan, hosts):
    """A world that cannot be built (cluster.world.Build)."""
    raise ValueError(f"no {len(hosts)} hosts\nof this kind")


def test_a_bug_while_a_worker_is_built_is_told_at_once():
    with pytest.raises(LossError) as raised:
        run(Fleet(broken, b"", 3), Executor("ray", 1), lambda source, page: b"", Silent())
    assert str(raised.value) == (
        "partition h0..h2 met a bug of gmemsim after 0 ns of simulated time or soon after: "
        "ValueError: no 3 hosts"
    )
    assert "in broken" in raised.value.trace
