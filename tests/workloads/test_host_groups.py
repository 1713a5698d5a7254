"""Groups of hosts: few, in a row, and together all that the run has done."""

import pytest

from cluster.label_sets import GROUPS_MAX, group_labels, group_size
from tests.runs import SMALL, simulated
from workloads.outcome.host_groups import Group, host_groups


@pytest.mark.parametrize(
    ("hosts", "labels"),
    [
        (1, ["0"]),
        (16, [str(n) for n in range(16)]),
        (17, ["0-1", "2-3", "4-5", "6-7", "8-9", "10-11", "12-13", "14-15", "16"]),
    ],
)
def test_they_are_named_by_their_hosts(hosts, labels):
    assert list(group_labels(hosts)) == labels


def test_there_are_at_most_16_and_every_host_is_in_one():
    for hosts in (*range(1, 200), 99_999, 100_000):
        labels = group_labels(hosts)
        assert len({*labels}) == len(labels) <= GROUPS_MAX
        assert (hosts - 1) // group_size(hosts) == len(labels) - 1
        assert labels[-1].endswith(str(hosts - 1))


def test_they_add_up_to_the_run():
    faults = 'fault=[{point="pins.long",probability=0.2}]'
    outcome = simulated(*SMALL, faults, "fleet.hosts=20", "vmm.retry=report")
    found = host_groups(outcome.watched, 20)
    counted = {"completed": 0, "failed": 0}
    for word in outcome.watched:
        for name, *labels, count in word["meter"]["counters"]:
            if name == "conversions":
                counted[labels[-1]] += count
    assert sum(group.answered for group in found.values()) == sum(counted.values())
    assert sum(group.failed for group in found.values()) == counted["failed"] > 0
    assert list(found) == list(group_labels(20))
    assert all(group.answered and not group.in_flight for group in found.values())


def test_who_has_told_nothing_has_done_nothing():
    assert host_groups((), 2) == {"0": Group(), "1": Group()}
