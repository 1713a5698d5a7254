"""Latencies without the run's beginning: what is left out, by which rule, and that it is the same everywhere."""

import pytest

from actors import observations as o
from actors.contract import Reason, Share
from cluster.placement import PLACEMENTS
from tests.runs import Silent, in_pieces, simulated
from workloads import scenario, simulate
from workloads.analysis.warm_up import mser5
from workloads.outcome import warm_up
from workloads.outcome.summary import summarise
from workloads.settling import Settling, settled

# The first conversions split 2 MiB leaves, the others find them split.
KEYS = (
    'scenario.name="splits"',
    "fleet.hosts=2",
    "fleet.vms_per_host=2",
    "vm.memory=8MiB",
    "vm.start=mapped-2m",
    "scenario.duration=20ms",
    'workload=[{kind="churn",pace="open",rate=4000,size_mean="8KiB",size_max="16KiB"}]',
)


def summary(*more):
    found = scenario.decode("", "splits.toml", (*KEYS, *more))
    return summarise(found, simulate.run(simulate.prepare(found), Silent()))


def answer(start, latency, to=Share.SHARED, reason=Reason.NONE):
    return start + latency, o.Answered(1 << 20, 1, 0, 1, to, reason, False, latency)


def watched(*answers):
    found = Settling()
    for now, fact in answers:
        found.answered(now, fact)
    return found.result()


def test_what_is_left_out_is_the_beginning_by_intended_start_over_all_partitions():
    slow = [answer(at, 900 - 20 * at) for at in range(20)]
    even = [answer(100 + at, 50 + at % 3, Share.PRIVATE, Reason.NO_MEMORY) for at in range(200)]
    late = sorted([*slow, *even], key=lambda one: -one[0])  # by no order that matters
    found, latencies = settled([watched(*late[::2]), b"", watched(*late[1::2])])
    assert (found.left_out, found.of, found.first) == (20, 220, 100)
    assert {key: (one.count, one.most) for key, one in latencies.items()} == {
        ("shared_to_private", "failed"): (200, 52)
    }


def at_once(count):
    """Who all start at 1 ns: ten who are quick, and others who are like those to come."""
    return [answer(1, 5 if at < 10 else 51) for at in range(count)]


def test_who_started_at_one_time_is_left_out_together_or_not_at_all():
    later = [answer(100 + at, 50 + at % 3) for at in range(200)]
    order = sorted((now - fact.latency, fact.latency) for now, fact in [*at_once(30), *later])
    assert mser5([latency for _, latency in order]) == 10
    found, latencies = settled([watched(*later, *at_once(30))])
    assert (found.left_out, found.of, found.first) == (30, 230, 100)
    assert latencies["private_to_shared", "completed"].count == 200


def test_where_nobody_started_later_the_rule_cannot_tell():
    found, _ = settled([watched(*at_once(200))])
    assert (found.left_out, found.of, found.first) == (0, 200, None)


def test_where_the_rule_cannot_tell_nothing_is_left_out():
    found, latencies = settled([watched(*(answer(at, 10 * at) for at in range(100)))])
    assert (found.left_out, found.of, found.first) == (0, 100, None)
    assert latencies["private_to_shared", "completed"].count == 100


def test_latencies_leave_out_the_beginning_and_nothing_else_does():
    whole, rest = summary(), summary('scenario.warm_up="mser-5"')
    assert "warm_up" not in whole
    told = rest["warm_up"]
    assert 0 < told["left_out"] < told["of"] == whole["latency_seconds"]["count"]
    assert rest["latency_seconds"]["count"] == told["of"] - told["left_out"]
    by_direction = rest["latency_seconds_by_direction"].values()
    assert sum(one["count"] for one in by_direction) == rest["latency_seconds"]["count"]
    assert rest["digest"] == whole["digest"]
    for key in ("conversions", "resources", "phases", "failures"):
        assert rest[key] == whole[key]
    assert "by MSER-5" in warm_up.in_words(rest)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_it_is_the_same_under_every_placement(placement):
    keys = (*KEYS, 'scenario.warm_up="mser-5"')
    pieces, whole = in_pieces(*keys, placement=placement, partitions=2), simulated(*keys)
    found, wanted = (settled(word["settling"] for word in one.watched) for one in (pieces, whole))
    assert found[0] == wanted[0]
    assert found[0].left_out
    assert {key: one.pack() for key, one in found[1].items()} == {
        key: one.pack() for key, one in wanted[1].items()
    }


def test_the_rule_is_that_of_the_theory_s_rows():
    answers = [answer(at, 500 if at < 30 else 100) for at in range(300)]
    found, _ = settled([watched(*answers)])
    assert found.left_out == mser5([fact.latency for _, fact in answers]) == 30
