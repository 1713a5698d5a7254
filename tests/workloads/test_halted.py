"""A run that cannot go on leaves what is known: for a partition that is lost for good, and for a bug in one."""

import json

import pytest

from cluster import run as engine
from cluster.lasting import Lasting, WorkerBugError, WorkerLost
from cluster.local import LocalHandle, first_of
from cluster.partition import Partition
from workloads import scenario, simulate
from workloads.errors import LostError
from workloads.outcome.report import rebuild
from workloads.session import Session, Settings
from workloads.watch import Stop

SMALL = ("scenario.conversions=400", "fleet.hosts=2", "fleet.vms_per_host=2")


class Doomed(LocalHandle):
    """Goes wrong with its second order, as every worker after it; the error is what is said of it."""

    def __init__(self, partition, error):
        super().__init__(partition)
        self.error, self.left = error, 2

    def finish(self):
        """See cluster.drive.Handle."""
        self.left -= 1
        if self.left <= 0:
            raise self.error
        return super().finish()


def doomed(error):
    """Of two partitions the second is doomed (cluster.run.Start)."""

    class Begun:
        def __init__(self, fleet, _, places, stop):
            def worker(place):
                return Partition(fleet.build, fleet.plan, places, place)

            def fatal():
                return Doomed(worker(1), error)

            self.handles = [LocalHandle(worker(0)), Lasting("h1", fatal(), fatal)]

        def __enter__(self):
            return self.handles, first_of, 1

        def __exit__(self, *_):
            pass

    return Begun


@pytest.mark.parametrize(
    ("error", "text", "trace"),
    [
        (WorkerLost("killed."), r"partition h1 lost 4 workers .* after \d+ ns .*: killed\.", ""),
        (
            WorkerBugError("ValueError: no", "Traceback\nValueError: no\n"),
            r"partition h1 met a bug of gmemsim after \d+ ns .*: ValueError: no",
            "Traceback\nValueError: no\n",
        ),
    ],
    ids=["lost", "bug"],
)
def test_what_is_known_of_a_run_that_cannot_go_on_is_kept(
    error, text, trace, monkeypatch, tmp_path
):
    monkeypatch.setattr(engine, "started", doomed(error))
    how = ("engine.executor=ray", "engine.partitions=2", "engine.yield_after=1ms")
    job = simulate.prepare(scenario.decode("", "small.toml", [*SMALL, *how]))
    folder = tmp_path / "small" / "1"
    session = Session(Settings(quiet=True), folder, Stop(None), None)
    with pytest.raises(LostError, match=text) as raised:
        session.run(job, folder)
    assert "\n" not in str(raised.value) and str(folder) in str(raised.value)
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["verdict"], summary["finished"], summary["digest"]) == ("unknown", False, "")
    assert summary["conversions"]["completed"] > 0
    assert "partition h1" in summary["reasons"][-1]
    rebuild(str(folder))
    kept = folder / "traceback.txt"
    assert (kept.read_text() if kept.exists() else "") == trace


def broken(*_):
    """In the place of what a partition does."""
    raise ValueError("no\nmore")


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("advance", r"partition h0..h1 met a bug of gmemsim after 0 ns .*: ValueError: no; what"),
        ("__init__", r"partition h0..h1 met a bug of gmemsim after 0 ns .*: ValueError: no; the"),
    ],
)
def test_a_bug_in_this_process_is_told_in_one_line(where, text, monkeypatch, tmp_path):
    monkeypatch.setattr(Partition, where, broken)
    job = simulate.prepare(scenario.decode("", "small.toml", list(SMALL)))
    session = Session(Settings(quiet=True), tmp_path, Stop(None), None)
    with pytest.raises(LostError, match=text) as raised:
        session.run(job, tmp_path)
    assert str(raised.value).endswith(f"; the traceback is in {tmp_path / 'traceback.txt'}")
    assert "in broken" in (tmp_path / "traceback.txt").read_text()
