"""A run that is tied to wall time takes at least that long, and nothing else about it changes."""

import pytest

from cluster import keeping
from cluster.pace import Pace
from tests.negative.fleet_cases import ARRIVING
from tests.runs import SMALL, Silent, in_pieces, simulated
from workloads import scenario, simulate

NS = 1_000_000_000
# A fleet whose hosts do not talk, and one whose hosts do.
FLEETS = {
    "alone": SMALL,
    "windows": (*ARRIVING, "vm.memory=8MiB", "fleet.hosts=2", "fleet.vms_per_host=2"),
}
each_fleet = pytest.mark.parametrize("fleet", FLEETS.values(), ids=FLEETS)


def lasting_a_second(outcome):
    return lasting(outcome, 1)


def lasting(outcome, seconds):
    return f"engine.pace={outcome.totals.now // seconds}ns"


class Begun(Silent):
    """Stops as soon as something has happened, however slow the machine is."""

    tell_every = 0.02
    now = 0

    def progress(self, totals, watched):
        self.now = totals.now

    def should_stop(self):
        return self.now > 0


@each_fleet
def test_it_lasts_as_long_as_was_asked_and_comes_to_the_same(fleet):
    free = simulated(*fleet)
    paced = simulated(*fleet, lasting_a_second(free))
    assert (paced.digest, paced.census) == (free.digest, free.census)
    assert paced.totals.seconds >= 1
    assert free.totals.behind == 0


def test_so_it_does_on_partitions():
    free = in_pieces(*SMALL, placement="packed", partitions=3)
    paced = in_pieces(*SMALL, lasting_a_second(free), placement="packed", partitions=3)
    assert (paced.digest, paced.census) == (free.digest, free.census)
    assert paced.totals.seconds >= 1


@each_fleet
def test_one_that_cannot_keep_its_pace_says_by_how_much(fleet):
    found = simulated(*fleet, "engine.pace=1d")
    assert 0 < found.totals.behind <= found.totals.seconds


@each_fleet
def test_it_is_watched_and_can_be_stopped_while_the_next_event_is_long_in_coming(fleet):
    class Second(Silent):
        tell_every = 0.1
        words = 0

        def progress(self, totals, watched):
            assert watched and all(watched)
            self.words += 1

        def should_stop(self):
            return self.words >= 2

    found = simulated(*fleet, "engine.pace=1ns", listener=Second())
    assert (found.finished, found.totals.events) == (False, 0)


@each_fleet
def test_what_goes_on_after_a_checkpoint_keeps_the_pace_from_there(fleet, tmp_path, monkeypatch):
    free = simulated(*fleet)
    found = scenario.decode("", "test.toml", [*fleet, lasting(free, 2)])
    job, path = simulate.prepare(found), tmp_path / "checkpoint"
    begun = simulate.run(job, Begun(), path=path)
    assert not begun.finished
    stood: list[int] = []
    begin = Pace.begin

    def beginning(pace: Pace, now: int) -> None:
        stood.append(now)
        begin(pace, now)

    monkeypatch.setattr(Pace, "begin", beginning)
    ended = simulate.run(job, Silent(), saved=keeping.read(path))
    assert stood == [0, begun.totals.now]
    assert ended.digest == free.digest
    left = (free.totals.now - begun.totals.now) / free.totals.now
    assert 2 * left <= ended.totals.seconds
