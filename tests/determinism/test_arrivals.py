"""A fleet to which VMs come is the same under every placement, and after a checkpoint. Ray's share is in tests/ray."""

import pytest

from cluster import keeping
from cluster.placement import PLACEMENTS
from tests.negative.fleet_cases import ARRIVING
from tests.runs import Silent, in_pieces, simulated
from workloads import scenario, simulate

FLEET = (
    *ARRIVING,
    "vm.memory=8MiB",
    "fleet.hosts=3",
    "fleet.vms_per_host=2",
    "fleet.generations=8",
    "arrivals.population=8",
    'workload=[{kind="churn",think="300us",size_mean="256KiB"}]',
    'fault=[{point="tdx.bug",probability=1e-3},{point="pins.transient",probability=0.05}]',
)


@pytest.fixture(scope="module")
def whole():
    return simulated(*FLEET)


def counted(outcome):
    """Counters of all partitions."""
    found: dict[tuple[str, ...], int] = {}
    for word in outcome.watched:
        for *labels, count in word["meter"]["counters"]:
            found[tuple(labels)] = found.get(tuple(labels), 0) + count
    return found


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("partitions", [0, 2])
def test_placements_come_to_the_same(placement, partitions, whole):
    outcome = in_pieces(*FLEET, placement=placement, partitions=partitions)
    assert (outcome.digest, outcome.census) == (whole.digest, whole.census)
    assert counted(outcome) == counted(whole)
    assert outcome.totals.cross_messages > 0


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_host_to_which_nobody_comes_is_one_under_every_placement(placement):
    one = ("arrivals.population=1", "arrivals.policy=first-fit", "arrivals.pause=1s")
    fleet = (*FLEET, *one, "fault=[]", "scenario.duration=3ms")
    whole, pieces = simulated(*fleet), in_pieces(*fleet, placement=placement)
    assert pieces.digest == whole.digest


@pytest.mark.parametrize("policy", ["first-fit", "spread"])
def test_so_do_they_under_other_policies(policy):
    fleet = (*FLEET, f"arrivals.policy={policy}", "arrivals.kind=poisson", "arrivals.rate=1000")
    assert in_pieces(*fleet, placement="host").digest == simulated(*fleet).digest


def test_a_run_that_was_stopped_goes_on_to_the_same_end(tmp_path, whole):
    found = scenario.decode("", "test.toml", [*FLEET, "engine.checkpoint_interval=1ms"])
    job, path = simulate.prepare(found), tmp_path / "checkpoint"
    stopped = simulate.run(job, Silent(reports=40), path=path)
    assert not stopped.finished
    outcome = simulate.run(job, Silent(), saved=keeping.read(path))
    assert (outcome.digest, outcome.census) == (whole.digest, whole.census)
    assert counted(outcome) == counted(whole)
    assert outcome.totals.windows == whole.totals.windows > stopped.totals.windows


def test_the_seed_decides_who_comes():
    assert simulated(*FLEET, "scenario.seed=2").digest != simulated(*FLEET).digest


def test_the_network_is_part_of_the_run(whole):
    assert simulated(*FLEET, "costs.override.network=201us").digest != whole.digest


def test_a_fleet_to_which_nobody_comes_is_as_if_there_were_no_controller():
    small = ("scenario.conversions=60", "fleet.hosts=2")
    plain = simulated(*small)
    assert plain.lookahead is None
    assert plain.digest == simulated(*small, "arrivals.boots=1", "arrivals.policy=spread").digest
