"""Timelines are the same bytes wherever the run's actors are. Ray's share of this is in tests/ray."""

import pytest

from tests.runs import FAULTS, SMALL, in_pieces, simulated
from tests.timelines import TIMELINES, files_of


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
