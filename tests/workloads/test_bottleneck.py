"""The one line that says where wall-clock time went."""

import pytest

from tests.workloads.small_runs import run
from workloads.outcome.bottleneck import bottleneck, by_partition, kept
from workloads.outcome.summary import summarise


@pytest.mark.parametrize(
    ("named", "begins"),
    [
        ({"busy": [0.99]}, "events: the partition was busy 99% of the time"),
        ({"busy": [0.95, 0.85]}, "events: all 2 partitions were busy 90% of the time"),
        ({"busy": [0.3, 0.9, 0.3]}, "partition 1: busy 90% of the time, the mean of all 50%"),
        ({"busy": [0.3, 0.3], "windows": 100}, "windows: partitions were busy 30% of the time"),
        ({"busy": [0.3, 0.3], "recoveries": 1}, "losses: partitions were busy 30% of the time"),
        (
            {"busy": [0.2, 0.2], "windows": 100, "driver": 0.6},
            "the driver: at work itself 60% of the time",
        ),
        ({"busy": [0.9, 0.9], "driver": 0.6}, "events: all 2 partitions were busy 90% of the time"),
        ({"busy": [0.1], "driver": 0.6, "paced": True}, "the pace that was asked for"),
        ({"busy": [0.3, 0.3]}, "orders and reports: partitions were busy 30% of the time"),
        ({"busy": [0.9], "wall": 4.0}, "starting and collecting: 3.00 s of 4.00 s"),
        ({"busy": [0.0], "seconds": 0.0}, "starting and collecting"),
    ],
)
def test_the_bottleneck_is_named(named, begins):
    assert bottleneck(**{"seconds": 1.0, "wall": 1.1, "windows": 0, **named}).startswith(begins)


def test_few_partitions_are_told_one_by_one_and_many_by_their_range():
    told = by_partition({"busy_seconds": [1.0, 2.0], "wait_seconds": [0.5, 0.25]})
    assert told == "busy 1.00 s, waiting 500 ms; busy 2.00 s, waiting 250 ms"
    many = {"busy_seconds": [3.0, 1.0, 2.0, 5.0, 4.0], "wait_seconds": [0.0] * 5}
    assert by_partition(many) == "busy 1.00 s, waiting 0 s to busy 5.00 s, waiting 0 s"


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({}, "none"),
        ({"error": ""}, "3, 120 ms in all; 2.00 KiB the last"),
        (
            {"error": "No space left on device"},
            "3, 120 ms in all; 2.00 KiB the last, which could not be written: No space left on device",
        ),
    ],
)
def test_checkpoints_are_told_with_what_they_cost(found, told):
    counts = {"checkpoints": 3, "checkpoint_seconds": 0.12, "checkpoint_bytes": 2048}
    engine = {**counts, "checkpoint_error": found["error"]} if found else {}
    assert kept(engine) == told


def test_a_summary_names_it():
    found = summarise(*run())["engine"]
    assert found["bottleneck"].partition(":")[0] in ("events", "starting and collecting")
