"""What is said of a Ray that cannot be used, and how much of it each worker asks for."""

from unittest.mock import MagicMock

import pytest
from ray.exceptions import RayTaskError

from cluster.lasting import LossError, WorkerBugError, in_short
from cluster.ray_partitions import (
    RayUnavailableError,
    RayWorker,
    fetched,
    refuse_version,
    share,
    wait_for,
)


@pytest.mark.parametrize("version", ["2.52.0", "2.60.0", "2.61.0rc1", "2.100.1"])
def test_a_supported_ray_is_taken(version):
    refuse_version(version)


@pytest.mark.parametrize("version", ["1.13.0", "2.9.3", "2.51.2", "3.0.0", "3.1.0.dev0"])
def test_any_other_is_refused_by_one_line(version):
    with pytest.raises(RayUnavailableError) as refused:
        refuse_version(version)
    assert str(refused.value) == f"Ray {version} is installed, expected 2.52 or later, before 3.0"


@pytest.mark.parametrize(
    ("nodes", "free", "workers", "each"),
    [
        ([4], 4, 2, 1.0),
        ([1, 1, 1], 3, 4, 0.5),  # three quarters would leave the fourth without a node
        ([0, 8, 8], 16, 20, 0.5),
        ([2], 2, 27, 0.0714),
        ([2, 2], 3.0, 4, 0.0),  # others have a part of it
        ([0], 0, 3, 0.0),
    ],
)
def test_all_workers_find_room_at_once(nodes, free, workers, each):
    assert share(nodes, free, workers) == each
    assert each == 0 or sum(int(cpus / each) for cpus in nodes) >= workers


def test_workers_that_do_not_start_are_told_of_and_need_not_be_waited_for(monkeypatch, capsys):
    waits: list[float] = []

    def wait(there, num_returns, timeout):
        waits.append(timeout)
        return there[:1], there[1:]

    monkeypatch.setattr("ray.wait", wait)
    monkeypatch.setattr("ray.kill", lambda actor: None)
    workers = [RayWorker(MagicMock()) for _ in range(3)]
    with pytest.raises(LossError, match="stopped while waiting for 2 of 3 workers to start"):
        wait_for(workers, lambda: len(waits) == 3)
    assert waits == [10, 0.5, 0.5]
    assert capsys.readouterr().err.startswith("waiting for 2 of 3 workers to start; ")


def test_what_a_partition_raises_is_a_bug_and_no_loss(monkeypatch):
    task = RayTaskError("advance", "Traceback\nValueError: no", ValueError("no\nmore"))

    def get(_):
        raise task.as_instanceof_cause()

    monkeypatch.setattr("ray.get", get)
    with pytest.raises(WorkerBugError) as raised:
        fetched(None)
    line, trace = raised.value.args
    assert line == "ValueError: no" and "Traceback" in trace


def test_a_loss_is_told_by_its_reason():
    why = "The actor died.\n\tpid: 7\n\tip: 192.0.2.2\nThe worker was killed for want of memory.\n"
    assert in_short(why) == "The worker was killed for want of memory."
    guesses = (
        "The worker exited. Detail: end of file. There are some potential root causes. (1) Ray."
    )
    assert in_short(f"{why}{guesses}") == "The worker exited. Detail: end of file."
    assert in_short("One thing. " + "x" * 300) == "One thing."
    assert in_short("") == "it was lost"
