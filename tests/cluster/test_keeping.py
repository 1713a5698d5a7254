"""When checkpoints of a run are due, and what becomes of one that does not fit on the disk."""

import errno
import os

import pytest

from cluster.keeping import LOGGED_MAX, SHARE, Keeper, Saved, read
from cluster.placement import packed

BLANK = Saved(b"key", packed(1, 1))


def keeper(path=None, interval=30.0):
    return Keeper(path, interval, BLANK)


def full(_):
    """Instead of os.fsync: where a disk that is full may tell of it first."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_is_full_costs_no_run_and_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    found = keeper(tmp_path / "checkpoint")
    found.keep(0.0, [b"first"])
    monkeypatch.setattr("os.fsync", full)
    found.keep(0.0, [b"second"])
    assert (found.count, found.error) == (2, "No space left on device")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
    assert read(tmp_path / "checkpoint").states == [b"first"]
    monkeypatch.undo()
    found.keep(0.0, [b"third"])
    assert (found.error, found.size) == ("", (tmp_path / "checkpoint").stat().st_size)
    assert read(tmp_path / "checkpoint").states == [b"third"]


@pytest.mark.parametrize(("took", "passed"), [(0.0, 30.0), (2.0, 2.0 * SHARE)])
def test_an_interval_has_to_pass_and_twenty_times_what_the_last_one_took(took, passed, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    found = keeper()
    found.keep(took, [])
    now[0] += passed - 0.5
    assert not found.due(0)
    now[0] += 1.0
    assert found.due(0)


def test_no_interval_is_no_checkpoint_but_for_want_of_memory(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    found = keeper(interval=0)
    now[0] += 1e9
    assert not found.due(LOGGED_MAX)
    assert found.due(LOGGED_MAX + 1)
