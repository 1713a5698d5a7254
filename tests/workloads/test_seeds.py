"""Several seeds: Student's t, means and intervals of every figure, and how they read."""

import io
import json
from pathlib import Path
from statistics import fmean

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workloads.small_runs import decode, outcome, word
from workloads.outcome import figures, possible
from workloads.outcome.interval import Interval, interval, t_quantile
from workloads.outcome.seeds import as_json, from_json, merge, over_seeds, seeds_record, spread
from workloads.outcome.shape import Summary
from workloads.outcome.summary import summarise
from workloads.outcome.terminal import show
from workloads.outcome.verdict import worst

# Any table of Student's t has these: two-sided, 95%.
TABLE = {
    1: 12.706,
    2: 4.303,
    3: 3.182,
    4: 2.776,
    5: 2.571,
    9: 2.262,
    10: 2.228,
    19: 2.093,
    30: 2.042,
    120: 1.980,
    9999: 1.960,
}


@pytest.mark.parametrize("freedom", TABLE)
def test_quantiles_are_those_of_the_tables(freedom):
    assert t_quantile(freedom) == pytest.approx(TABLE[freedom], abs=6e-4)


def test_an_interval_by_hand():
    found = interval([2, 4, 4, 6])
    assert found.mean == 4
    assert found.half == pytest.approx(3.182 * (8 / 3) ** 0.5 / 2, rel=1e-3)
    assert interval([5]) == Interval(5, None)
    few = interval([0, 0, 3])
    assert (few.mean, few.seen, few.runs) == (1, 1, 3)
    assert few.half == pytest.approx(4.303, abs=0.001)
    assert few.rare and not interval([2, 3, 2]).rare and not interval([0]).rare


# --- merging -------------------------------------------------------------------------------------


def summary_of(seed, *answers, finished=True, **named):
    found = decode('checks={"conversion.latency.p99"="< 4ms"}', f"scenario.seed={seed}")
    return summarise(found, outcome(word(answers, **named), finished=finished))


RUNS = (
    summary_of(1, (1, False), (3, False)),
    summary_of(2, (1, False), (5, True), findings=[[1, "AN15", 256, 41, "lost"]]),
    summary_of(3, (2, False)),
)


def test_every_figure_has_its_mean():
    found = over_seeds({**RUNS[0], "seeds": seeds_record(RUNS, 3)})
    assert found["conversions"]["completed"].mean == pytest.approx(4 / 3)
    assert found["latency_seconds"]["max"].mean == pytest.approx((3 + 5 + 2) / 3000, rel=0.02)
    assert found["latency_seconds_by_direction"]["shared_to_private"]["p50"] is None
    assert found["engine"]["executor"] == "local"
    assert found["engine"]["events"] == Interval(1000, 0)


def test_what_a_run_does_not_name_is_nothing_counted():
    found = over_seeds({**RUNS[0], "seeds": seeds_record(RUNS, 3)})
    assert found["anomalies"]["AN15"] == interval([0, 1, 0])
    assert found["failures"]["EBUSY"] == interval([0, 1, 0])


def test_rules_of_the_fault_plan_have_means_too():
    rules = 'fault=[{point="tdx.busy"},{point="tdx.busy"}]'
    runs = [
        summarise(decode(rules), outcome(word(faults=[[0, 0, 10 * n, n], [1, 0, 9, 0]])))
        for n in (1, 2, 3)
    ]
    first, second = over_seeds({**runs[0], "seeds": seeds_record(runs, 3)})["faults"]
    assert (first["struck"].mean, first["opportunities"].mean) == (2, 20)
    assert first["struck"].half == pytest.approx(interval([1, 2, 3]).half)
    assert (first["point"], second["rule"], second["struck"]) == ("tdx.busy", 1, Interval(0, 0))


def test_a_check_has_passed_when_every_seed_did():
    (check,) = over_seeds({**RUNS[0], "seeds": seeds_record(RUNS, 3)})["checks"]
    assert not check["ok"]
    assert check["value"].mean == pytest.approx((3 + 5 + 2) / 3000, rel=0.02)


@pytest.mark.parametrize(
    ("answers", "share", "held", "verdict"),
    [
        ([[(1, False)], []], None, None, "unknown"),
        ([[], []], None, None, "unknown"),
        ([[(1, False)], [], [(5, False)]], 1 / 2, False, "violated"),
    ],
)
def test_a_check_that_some_seeds_have_no_data_for_has_not_passed(answers, share, held, verdict):
    runs = [summary_of(seed, *found) for seed, found in enumerate(answers, 1)]
    record = seeds_record(runs, len(runs))
    (check,) = over_seeds({**runs[0], "seeds": record})["checks"]
    ok = record["figures"]["checks"]["conversion.latency.p99"]["ok"]
    assert (ok and ok["mean"], check["ok"], record["verdict"]) == (share, held, verdict)
    assert [*possible.flaws({**runs[0], "seeds": record})] == []


