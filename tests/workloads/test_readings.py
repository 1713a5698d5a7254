"""Readings of real runs, against their summaries."""

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest

from actors.protocols import PROTOCOLS
from cluster.drive import Totals
from cluster.fault_points import FAULT_POINTS
from cluster.label_sets import ANOMALIES, DIRECTIONS, INVARIANTS, REST
from cluster.metrics import FAMILIES, Readings
from cluster.partition import FOREVER, Order, Partition
from cluster.placement import packed
from cluster.run import unpack
from tests.runs import PINNED, SMALL, Silent
from workloads import checkers, meter, scenario, simulate
from workloads.fleet import build
from workloads.outcome.readings import at_start, partitions_of, readings
from workloads.outcome.summary import summarise
from workloads.plan import ENCODER

MUCH = (
    'fault=[{point="pins.long",probability=0.02},{point="tdx.busy",probability=0.05},'
    '{point="kvm.split_memory",probability=0.05},{point="tdx.bug",probability=0.05}]',
)


def decode(*overrides: str) -> scenario.Scenario:
    return scenario.decode("", "small.toml", (*SMALL, *overrides))


def final(found: scenario.Scenario, outcome: simulate.Outcome) -> Readings:
    return readings(
        found,
        outcome.watched,
        outcome.totals,
        "run",
        census=outcome.census,
        finished=outcome.finished,
    )


@pytest.fixture(scope="module")
def ran():
    """(readings, summary, outcome) of a run in which much fails."""
    found = decode(*MUCH)
    outcome = simulate.run(simulate.prepare(found), Silent())
    return final(found, outcome), summarise(found, outcome), outcome


def total(values, *some):
    """The sum over all label sets that have these values."""
    return sum(value for labels, value in values.items() if {*some} <= {*labels})


def test_conversions_are_the_summary_s(ran):
    shown, summary, _ = ran
    counts = summary["conversions"]
    by_outcome = shown.values["gmemsim_conversions_total"]
    assert total(by_outcome, "completed") == counts["completed"]
    assert total(by_outcome, "failed") == counts["failed"]
    assert shown.values["gmemsim_retries_total"][()] == counts["retries"] > 0
    assert shown.values["gmemsim_conversions_in_flight"][()] == counts["unfinished"] == 0


def test_failures_are_the_summary_s(ran):
    shown, summary, _ = ran
    failures = shown.values["gmemsim_conversion_failures_total"]
    reasons = {labels[-1] for labels, value in failures.items() if value}
    assert {reason: total(failures, reason) for reason in reasons} == summary["failures"]
    assert len(reasons) > 2


def test_latencies_are_the_summary_s(ran):
    shown, summary, _ = ran
    bars = shown.bars["gmemsim_conversion_latency_seconds"].values()
    latency = summary["latency_seconds"]
    assert sum(bar.number for bar in bars) == latency["count"]
    assert sum(bar.seconds for bar in bars) / latency["count"] == pytest.approx(latency["mean"])
    # All are within the bounds: the last bucket before +Inf has them all.
    assert sum(bar.below[-1] for bar in bars) == latency["count"]


def test_phases_are_the_summary_s(ran):
    shown, summary, _ = ran
    seen = {
        labels: bar.number
        for labels, bar in shown.bars["gmemsim_phase_latency_seconds"].items()
        if bar.number
    }
    assert seen == {
        (phase, consumer): percentiles["count"]
        for phase, consumers in summary["phases"].items()
        for consumer, percentiles in consumers.items()
    }


def test_memory_is_the_summary_s(ran):
    shown, summary, _ = ran
    memory = summary["memory"]
    assert shown.values["gmemsim_poisoned_bytes"][()] == memory["poisoned_bytes"] > 0
    assert shown.values["gmemsim_leaked_bytes"][()] == memory["leaked_bytes"]
    lost = shown.values["gmemsim_huge_mappings_lost_total"][()]
    assert lost == memory["huge_mappings_lost"] > 0


