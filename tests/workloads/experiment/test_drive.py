"""Points are run, kept, never run again; searches go on from what they are told; what is lost or left is said."""

import io
import re

import pytest

from tests.workloads.experiment.small import GRID, HEAD, SEARCH, Answers, grid, plain, summary
from workloads.experiment import decode
from workloads.experiment.drive import Drive, refuse_mistakes
from workloads.experiment.pursuit import Pursuits
from workloads.experiment.record import record
from workloads.experiment.store import Store
from workloads.outcome import sweep_metrics, sweep_report
from workloads.outcome.sweep_table import csv_text
from workloads.outcome.sweep_terminal import show_sweep

ABOUT = {
    "command": "gmemsim sweep small.toml",
    "closed_loops": [],
    "wall_seconds": 1.0,
    "redone": 0,
    "date": "2026-11-27",
    "code": "0123456789abcdef",
}


def never():
    return False


def swept(folder, experiment, pool, asked=never, stopped=""):
    """The record of a sweep in this folder."""
    pursuits = Pursuits(experiment)
    told: list[object] = []
    drive = Drive(experiment, experiment.about.seeds, Store(folder), told.append)
    drive.run(pursuits.all(), pool, asked)
    assert told
    return plain(record(experiment, drive, pursuits, stopped, ABOUT))


def test_a_grid_is_run_whole_and_only_once(tmp_path):
    pool = Answers()
    found = swept(tmp_path, grid(), pool)
    assert (found["points"], found["done"], found["reused"]) == (4, 4, 0)
    assert len(pool.ran) == found["runs"]["wanted"] == 8
    assert {one.scenario.seed for one in pool.ran} == {1, 2}
    assert found["verdict"] == "valid"
    again = Answers()
    found = swept(tmp_path, grid(), again)
    assert (found["done"], found["reused"], again.ran) == (4, 4, [])


def test_what_changes_a_run_makes_it_another_one(tmp_path, monkeypatch):
    swept(tmp_path, grid(), Answers())
    other = Answers()
    swept(tmp_path, grid("vm.vcpus=4"), other)
    assert len(other.ran) == 8
    same = Answers()
    swept(tmp_path, grid("metrics.port=0", "engine.yield_after=10ms"), same)
    assert same.ran == []
    monkeypatch.setattr("workloads.one_run.code_version", lambda: "another")
    newer = Answers()
    swept(tmp_path, grid(), newer)
    assert len(newer.ran) == 8


def test_a_file_that_is_damaged_is_run_again(tmp_path):
    swept(tmp_path, grid(), Answers())
    first, second, *_ = sorted(tmp_path.iterdir())
    first.write_text("{")
    second.write_text('{"finished": false}')
    pool = Answers()
    found = swept(tmp_path, grid(), pool)
    assert (len(pool.ran), found["done"]) == (2, 4)


def test_what_was_finished_when_it_was_stopped_is_kept(tmp_path):
    pool = Answers(size=1)
    found = swept(tmp_path, grid(), pool, lambda: len(pool.ran) == 5, "stopped by SIGINT")
    assert (found["verdict"], found["done"]) == ("unknown", 2)
    assert len(found["missing"]) == 2
    assert "ended early: stopped by SIGINT" in found["reasons"]
    rest = Answers()
    found = swept(tmp_path, grid(), rest)
    assert (len(rest.ran), found["done"], found["reused"], found["verdict"]) == (3, 4, 2, "valid")


def test_points_that_are_the_same_run_share_it(tmp_path):
    text = f"{HEAD}\n[[point]]\nlabel = 'a'\n[[point]]\nlabel = 'b'\nset = {{ 'vm.vcpus' = 16 }}"
    pool = Answers()
    found = swept(tmp_path, decode(text, "same.toml"), pool)
    assert (found["points"], found["done"], len(pool.ran)) == (2, 2, 1)


def test_a_violated_point_makes_it_violated_and_a_lost_one_unknown(tmp_path):
    def bad(scenario):
        wrong = scenario.fleet.vms_per_host == 2 and scenario.scenario.seed == 2
        return summary(scenario, verdict="violated", reasons=["I1"]) if wrong else summary(scenario)

    found = swept(tmp_path / "a", grid(), Answers(bad))
    assert found["verdict"] == "violated"
    assert found["reasons"][0].endswith("VMs 2: seed 2: I1")

    def lost(scenario):
        return "3 workers were lost" if scenario.fleet.vms_per_host == 2 else summary(scenario)

    found = swept(tmp_path / "b", grid(), Answers(lost))
    assert (found["verdict"], found["done"], len(found["missing"])) == ("unknown", 2, 2)
    assert any("3 workers were lost" in reason for reason in found["reasons"])