def test_the_worst_seed_decides():
    record = seeds_record(RUNS, 3)
    assert [run["verdict"] for run in record["runs"]] == ["valid", "violated", "valid"]
    assert (record["verdict"], record["count"], record["wanted"]) == ("violated", 3, 3)
    assert worst(["valid", "unknown"]) == "unknown"
    assert worst(["unknown", "violated", "valid"]) == "violated"


def test_what_was_stopped_is_named_and_not_counted():
    part = summary_of(4, (900, False), finished=False)
    record = seeds_record([RUNS[0], part], 5)
    assert (record["verdict"], record["count"], len(record["runs"])) == ("unknown", 1, 2)
    assert record["figures"]["conversions"]["completed"] == {"mean": 2, "low": None, "high": None}


def test_with_nothing_finished_there_are_no_figures():
    part = summary_of(1, (1, False), finished=False)
    found = {**part, "seeds": seeds_record([part], 3)}
    assert found["seeds"]["figures"] == {}
    assert over_seeds(found)["conversions"] == part["conversions"]


def test_the_record_is_json_and_of_the_layout():
    found = {**RUNS[0], "seeds": seeds_record(RUNS, 3)}
    again = json.loads(json.dumps(found, allow_nan=False))
    assert again == found
    msgspec.convert(again, Summary)


def test_no_interval_reaches_below_nothing():
    assert as_json(interval([0, 1, 0]))["low"] == 0
    assert as_json(interval([9, 10, 11]))["low"] > 7


def test_few_seeds_are_said_to_be_few():
    assert [len([*spread(count)]) for count in (1, 2, 9, 10)] == [1, 2, 2, 1]
    assert [*spread(3)][1].startswith("3 seeds are few")


@given(st.lists(st.lists(st.integers(0, 10**6), min_size=2, max_size=2), min_size=2, max_size=6))
def test_figures_survive_being_written(runs):
    merged = merge([{"a": {"b": one, "c": None}, "d": two, "e": "text"} for one, two in runs])
    again = from_json(json.loads(json.dumps(as_json(merged))))
    assert again["a"]["c"] is None and "e" not in again
    assert again["a"]["b"].mean == pytest.approx(fmean(one for one, _ in runs))
    assert again["d"].half == pytest.approx(merged["d"].half, abs=1e-6)


# --- reading -------------------------------------------------------------------------------------

READ = {
    "number": (Interval(23929.4, 12.31), "23,929 ±12.3"),
    "a small number": (Interval(0.4, 0.34), "0.4 ±0.34"),
    "nothing below 0": (Interval(0.4, 0.834), "0.4 (0 to 1.23)"),
    "the same every time": (Interval(1600, 0.0), "1,600"),
    "never": (Interval(0, 0.0), "0"),
    "once": (Interval(5.0, None), "5"),
}


@pytest.mark.parametrize("name", READ)
def test_a_mean_has_half_its_interval_behind_it(name):
    value, text = READ[name]
    assert figures.number(value) == text


def test_an_interval_is_in_the_unit_of_its_mean():
    assert figures.duration(Interval(0.00197, 0.00012)) == "1.97 ±0.12 ms"
    assert figures.duration(Interval(0.0004, 0.002)) == "400 (0 to 2,400) us"
    assert figures.duration(Interval(0.0, 0.0)) == "0 s"
    assert figures.size(Interval(4096.0, 123)) == "4.00 ±0.12 KiB"
    assert figures.size(Interval(0.0, 0.0)) == "0 B"
    assert figures.rate(Interval(20512.7, 310.2)) == "20,500 ±310"
    assert figures.share(Interval(0.0123, 0.001)) == "1.23% ±0.1%"


def test_the_terminal_table_has_an_interval_beside_every_figure():
    stream = io.StringIO()
    show({**RUNS[0], "seeds": seeds_record(RUNS, 3)}, Path("results/small/1"), stream, "a note")
    text = stream.getvalue()
    assert text.startswith("VIOLATED  small, protocol two-phase, 3 of 3 seeds from 1\n")
    assert "  seed 2: check conversion.latency.p99: 5.00 ms, wanted < 4ms\n" in text
    assert "1.67 ±1.43 requested: 1.33 (0 to 2.77) completed" in text
    assert "AN15 huge mapping lost: 0.333 (0 to 1.77) (admitted)" in text
    assert "FAILED: conversion.latency.p99 < 4ms: 3.33 (0 to 7.13) ms" in text
    assert "(seed 1)" in text and "\na note\n" in text
    assert all(len(line) <= 100 for line in text.splitlines())
