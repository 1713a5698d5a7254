"""Timelines are the same bytes wherever the run's actors are. Ray's share of this is in tests/ray."""

import pytest

from cluster.partition import FOREVER, Order, Partition
from cluster.placement import packed
from cluster.run import unpack
from tests.runs import FAULTS, SMALL, in_pieces, simulated
from tests.timelines import TIMELINES, files_of
from workloads import scenario, simulate
from workloads.fleet import build
from workloads.plan import ENCODER
from workloads.recorder import rows

MS = 1_000_000


@pytest.fixture(scope="module")
def local():
    return files_of(simulated(*SMALL, *FAULTS, *TIMELINES))


@pytest.mark.parametrize(("placement", "partitions"), [("host", 2), ("kind", 3), ("instance", 0)])
def test_placements_do_not_change_a_timeline(placement, partitions, local):
    fleet = (*SMALL, *FAULTS, *TIMELINES)
    there = in_pieces(*fleet, placement=placement, partitions=partitions)
    assert files_of(there) == local
    assert len(local) == 3


def test_where_a_partition_yields_does_not_matter(local):
    found = simulated(*SMALL, *FAULTS, *TIMELINES, "engine.yield_after=1ms")
    assert files_of(found) == local


def test_the_seed_decides(local):
    other = files_of(simulated(*SMALL, *FAULTS, *TIMELINES, "scenario.seed=2"))
    assert all(other[name] != text for name, text in local.items())


def partition():
    """All of a small fleet."""
    plan = simulate.prepare(scenario.decode("", "test.toml", [*SMALL, *FAULTS, *TIMELINES])).plan
    return Partition(build, ENCODER.encode(plan), packed(4, 1))


def finished(found):
    """What its watchers have seen at the end."""
    while not found.advance(Order(FOREVER, 60.0)).finished:
        pass
    return unpack(found.watched())


def test_who_goes_on_from_a_checkpoint_has_the_whole_timeline():
    whole, first, second = finished(partition()), partition(), partition()
    first.advance(Order(3 * MS, 60.0))
    assert 0 < first.last_time() < 3 * MS
    second.resume(first.checkpoint())
    after = finished(second)
    assert rows_of(after) == rows_of(whole)
    assert after["inspector"]["slowest"] == whole["inspector"]["slowest"]


def rows_of(word):
    """By VM; where its bytes are cut does not matter."""
    return {vm: rows(found) for vm, *found in word["recorder"]}