def test_findings_are_the_summary_s(ran):
    shown, summary, _ = ran
    anomalies = shown.values["gmemsim_anomalies_total"].items()
    broken = shown.values["gmemsim_invariant_violations_total"].items()
    assert {labels[1]: n for labels, n in anomalies if n} == summary["anomalies"]
    assert {labels[0]: n for labels, n in broken if n} == summary["invariant_violations"]


def test_the_engine_is_the_outcome_s(ran):
    shown, _, outcome = ran
    assert shown.values["gmemsim_engine_events_total"][()] == outcome.totals.events
    assert shown.values["gmemsim_engine_simulated_seconds"][()] == outcome.totals.now / 1e9
    busy = shown.values["gmemsim_engine_partition_busy_seconds_total"]
    assert busy == {("0",): outcome.totals.busy[0]}


def test_what_ran_is_named(ran):
    shown, _, _ = ran
    labels = ("run", "small", "1", "two-phase", "local", "packed")
    assert shown.values["gmemsim_run_info"] == {labels: 1.0}


def test_two_partitions_add_up_and_the_deepest_queue_is_the_deepest(ran):
    one, _, outcome = ran
    found = decode(*MUCH)
    twice = readings(found, outcome.watched * 2, outcome.totals, "run")
    name = "gmemsim_conversions_total"
    assert twice.values[name] == {labels: 2 * n for labels, n in one.values[name].items()}
    depth = "gmemsim_iommu_queue_depth"
    assert twice.values[depth] == one.values[depth]


def test_at_the_start_every_series_of_the_end_is_there(ran):
    shown, _, _ = ran
    start = at_start(decode(*MUCH), "run")
    for name, family in FAMILIES.items():
        kind = "bars" if family.kind == "histogram" else "values"
        assert getattr(start, kind)[name].keys() == getattr(shown, kind)[name].keys()


class Watching(Silent):
    """Reads at every progress."""

    tell_every = 0.0

    def __init__(self, found):
        super().__init__()
        self.scenario = found
        self.seen = [at_start(found, "run")]

    def progress(self, totals: Totals, watched: Sequence[bytes]) -> None:
        words = [simulate.unpack(word) for word in watched if word]
        self.seen.append(readings(self.scenario, words, totals, "run"))


def flat(shown):
    """(family, labels, bucket) -> value of everything that must not shrink."""
    found: dict[tuple[str, tuple[str, ...], int], float] = {}
    for name, family in FAMILIES.items():
        if family.kind == "counter":
            found |= {(name, labels, 0): n for labels, n in shown.values[name].items()}
        for labels, bars in shown.bars.get(name, {}).items():
            for place, below in enumerate((*bars.below, bars.number, bars.seconds)):
                found[name, labels, place] = below
    return found


def test_counters_and_buckets_only_grow():
    found = decode(*MUCH, 'engine.yield_after="5ms"')
    watching = Watching(found)
    outcome = simulate.run(simulate.prepare(found), watching)
    steps = [flat(shown) for shown in (*watching.seen, final(found, outcome))]
    assert len(steps) > 5
    for before, after in pairwise(steps):
        assert before.keys() == after.keys()
        assert all(after[key] >= value for key, value in before.items())


def test_an_unfinished_run_breaks_no_promise_to_answer():
    found = decode()
    job = simulate.prepare(found)
    outcome = simulate.run(job, Silent(0))
    words = [
        {**word, "inspector": {**word["inspector"], "open": {"L1": 3}}} for word in outcome.watched
    ]
    broken = "gmemsim_invariant_violations_total"
    for finished, expected in ((False, 0), (True, 3)):
        shown = readings(found, words, outcome.totals, "run", finished=finished)
        assert shown.values[broken]["L1",] >= expected
        assert finished or shown.values[broken]["L1",] == 0


