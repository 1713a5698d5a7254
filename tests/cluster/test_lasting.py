"""A partition outlives its workers: checkpoint, what was ordered since, and an end to trying."""

import pytest

from cluster.checkpoint import BadCheckpointError, load
from cluster.lasting import TRIES, Lasting, LossError, WorkerLost
from cluster.local import LocalHandle
from cluster.partition import FOREVER, Order, Partition
from cluster.placement import packed
from tests.runs import FAULTS, PINNED, READMITS, SCHEDULED, SMALL
from workloads import scenario, simulate
from workloads.fleet import build
from workloads.plan import ENCODER

TRACED = ('workload=[{kind="trace",log=["td-boot-iso.log"],pace="back-to-back"}]',)
EDGES = (*range(500_000, 6_000_000, 500_000), FOREVER)


class Mortal(LocalHandle):
    """Dies over its order number `dies`, counted from 1; 0 for never."""

    def __init__(self, partition, dies=0):
        super().__init__(partition)
        self.left = dies

    def finish(self):
        report = super().finish()  # the work is done, and lost
        self.left -= 1
        if self.left == 0:
            raise WorkerLost("killed")
        return report


class Fleet:
    """A scenario's only partition, its pages, and how many orders each of its workers lives for."""

    def __init__(self, *overrides, lives=()):
        self.job = simulate.prepare(scenario.decode("", "test.toml", [*SMALL, *overrides]))
        self.lives = iter(lives)
        self.lasting = Lasting("h0..h3", self.worker(), self.worker)

    def worker(self):
        hosts = self.job.plan.scenario.fleet.hosts
        partition = Partition(build, ENCODER.encode(self.job.plan), packed(hosts, 1))
        return Mortal(partition, next(self.lives, 0))

    def advance(self, edge):
        """To this time, as the driver has it done."""
        order = Order(edge, 1e9)
        while True:
            self.lasting.begin(order)
            report = self.lasting.finish()
            if report.finished:
                return report
            pages = [(source, page, self.job.page(source, page)) for source, page in report.wanted]
            order = Order(edge, 1e9, False, [], pages)

    def run(self, checkpoints=()):
        for number, edge in enumerate(EDGES):
            self.advance(edge)
            if number in checkpoints:
                self.lasting.checkpoint()
        return self.lasting.digests(), self.lasting.census()


SCENARIOS = pytest.mark.parametrize(
    "overrides",
    [FAULTS, SCHEDULED, TRACED, READMITS, PINNED],
    ids=["faults", "schedules", "trace", "readmits", "pinned"],
)


@SCENARIOS
@pytest.mark.parametrize(
    ("lives", "checkpoints"),
    [((3,), ()), ((3,), (0,)), ((5, 1, 2), (2,)), ((12,), (3, 8)), ((4, 9), (1, 6))],
)
def test_whenever_it_is_lost_the_end_is_the_same(overrides, lives, checkpoints):
    whole, broken = Fleet(*overrides), Fleet(*overrides, lives=lives)
    assert broken.run(checkpoints) == whole.run()
    assert broken.lasting.recoveries >= 1
    assert broken.lasting.handled == whole.lasting.handled


@SCENARIOS
def test_a_partition_goes_on_from_a_checkpoint_in_another_process_as_well(overrides):
    first, second = Fleet(*overrides), Fleet(*overrides)
    for edge in EDGES[:5]:
        first.advance(edge)
    second.lasting.resume(first.lasting.checkpoint())
    assert second.run() == first.run()


def test_what_a_loss_costs_is_what_came_after_the_checkpoint():
    fleet = Fleet(lives=(4,))
    events = [fleet.advance(edge).handled for edge in EDGES[:2]]
    fleet.lasting.checkpoint()
    events += [fleet.advance(edge).handled for edge in EDGES[2:4]]
    assert (fleet.lasting.recoveries, fleet.lasting.events_redone) == (1, events[2] - events[1])


def test_what_a_loss_costs_after_a_resume_is_what_came_since():
    first, second = Fleet(), Fleet(lives=(2,))
    events = [first.advance(edge).handled for edge in EDGES[:3]]
    assert second.lasting.resume(first.lasting.checkpoint()) == events[-1]
    events += [second.advance(edge).handled for edge in EDGES[3:5]]
    assert (second.lasting.recoveries, second.lasting.events_redone) == (1, events[3] - events[2])


def test_a_scenario_that_kills_every_worker_ends_with_one_line():
    fleet = Fleet(lives=[3] + [3] * TRIES)
    with pytest.raises(LossError, match=r"^partition h0\.\.h3 lost 4 workers .* after \d+ ns"):
        fleet.run()


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"gmemsim",
        b"\x80\x05]q\x00.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"cworkloads.cli\nsys.exit\n(tR.",
    ],
)
def test_no_bytes_but_a_state_are_taken(state):
    with pytest.raises(BadCheckpointError):
        Fleet().lasting.resume(state)


def test_reading_a_state_runs_nothing_but_our_own_classes():
    with pytest.raises(BadCheckpointError, match=r"posix\.system is not part of a state"):
        load(b"\x80\x05\x8c\x05posix\x8c\x06system\x93.")
