"""Real Ray workers are killed, one and several, and whole nodes: the run goes on and its digest is the same."""

import json
import os
import signal
import subprocess
import sys

import pytest
import ray
from ray.util.state import list_actors

from tests.determinism.test_arrivals import FLEET
from tests.runs import LONG, ON_RAY, At, simulated

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]
PIECES = ("scenario.conversions=150", "fleet.hosts=1", "fleet.vms_per_host=8")
MODELS = {"h0/tdx", "h0/iommu", "h0/allocator"} | {
    f"h0/v{n}{part}" for n in range(8) for part in ("", "/kvm", "/gmem")
}


def kill(*names):
    """The processes of the Ray actors of these names, as by `kill -9`; returns all that were alive."""
    here = ray.get_runtime_context().gcs_address
    listed = list_actors(here, filters=[("state", "=", "ALIVE"), ("class_name", "=", "Worker")])
    alive = {found.name: found.pid for found in listed}
    for name in names:
        os.kill(alive[name], signal.SIGKILL)
    return set(alive)


@pytest.fixture(scope="module")
def local():
    """In one process."""
    return simulated(*LONG)


@pytest.mark.parametrize("look", [1, 4])
@pytest.mark.parametrize("names", [("h0..h2",), ("h0..h2", "h3..h5")])
def test_workers_that_are_killed_are_replaced(names, look, local):
    deed = At(look, lambda: kill(*names))
    outcome = simulated(*LONG, *ON_RAY, "engine.partitions=2", listener=deed)
    assert outcome.totals.recoveries == len(names)
    assert (outcome.digest, outcome.census) == (local.digest, local.census)
    assert outcome.totals.events == local.totals.events


def test_hosts_that_talk_outlive_a_worker_too():
    deed = At(20, lambda: kill(min(kill())))
    outcome = simulated(*FLEET, *ON_RAY, "engine.partitions=2", listener=deed)
    alone = simulated(*FLEET)
    assert (outcome.digest, outcome.census) == (alone.digest, alone.census)
    assert (outcome.totals.recoveries, outcome.partitions) == (1, 2)
    assert outcome.totals.windows > 20 and outcome.totals.cross_messages > 0


def test_the_tdx_module_has_a_ray_actor_of_its_own_and_may_lose_it():
    alive = set()
    deed = At(300, lambda: alive.update(kill("h0/tdx", "h0/v3/kvm")))
    outcome = simulated(*PIECES, *ON_RAY, "engine.placement=instance", listener=deed)
    assert alive == MODELS
    assert (outcome.partitions, outcome.totals.recoveries) == (len(MODELS), 2)
    assert outcome.digest == simulated(*PIECES).digest


def test_a_node_that_is_lost_takes_no_checkpoint_along(local):
    command = [
        sys.executable,
        "-m",
        "tests.ray.lose_a_node",
        "engine.partitions=3",
        "engine.checkpoint_interval=1ms",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=True)
    # Ray prints the last words of the node's daemon among it.
    (line,) = [line for line in done.stdout.splitlines() if line.startswith('{"digest"')]
    found = json.loads(line)
    assert found["digest"] == local.digest
    assert (found["nodes"], found["events"]) == (3, local.totals.events)
    assert found["recoveries"] >= 1
    assert found["redone"] < local.totals.events / 3