def test_a_check_that_does_not_hold_makes_it_violated(tmp_path):
    found = swept(tmp_path, grid(text=GRID.replace("< 1s", "< 1us")), Answers())
    assert found["verdict"] == "violated"
    assert found["checks"] == [{"name": "most p99", "limit": "< 1us", "value": 0.001, "ok": False}]


def test_a_figure_that_nobody_has_is_unknown(tmp_path):
    text = GRID.replace("{p99 undo 1}", "{p99 undo 3}")
    found = swept(tmp_path, grid(text=text), Answers())
    assert found["verdict"] == "unknown"
    assert found["reasons"] == ["no figure p99 undo 3: no run has it"]


def edge(scenario):
    """The IOMMU's cost decides how many VMs: 11 as it is, 23 with it halved; two-phase bears one more."""
    cost = scenario.costs.override.get("iotlb_invalidate")
    most = (23 if cost else 11) + (scenario.protocol.name == "two-phase")
    busy = {"utilisation": 0.9, "mean_waiting": 4.0}
    idle = {"utilisation": 0.3, "mean_waiting": 9.0}
    p99 = 0.001 if scenario.fleet.vms_per_host <= most else 0.02
    return summary(
        scenario, p99, {"tdx_tree": idle, "iommu_queue": busy, "requests": {"utilisation": 1.0}}
    )


def test_a_search_finds_the_edge_its_limit_and_what_relieving_it_brings(tmp_path):
    found = swept(tmp_path, decode(SEARCH, "small.toml"), Answers(edge))
    answers = {one["place"]["protocol"]: one for one in found["found"]}
    assert answers["two-phase"]["answer"]["value"] == 12
    assert answers["undo"]["answer"]["value"] == 11
    assert {one["limiting"] for one in answers.values()} == {"iommu_queue"}
    assert answers["undo"]["relieved"]["answer"]["value"] == 23
    assert (
        found["conclusion"]["text"]
        == "11 to 12, with half the cost 2.09 times that; iommu_queue (2)"
    )
    assert found["verdict"] == "valid"
    relieved = [row for row in found["rows"] if row["relieved"]]
    assert {row["relieved"] for row in relieved} == {"iommu_queue"}


def test_what_does_not_limit_is_relieved_too_and_gains_nothing(tmp_path):
    text = SEARCH.replace("relieve = {", 'relieve = { tdx_tree = ["block"], tdx_aug = [],')
    text = text.replace('"least gain"', '"most control gain" = "<= 1.1"\n"least gain"')
    found = swept(tmp_path, decode(text, "small.toml"), Answers(edge))
    assert {one["idle"] for one in found["found"]} == {"tdx_tree"}
    assert [one["control"]["answer"]["value"] for one in found["found"]] == [12, 11]
    assert {row["relieved"] for row in found["rows"]} == {"", "iommu_queue", "tdx_tree"}
    assert found["verdict"] == "valid"
    assert "11 (tdx_tree)" in sweep_report.render(found)

    def misnamed(scenario):
        """It says that the IOMMU is busy, and the TDX module is what decides."""
        cheaper = "block" in scenario.costs.override
        p99 = 0.001 if scenario.fleet.vms_per_host <= (23 if cheaper else 11) else 0.02
        return summary(scenario, p99, edge(scenario)["resources"])

    found = swept(tmp_path / "b", decode(text, "small.toml"), Answers(misnamed))
    assert found["verdict"] == "violated"
    assert {row["name"]: row["ok"] for row in found["checks"]} == {
        "monotone": True,
        "most control gain": False,
        "least gain": False,
    }


@pytest.mark.parametrize(("limit", "most"), [("1.52x", 6), ("3.02x", 21), ("0.5x", None)])
def test_a_limit_may_be_a_multiple_of_what_is_at_the_smallest_value(tmp_path, limit, most):
    def growing(scenario):
        cheaper = bool(scenario.costs.override)
        resources = {"iommu_queue": {"utilisation": 0.9, "mean_waiting": 1.0}}
        p99 = 0.009 + 0.001 * scenario.fleet.vms_per_host
        return summary(scenario, p99 / (2 if cheaper else 1), resources)

    text = SEARCH.replace("< 5ms and conversion.failure_ratio <= 1%", f"<= {limit}")
    found = swept(tmp_path, decode(text, "small.toml"), Answers(growing))["found"][0]
    assert found["answer"]["value"] == most
    # Relieved it is the same limit, not a multiple of what is shorter.
    if most:
        assert found["relieved"]["answer"]["value"] == {6: 21, 21: 40}[most]


