"""A fleet in which VMs move is the same under every placement, and after a checkpoint. Ray's share is in tests/ray."""

import pytest

from cluster import keeping
from cluster.placement import PLACEMENTS
from tests.determinism.test_arrivals import counted
from tests.fleets import MIXED, MOVING
from tests.runs import Silent, in_pieces, simulated
from workloads import scenario, simulate

EVACUATED = (
    *MOVING,
    "moves.hosts=[1,0]",
    'fault=[{point="move.transfer",probability=0.05},{point="pins.transient",probability=0.05}]',
)
BY_CHANCE = (*MOVING, "moves.kind=poisson", "moves.rate=200", "arrivals.lifetime=40ms")
# Rules that count remember each VM's opportunities on the host where they come.
BY_TURNS = (
    *MOVING,
    "arrivals.policy=spread",  # one target after the other
    'fault=[{point="move.refused",every=2},{point="move.transfer",nth=[1,2,3,4]}]',
)
FLEETS = {"evacuated": EVACUATED, "by chance": BY_CHANCE, "by turns": BY_TURNS, "all kinds": MIXED}
ONCE = [
    pytest.param(fleet, marks=pytest.mark.nightly if fleet is MIXED else ())
    for fleet in FLEETS.values()
]


@pytest.fixture(scope="module", params=ONCE, ids=[*FLEETS])
def run(request):
    return request.param, simulated(*request.param)


def found(outcome):
    """What the checks of all partitions have to say."""
    return [word["inspector"]["counts"] for word in outcome.watched if word["inspector"]["counts"]]


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("partitions", [0, 2])
def test_placements_come_to_the_same(placement, partitions, run):
    overrides, whole = run
    outcome = in_pieces(*overrides, placement=placement, partitions=partitions)
    assert (outcome.digest, outcome.census) == (whole.digest, whole.census)
    assert counted(outcome) == counted(whole) and counted(whole)["vm_moves", "moved"] > 0
    assert found(outcome) == found(whole) == []


def test_a_run_that_was_stopped_goes_on_to_the_same_end(tmp_path, run):
    overrides, whole = run
    one = scenario.decode("", "test.toml", [*overrides, "engine.checkpoint_interval=1ms"])
    job, path = simulate.prepare(one), tmp_path / "checkpoint"
    stopped = simulate.run(job, Silent(reports=120), path=path)
    assert not stopped.finished
    outcome = simulate.run(job, Silent(), saved=keeping.read(path))
    assert (outcome.digest, outcome.census) == (whole.digest, whole.census)
    assert counted(outcome) == counted(whole) and found(outcome) == []


def test_the_seed_decides_who_moves():
    digests = {simulated(*BY_CHANCE, f"scenario.seed={seed}").digest for seed in (1, 2)}
    assert len(digests) == 2
