"""Independent work on real Ray workers: one that dies has its work done again, a few times."""

import json
import os
import time

import pytest

from cluster import ray_pool
from tests.workloads.experiment.small import grid
from tests.workloads.experiment.test_drive import swept
from workloads.pool import OneByOne, pool

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]


def dies(work):
    """So many times, on whatever worker."""
    path, times = json.loads(work)
    with open(path, "a") as file:
        file.write("x")
    if os.path.getsize(path) <= times:
        os._exit(1)
    return b"done"


def breaks(work):
    raise ValueError("what was wrong")


def sleeps(work):
    time.sleep(600)


def results(work, payloads):
    """Name -> what became of it."""
    found: dict[str, ray_pool.Done] = {}
    workers = ray_pool.RayPool(work, 2)
    for name, payload in payloads.items():
        workers.start(name, payload)
    while len(workers):
        found |= {one.name: one for one in workers.finished()}
    return found, workers.redone


def test_work_of_a_dead_worker_is_done_again_but_not_for_ever(tmp_path):
    deaths = {"never": 0, "once": 1, "always": 100}
    work = {name: json.dumps([str(tmp_path / name), n]).encode() for name, n in deaths.items()}
    found, redone = results(dies, work)
    assert (found["never"].found, found["once"].found) == (b"done", b"done")
    assert found["always"].found is None
    assert found["always"].lost.startswith(f"{ray_pool.TRIES} workers were lost with it: ")
    assert os.path.getsize(tmp_path / "always") == ray_pool.TRIES
    assert redone == 1 + ray_pool.TRIES - 1


def test_what_work_raises_is_raised():
    with pytest.raises(ValueError, match=r"^what was wrong$"):
        results(breaks, {"a": b""})


def test_what_goes_on_is_given_up():
    workers = ray_pool.RayPool(sleeps, 2)
    workers.start("a", b"")
    assert list(workers.finished()) == []
    workers.close()
    assert len(workers) == 0


def test_a_sweep_on_ray_is_the_same_as_in_one_process(tmp_path):
    experiment = grid("scenario.conversions=40", "fleet.hosts=1")
    with pool("ray", None, 2, lambda: False) as workers:
        there = swept(tmp_path / "ray", experiment, workers)
    here = swept(tmp_path / "local", experiment, OneByOne(lambda: False))
    assert there["verdict"] == "valid"
    assert there["rows"] == here["rows"]
    kept = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("ray", "local")]
    assert kept[0] == kept[1] and len(kept[0]) == 8