def test_a_search_that_meets_two_edges_says_so(tmp_path):
    def twice(scenario):
        return summary(scenario, 0.001 if scenario.fleet.vms_per_host in (1, 2, 3, 5) else 0.02)

    found = swept(tmp_path, decode(SEARCH, "small.toml"), Answers(twice))
    assert not found["found"][0]["answer"]["monotone"]
    assert found["verdict"] == "violated"
    assert "check monotone: no, wanted == yes" in found["reasons"]


def test_a_search_goes_on_from_what_is_on_disk(tmp_path):
    pool = Answers(edge, size=1)
    found = swept(
        tmp_path, decode(SEARCH, "small.toml"), pool, lambda: len(pool.ran) == 7, "stopped"
    )
    assert (found["verdict"], found["done"]) == ("unknown", 7)
    rest = Answers(edge)
    found = swept(tmp_path, decode(SEARCH, "small.toml"), rest)
    assert found["reused"] == 7
    assert len(rest.ran) + 7 == found["points"] == found["done"]


@pytest.mark.parametrize("text", [GRID, SEARCH])
def test_report_and_table_are_made_of_the_record_alone(tmp_path, text):
    found = swept(tmp_path, decode(text, "small.toml"), Answers(edge))
    page = sweep_report.render(found)
    for words in ("How much?", "So much.", found["conclusion"]["text"], "gmemsim sweep small.toml"):
        assert words in page
    assert page.count("<svg") == 1
    head, *rows = csv_text(found).splitlines()
    assert head == "protocol,VMs,relieved,held,seeds,verdict,p99,p99_low,p99_high"
    assert len(rows) == found["done"]
    assert rows[0].startswith("two-phase,1,,")
    assert rows[-1].startswith("undo,")
    assert swept(tmp_path, decode(text, "small.toml"), Answers(edge))["rows"] == found["rows"]


ONE = SEARCH[: SEARCH.index("[[axis]]")] + SEARCH[SEARCH.index("[search]") :]
ONE = ONE[: ONE.index("[conclusion]")]
ONE += '[conclusion]\nanalysis = "capacity"\ntext = "{answer}: {limits}"\n[checks]\n"answer" = '


@pytest.mark.parametrize(
    ("limit", "ok"),
    [
        ("> 0", None),
        (">= 1", False),
        ("< 1", True),
        ("< 0", None),
        ("== 3", False),
        ("== none", True),
    ],
)
def test_a_search_that_finds_nothing_is_judged_by_what_that_says(tmp_path, limit, ok):
    text = ONE.replace("< 5ms", "< 1ns") + f'"{limit}"'
    refuse_mistakes(decode(text, "small.toml"), 1)
    found = swept(tmp_path, decode(text, "small.toml"), Answers(edge))
    assert found["checks"] == [{"name": "answer", "limit": limit, "value": "none", "ok": ok}]
    assert found["verdict"] == {True: "valid", False: "violated", None: "unknown"}[ok]
    assert found["conclusion"]["text"] == "none: none (1)"
    assert found["found"][0]["limiting"] == ""
    assert "none" in sweep_report.render(found)


@pytest.mark.parametrize(
    ("limit", "ok"),
    [("> 39", True), ("> 40", None), (">= 40", True), ("< 99", None), ("< 40", False), ("== 41", None),
     ("== 39", False), ("!= none", True)],
)  # fmt: skip
def test_an_answer_that_held_to_the_end_is_a_lower_bound(tmp_path, limit, ok):
    found = swept(tmp_path, decode(ONE + f'"{limit}"', "small.toml"), Answers())
    assert found["conclusion"]["text"] == "at least 40: none (1)"
    figure = found["conclusion"]["figures"]["answer"]
    assert (figure["value"], figure["low"], figure["high"]) == (40, 40, None)
    (row,) = found["checks"]
    assert (row["value"], row["ok"]) == ("at least 40", ok)
    assert found["verdict"] == {True: "valid", False: "violated", None: "unknown"}[ok]
    open_check = f"check answer: at least 40, wanted {limit}: not known"
    assert (open_check in found["reasons"]) == (ok is None)


