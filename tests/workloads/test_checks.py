"""[checks]: which limits are understood, and what they make of a summary."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.checks import METRICS, Check, evaluate, parse
from workloads.errors import UsageError

SUMMARY = {
    "conversions": {"requested": 1000, "completed": 990, "failed": 10, "retries": 0},
    "latency_seconds": {"count": 990, "mean": 0.001, "p50": 0.0005, "p99": 0.005, "max": 0.1},
    "memory": {"poisoned_bytes": 4096, "leaked_bytes": 0, "huge_mappings_lost": 3},
    "anomalies": {"AN3": 2, "AN7": 1},
}


def verdict(name, limit, summary=SUMMARY):
    (row,) = evaluate({name: limit}, summary)
    return row["value"], row["ok"]


@pytest.mark.parametrize(
    ("name", "limit", "operator", "bound"),
    [
        ("conversion.latency.p99", "< 5ms", "<", 0.005),
        ("conversion.latency.max", "<=1.5s", "<=", 1.5),
        ("conversion.failure_ratio", "<= 0.1%", "<=", 0.001),
        ("conversion.failure_ratio", "< 0.25", "<", 0.25),
        ("conversions.completed", ">= 1000", ">=", 1000),
        ("memory.poisoned_bytes", "< 2MiB", "<", 2 << 20),
        ("memory.leaked_bytes", "none", "==", 0),
        ("anomalies", " none ", "==", 0),
        ("anomalies", "!= 3", "!=", 3),
    ],
)
def test_a_limit_is_an_operator_and_a_bound_in_the_summarys_unit(name, limit, operator, bound):
    assert parse(name, limit) == Check(name, limit, operator, bound)


@pytest.mark.parametrize(
    ("name", "limit", "error"),
    [
        ("anomaly", "none", "checks.anomaly: unknown check; nearest: anomalies"),
        (
            "conversion.latency.p95",
            "< 5ms",
            "checks.conversion.latency.p95: unknown check; nearest: conversion.latency.p99",
        ),
        (
            "conversion.latency.p99",
            "none",
            'checks.conversion.latency.p99: found "none", expected a limit such as "< 5ms"',
        ),
        (
            "conversions.failed",
            "< 1%",
            'checks.conversions.failed: found "1%", expected a whole number that is not negative',
        ),
        (
            "conversion.failure_ratio",
            "< 101%",
            'checks.conversion.failure_ratio: found "101%", expected a share from "0%" to "100%",'
            " or 0 to 1",
        ),
        (
            "anomalies",
            "few",
            'checks.anomalies: found "few", expected a limit such as ">= 1000", "== 0", "none"',
        ),
    ],
)
def test_a_limit_that_makes_no_sense_is_an_error_of_one_line(name, limit, error):
    with pytest.raises(UsageError) as raised:
        parse(name, limit)
    assert str(raised.value) == error


@pytest.mark.parametrize(
    ("name", "limit", "expected"),
    [
        ("conversion.latency.p99", "< 5ms", (0.005, False)),
        ("conversion.latency.p99", "<= 5ms", (0.005, True)),
        ("conversion.latency.p99", "== 5ms", (0.005, True)),
        ("conversions.completed", ">= 991", (990, False)),
        ("conversions.retries", "== 0", (0, True)),
        ("conversion.failure_ratio", "<= 1%", (0.01, True)),
        ("anomalies", "none", (3, False)),
        ("memory.poisoned_bytes", "<= 4KiB", (4096, True)),
        ("memory.huge_mappings_lost", "> 3", (3, False)),
    ],
)
def test_a_limit_is_held_against_the_summary(name, limit, expected):
    assert verdict(name, limit) == expected


def test_a_row_repeats_the_limit_as_it_was_written():
    rows = evaluate({"anomalies": "< 1", "memory.leaked_bytes": "none"}, SUMMARY)
    assert rows == [
        {"name": "anomalies", "limit": "< 1", "value": 3, "ok": False},
        {"name": "memory.leaked_bytes", "limit": "none", "value": 0, "ok": True},
    ]


@pytest.mark.parametrize("name", METRICS)
def test_of_what_has_no_data_nothing_is_known(name):
    limit = {"duration": "< 1h", "ratio": "<= 100%"}.get(METRICS[name].unit, "none")
    assert verdict(name, limit, {}) == (None, None)


def test_latencies_of_no_conversion_are_no_data_even_as_zeros():
    summary = {"latency_seconds": {"count": 0, "p99": 0.0}}
    assert verdict("conversion.latency.p99", "< 5ms", summary) == (None, None)


def test_nothing_answered_has_no_failure_ratio():
    summary = {"conversions": {"requested": 5, "completed": 0, "failed": 0}}
    assert verdict("conversion.failure_ratio", "<= 1%", summary) == (None, None)


def test_no_anomaly_at_all_is_none():
    assert verdict("anomalies", "none", {"anomalies": {}}) == (0, True)


@settings(derandomize=True, max_examples=300)
@given(st.text() | st.sampled_from(sorted(METRICS)), st.text("<>=!%.0123456789msKiB none"))
def test_any_limit_is_understood_or_refused_on_one_line(name, limit):
    try:
        assert parse(name, limit).bound >= 0
    except UsageError as error:
        assert str(error).isprintable()