@pytest.mark.parametrize("reason", ["own", "references", "bug"])
@pytest.mark.parametrize("point", FAULT_POINTS)
def test_whatever_is_injected_fails_within_the_closed_label_sets(point, reason):
    found = scenario.decode(
        "",
        "fault.toml",
        [
            "scenario.conversions=80",
            "fleet.hosts=1",
            "fleet.vms_per_host=2",
            f"fault.0.point={point}",
            "fault.0.probability=0.3",
            f"fault.0.reason={reason}",
        ],
    )
    outcome = simulate.run(simulate.prepare(found), Silent())
    assert final(found, outcome).values["gmemsim_engine_events_total"][()] > 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_a_guest_holds_fails_within_the_closed_label_sets(protocol):
    small = ["vm.page_order=0"] if protocol == "in-place" else []
    held = [
        *PINNED,
        "workload.0.kind=hostile",
        "scenario.duration=5ms",
        f"protocol.name={protocol}",
    ]
    found = scenario.decode("", "held.toml", [*held, *small])
    outcome = simulate.run(simulate.prepare(found), Silent())
    failures = final(found, outcome).values["gmemsim_conversion_failures_total"]
    asks = protocol.startswith("two-phase") or protocol == "failable-notifier"
    assert (total(failures, "EAGAIN") > 0) == asks


@pytest.mark.parametrize("timeout", ["2us", "10us"])
def test_a_timeout_fails_within_the_closed_label_sets(timeout):
    found = decode(f"protocol.prepare_timeout={timeout}", "scenario.conversions=60")
    outcome = simulate.run(simulate.prepare(found), Silent())
    failures = final(found, outcome).values["gmemsim_conversion_failures_total"]
    assert total(failures, "ETIMEDOUT") > 0


def test_the_labels_are_the_checkers_and_the_meter_s():
    for checks, labels in ((checkers.ANOMALIES, ANOMALIES), (checkers.INVARIANTS, INVARIANTS)):
        ids = [check.id for check in checks]
        assert ids == [label for label in labels if label in ids]
    assert {*meter.DIRECTION.values()} == {*DIRECTIONS}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), 1),
        (("engine.executor=ray", "engine.partitions=3"), 3),
        (("engine.executor=ray", "engine.partitions=9"), 4),
        (("engine.executor=ray", "engine.placement=host"), 4),
        (("engine.executor=ray", "engine.placement=host", "engine.partitions=3"), 3),
    ],
)
def test_partitions_are_known_before_the_start(overrides, expected):
    assert partitions_of(decode(*overrides)) == expected


def test_more_partitions_than_labels_are_added_up():
    totals = Totals(busy=[0.5] * 150, wait=[0.25] * 150)
    shown = readings(decode(), (), totals, "run")
    busy = shown.values["gmemsim_engine_partition_busy_seconds_total"]
    assert (busy["98",], busy[REST,]) == (0.5, 25.5)


def test_what_is_told_on_the_way_makes_the_readings_that_all_of_it_makes():
    found = decode(*MUCH)
    partition = Partition(
        build, ENCODER.encode(simulate.prepare(found).plan), packed(found.fleet.hosts, 1)
    )
    partition.advance(Order(FOREVER, math.inf))
    brief, whole = (unpack(word) for word in (partition.so_far(), partition.watched()))
    assert brief.keys() == whole.keys() and brief["inspector"].keys() == whole["inspector"].keys()
    assert whole["inspector"]["slowest"] and not brief["inspector"]["slowest"]
    assert max(len(bins) for _, _, bins in whole["meter"]["timelines"]) > 1
    shown = [readings(found, [word], Totals(), "run") for word in (brief, whole)]
    assert shown[0] == shown[1]
    assert sum(shown[0].values["gmemsim_conversions_total"].values()) > 0


def test_who_never_listens_costs_no_word(monkeypatch):
    def told(_):
        raise AssertionError("nobody listens")

    monkeypatch.setattr(Partition, "so_far", told)
    found = decode(*MUCH, 'engine.yield_after="5ms"')
    assert simulate.run(simulate.prepare(found), Silent()).finished
    with pytest.raises(simulate.HaltedError, match="nobody listens"):
        simulate.run(simulate.prepare(found), Watching(found))