def test_an_open_gain_is_a_lower_bound_and_the_least_lies_between(tmp_path):
    def far(scenario):
        """Relieved, two-phase holds to the end, from 30; undo goes from 11 to 23."""
        undo, cheaper = scenario.protocol.name == "undo", bool(scenario.costs.override)
        most = (23 if undo else 99) if cheaper else (11 if undo else 30)
        p99 = 0.001 if scenario.fleet.vms_per_host <= most else 0.02
        return summary(scenario, p99, edge(scenario)["resources"])

    figures = swept(tmp_path, decode(SEARCH, "small.toml"), Answers(far))["conclusion"]["figures"]
    assert figures["gain two-phase"]["text"] == "at least 1.33"
    assert figures["least gain"]["text"] == "1.33 to 2.09"
    assert figures["most gain"]["text"] == "at least 2.09"
    assert figures["most gain at"]["text"] == "two-phase or undo"


@pytest.mark.parametrize("step", [0.0, 1e-5, 1e-3])
def test_extremes_that_the_runs_do_not_tell_apart_are_nowhere(tmp_path, step):
    def noisy(scenario):
        seed, vms = scenario.scenario.seed, scenario.fleet.vms_per_host
        return summary(scenario, 0.001 + 1e-5 * seed + step * vms)

    found = swept(tmp_path, grid(), Answers(noisy))["conclusion"]
    told = "The runs do not tell the least and the most p99 apart."
    apart = step == 1e-3
    assert found["figures"]["apart p99"]["value"] == ("yes" if apart else "no")
    assert found["text"].endswith(told) is not apart
    at = "protocol two-phase, VMs 2" if apart else "no point in particular"
    assert f" at {at}; " in found["text"]


def test_metrics_have_every_point_and_every_answer(tmp_path):
    found = swept(tmp_path, decode(SEARCH, "small.toml"), Answers(edge))
    lines = [*sweep_metrics.openmetrics(found, 5.0, {"run_id": "R"})]
    assert sum(line.startswith("gmemsim_experiment_mean{") for line in lines) == len(found["rows"])
    assert not any("experiment_low{" in line for line in lines), "of one seed nobody can tell"
    capacities = {line for line in lines if line.startswith("gmemsim_experiment_capacity{")}
    assert capacities == {
        f'gmemsim_experiment_capacity{{experiment="small",line="{line}",answer="exactly",'
        f'limiting="iommu_queue",run_id="R"}} {most} 5.000'
        for line, most in (
            ("two-phase", 12.0),
            ("two-phase, iommu_queue relieved", 24.0),
            ("undo", 11.0),
            ("undo, iommu_queue relieved", 23.0),
        )
    }


def test_a_capacity_beyond_which_nobody_has_looked_is_told_apart(tmp_path):
    found = swept(tmp_path, decode(SEARCH.replace("< 5ms", "< 5s"), "small.toml"), Answers(edge))
    lines = [*sweep_metrics.openmetrics(found, 5.0, {})]
    answers = [re.findall('answer="(.+?)"', line) for line in lines if "capacity{" in line]
    assert answers == [["at least"]] * 2


@pytest.mark.parametrize(
    ("most", "monotone", "kind"),
    [(True, False, "at least"), (False, True, "exactly"), (False, False, "one edge of several")],
)
def test_what_a_search_came_to_has_a_word(most, monotone, kind):
    assert sweep_metrics.kind_of({"most": most, "monotone": monotone}) == kind


def test_metrics_lack_what_has_no_value(tmp_path):
    found = swept(tmp_path, decode(SEARCH.replace("< 5ms", "< 1ns"), "small.toml"), Answers(edge))
    found["rows"][0]["values"]["p99"] = None
    lines = [*sweep_metrics.openmetrics(found, 5.0, {})]
    assert (
        sum(line.startswith("gmemsim_experiment_mean{") for line in lines) == len(found["rows"]) - 1
    )
    assert not any("experiment_capacity{" in line for line in lines)


def test_intervals_are_over_the_seeds(tmp_path):
    found = swept(tmp_path, grid(), Answers(lambda s: summary(s, 0.001 * s.scenario.seed)))
    value = found["rows"][0]["values"]["p99"]
    assert value["mean"] == pytest.approx(0.0015)
    # Student's t with one degree of freedom, times the standard error.
    assert value["high"] - value["mean"] == pytest.approx(12.706 * 0.0005, rel=1e-3)


def test_a_check_that_fails_is_told_in_its_unit(tmp_path):
    text = GRID.replace('"most p99" = "< 1s"', '"most p99" = "< 500us"')
    found = swept(tmp_path, grid(text=text), Answers(lambda one: summary(one, 0.00082009)))
    out = io.StringIO()
    show_sweep(found, tmp_path, out)
    assert "check most p99: 820 us, wanted < 500us" in out.getvalue()
    assert "0.0008" not in out.getvalue()
