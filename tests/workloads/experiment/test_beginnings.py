"""What runs' beginnings are left out of a sweep's latencies, point by point; and points that are too short to tell."""

import csv
import io
from random import Random

import pytest

from tests.workloads.experiment.small import GRID, SEARCH, Answers, grid, summary
from tests.workloads.experiment.test_drive import swept
from workloads.analysis.warm_up import mser5
from workloads.experiment import decode
from workloads.experiment.pages import block
from workloads.outcome.sweep_report import render
from workloads.outcome.sweep_table import csv_text, left_out, point_head, point_rows

TOO_SHORT = "runs MSER-5 cannot tell the beginning from the rest: they are too short"


def settling(tells, p99=lambda scenario: 0.001):
    """Summaries that leave out a tenth, but of the runs of which nobody can tell."""

    def of(scenario):
        seconds = 0.002 if tells(scenario) else None
        told = {"rule": "mser-5", "seconds": seconds, "left_out": 10 if tells(scenario) else 0}
        return summary(scenario, p99(scenario), warm_up={**told, "of": 100})

    return Answers(of)


def vms(scenario):
    return scenario.fleet.vms_per_host


@pytest.mark.parametrize(
    ("seeds", "cannot", "verdict"),
    [(2, {1}, "unknown"), (3, {1}, "valid"), (3, {1, 2}, "unknown"), (1, set(), "valid")],
)
def test_a_point_is_unknown_where_half_of_its_runs_are_too_short(tmp_path, seeds, cannot, verdict):
    pool = settling(lambda one: vms(one) == 1 or one.scenario.seed not in cannot)
    found = swept(tmp_path, grid(text=GRID.replace("seeds = 2", f"seeds = {seeds}")), pool)
    assert found["verdict"] == verdict
    assert [row["verdict"] for row in found["rows"]] == ["valid", verdict] * 2
    wanted = f"protocol undo, VMs 2: in {len(cannot)} of {seeds} {TOO_SHORT}"
    assert (wanted in found["reasons"]) == (verdict == "unknown")


def test_each_point_says_what_it_leaves_out(tmp_path):
    found = swept(tmp_path, grid(), settling(lambda one: vms(one) == 1 or one.scenario.seed == 1))
    assert [row["left_out"] for row in found["rows"]] == [[0.1, 0.1], [0.1, None]] * 2
    rows = list(csv.DictReader(io.StringIO(csv_text(found))))
    assert [(row["left_out"], row["cannot_tell"]) for row in rows] == [
        ("0.1", "0"),
        ("0.1", "1"),
    ] * 2
    column = point_head(found).index("left out")
    assert [row[column] for row in point_rows(found)] == ["10%", "10%, 1 cannot tell"] * 2
    note = "latencies leave out each run's beginning, by MSER-5, 10% to 10% of its conversions; in 2 of 8 runs"
    assert note in block(found)
    assert "10%, 1 cannot tell" in render(found)


def test_who_does_not_ask_for_it_sees_nothing_of_it(tmp_path):
    found = swept(tmp_path, grid(), Answers())
    assert "left_out" not in found["rows"][0] and "left_out" not in csv_text(found)
    assert "left out" not in point_head(found) and "MSER" not in block(found)


@pytest.mark.parametrize(
    ("short", "verdict"), [({5}, "valid"), ({4}, "unknown"), ({2}, "valid"), ({8}, "valid")]
)
def test_of_a_search_only_the_answer_must_be_long_enough(tmp_path, short, verdict):
    text = SEARCH.split("[checks]")[0].replace(
        'relieve = { iommu_queue = ["iotlb_invalidate"] }', ""
    )
    pool = settling(lambda one: vms(one) not in short, lambda one: 0.00121 * vms(one))
    found = swept(
        tmp_path,
        decode(text.replace(", with half the cost {most gain} times that", ""), "s.toml"),
        pool,
    )
    assert {one["answer"]["value"] for one in found["found"]} == {4}
    assert found["verdict"] == verdict, found["reasons"]


def test_where_not_even_the_least_holds_that_is_what_must_be_long_enough(tmp_path):
    text = SEARCH.split("[checks]")[0].replace(", with half the cost {most gain} times that", "")
    pool = settling(lambda one: vms(one) > 1, lambda one: 1.0)
    found = swept(tmp_path, decode(text, "s.toml"), pool)
    assert f"protocol undo, VMs 1: in 1 of 1 {TOO_SHORT}" in found["reasons"]


@pytest.mark.parametrize(
    ("times", "least", "most"), [(40, 0.14, 0.20), (160, 0.02, 0.04), (400, 0.004, 0.02)]
)
def test_of_times_that_are_stationary_the_rule_cannot_tell_by_chance_alone(times, least, most):
    draw = Random(1)
    runs = [mser5([draw.paretovariate(2.5) for _ in range(times)]) for _ in range(2000)]
    assert least <= runs.count(None) / len(runs) < most


def test_shares_in_words():
    assert left_out([0.025, 0.14, None]) == "2.5% to 14%, 1 cannot tell"
    assert left_out([None, None]) == "2 cannot tell"
    assert left_out([0.0]) == "0%"
