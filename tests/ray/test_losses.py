"""Real Ray workers are killed, one and several, and whole nodes: the run goes on and its digest is the same."""

import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
import ray
from ray.util import list_named_actors

from tests.runs import LONG, ON_RAY, simulated

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]
PIECES = ("scenario.conversions=150", "fleet.hosts=1", "fleet.vms_per_host=8")


@contextmanager
def killer(*names, after=0.3):
    """Kills the Ray actors of these names once they are there and `after` seconds have passed."""
    killed: list[str] = []

    def work():
        while len(killed) < len(names):
            for name in set(names) - set(killed):
                if name in list_named_actors():
                    time.sleep(after)
                    ray.kill(ray.get_actor(name))
                    killed.append(name)
            time.sleep(0.01)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield killed
    thread.join(10)


@pytest.fixture(scope="module")
def local():
    return simulated(*LONG)


@pytest.mark.parametrize("names", [("h0..h2",), ("h0..h2", "h3..h5")])
def test_workers_that_are_killed_are_replaced(names, local):
    with killer(*names) as killed:
        outcome = simulated(*LONG, *ON_RAY, "engine.partitions=2")
    assert set(killed) == set(names)
    assert outcome.totals.recoveries == len(names)
    assert (outcome.digest, outcome.census) == (local.digest, local.census)
    assert outcome.totals.events == local.totals.events


def test_the_tdx_module_has_a_ray_actor_of_its_own_and_may_lose_it():
    found = []
    with killer("h0/tdx", "h0/v3/kvm", after=1.0) as killed:
        thread = threading.Thread(
            target=lambda: found.append(simulated(*PIECES, *ON_RAY, "engine.placement=instance"))
        )
        thread.start()
        seen = set()
        while thread.is_alive():
            seen |= set(list_named_actors())
            time.sleep(0.05)
        thread.join()
    (outcome,) = found
    wanted = {"h0/tdx", "h0/iommu", "h0/allocator"}
    wanted |= {f"h0/v{n}{part}" for n in range(8) for part in ("", "/kvm", "/gmem")}
    assert wanted <= seen
    assert outcome.partitions == len(wanted)
    assert (len(killed), outcome.totals.recoveries) == (2, 2)
    assert outcome.digest == simulated(*PIECES).digest


def test_a_node_that_is_lost_takes_no_checkpoint_along(local):
    command = [
        sys.executable,
        "-m",
        "tests.ray.lose_a_node",
        "engine.partitions=3",
        "engine.checkpoint_interval=200ms",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["digest"] == local.digest
    assert (found["nodes"], found["events"]) == (3, local.totals.events)
    assert found["recoveries"] >= 1
