"""All sides of the reference benchmark do the same work, or its ratios would mean nothing."""

import pytest

from benchmarks.reference import LOCAL, RIVALS, Contest
from benchmarks.reference_model import Shape
from cluster.run import Executor


@pytest.fixture(scope="module")
def contest() -> Contest:
    """gmemsim has run."""
    contest = Contest(Shape(hosts=2, vms=5, conversions=20))
    contest.engine(LOCAL, Executor("local"))
    return contest


@pytest.mark.parametrize("rival", RIVALS)
def test_a_way_of_writing_it_in_simpy_comes_to_the_same_sums(contest: Contest, rival: str):
    contest.rival(rival)
    assert contest.tallies[rival] == contest.tallies[LOCAL]
    assert contest.tallies[rival].conversions == 200


def test_a_side_that_does_other_work_is_found(contest: Contest):
    contest.tallies["other"] = contest.tallies[LOCAL]._replace(aborted=17)
    with pytest.raises(AssertionError, match="different work"):
        contest.agreed()
