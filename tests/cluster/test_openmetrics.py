"""A run's metrics over time: a bounded number of snapshots, and text that a parser reads back."""

import itertools
import math
import re

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from cluster.histogram import Histogram
from cluster.label_sets import Labels, Run
from cluster.metrics import FAMILIES, Readings
from cluster.openmetrics import GAP_SECONDS, MOST, History, openmetrics

RUN = Run("two-phase", 2, ("run", "small", "1", "two-phase", "local", "packed"), ("1", "3"))
DONE: Labels = ("two-phase", "private_to_shared", "completed")


LINE = re.compile(r"(\w+)\{(.*)\} (\S+) (\S+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def reading(done, *latencies):
    histogram = Histogram()
    for latency in latencies:
        histogram.add(latency)
    values = {"gmemsim_conversions_total": {DONE: float(done)}}
    return Readings.of(RUN, values, {"gmemsim_conversion_latency_seconds": {DONE: histogram}})


def text(snapshots):
    return "\n".join(openmetrics(snapshots, {"run_id": 'a"b'})) + "\n"


def parsed(snapshots):
    """(name, labels) -> [(time, value)]. The library's parser loses buckets from the third time on."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], list[tuple[float, float]]] = {}
    for line in text(snapshots).splitlines():
        if not line.startswith("#"):
            read = LINE.fullmatch(line)
            assert read, line
            name, labels, value, at = read.groups()
            key = name, frozenset(LABEL.findall(labels))
            found.setdefault(key, []).append((float(at), float(value)))
    return found


def test_a_strict_parser_takes_it():
    """One snapshot at a time, for its sake."""
    families = list(text_string_to_metric_families(text([(100.0, reading(2, 1000, 3_000_000))])))
    assert len(families) == len(FAMILIES)
    assert all(sample.labels["run_id"] == 'a"b' for f in families for sample in f.samples)


def of(found, name, **labels):
    wanted = {*labels.items()}
    (series,) = [s for (n, own), s in found.items() if n == name and wanted <= own]
    return series


def test_what_is_written_is_read_back():
    found = parsed(
        [
            (100.0, reading(0)),
            (101.5, reading(2, 1000, 3_000_000)),
            (103.0, reading(2, 1000, 3_000_000)),
        ]
    )
    labels = dict(zip(FAMILIES["gmemsim_conversions_total"].labels, DONE, strict=True))
    assert of(found, "gmemsim_conversions_total", **labels) == [(100.0, 0), (101.5, 2), (103.0, 2)]
    name = "gmemsim_conversion_latency_seconds"
    assert of(found, f"{name}_count", **labels)[-1] == (103.0, 2)
    assert math.isclose(of(found, f"{name}_sum", **labels)[-1][1], 0.003001)
    assert of(found, f"{name}_bucket", le="1e-06", **labels)[1] == (101.5, 1)
    assert of(found, f"{name}_bucket", le="+Inf", **labels)[1] == (101.5, 2)
    assert {name.removesuffix("_total").removesuffix("_info") for name in FAMILIES} == {
        name.removesuffix("_bucket")
        .removesuffix("_count")
        .removesuffix("_sum")
        .removesuffix("_total")
        .removesuffix("_info")
        for name, _ in found
    }


def test_a_series_that_never_changes_has_few_samples():
    times = [100.0 + n for n in range(200)]
    found = parsed([(at, reading(0)) for at in times])
    series = of(found, "gmemsim_retries_total")
    assert [at for at, _ in series] == [
        100.0,
        100.0 + GAP_SECONDS,
        100.0 + 2 * GAP_SECONDS,
        100.0 + 3 * GAP_SECONDS,
        299.0,
    ]


@pytest.mark.parametrize("seconds", [10, 1000, 100_000])
def test_snapshots_are_bounded_and_evenly_spaced(seconds):
    history, readings = History(), reading(0)
    for now in range(seconds):
        if history.due(now):
            history.add(now, readings)
    times = [at for at, _ in history.snapshots]
    assert times[0] == 0
    assert min(seconds, MOST // 2) <= len(times) <= MOST
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert max(gaps) <= 2 * history.interval
