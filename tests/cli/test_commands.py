"""Commands that go well: what they print, what they leave behind, with which exit status."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LOGS = Path(__file__).parents[2] / "workloads" / "traces"
SMALL = ("--set", "scenario.conversions=200", "--set", "fleet.hosts=2")
FILES = {
    "scenario.toml",
    "summary.json",
    "latency.csv",
    "timeline.csv",
    "anomalies.jsonl",
    "timelines.json",
    "metrics.om.gz",
    "metrics.prom",
    "report.html",
}


def test_a_run_leaves_its_results_and_says_where(gmemsim, tmp_path):
    done = gmemsim("run", "quickstart", *SMALL)
    folder = tmp_path / "results" / "quickstart" / "latest"
    assert done.returncode == 0
    assert done.stdout.decode().startswith("VALID")
    assert {path.name for path in folder.iterdir()} == FILES
    assert "results/quickstart/" in done.stdout.decode()


def test_json_is_the_summary_and_nothing_else(gmemsim, tmp_path):
    done = gmemsim("run", "quickstart", *SMALL, "--json")
    saved = (tmp_path / "results/quickstart/latest/summary.json").read_text()
    assert json.loads(done.stdout) == json.loads(saved)


def test_the_resolved_scenario_runs_again_to_the_same_digest(gmemsim, tmp_path):
    first = json.loads(gmemsim("run", "quickstart", *SMALL, "--json").stdout)
    again = gmemsim(
        "run", "results/quickstart/latest/scenario.toml", "--expect-digest", first["digest"]
    )
    assert again.returncode == 0


def test_another_digest_than_expected_is_violated(gmemsim):
    done = gmemsim("run", "quickstart", *SMALL, "--expect-digest", "0" * 32)
    assert done.returncode == 1
    assert done.stdout.decode().startswith("VIOLATED")


def test_a_failed_check_is_violated(gmemsim):
    limit = 'checks."conversion.latency.p50"="< 1us"'
    assert gmemsim("run", "quickstart", *SMALL, "--set", limit).returncode == 1


def test_a_time_limit_reached_is_unknown_and_keeps_what_there_is(gmemsim, tmp_path):
    done = gmemsim("run", "quickstart", "--time-limit", "1s", "--json")
    summary = json.loads(done.stdout)
    assert (done.returncode, summary["verdict"]) == (3, "unknown")
    assert 0 < summary["conversions"]["completed"] < 24_000


def test_ctrl_c_is_unknown_and_keeps_what_there_is(environment, tmp_path):
    command = [sys.executable, "-m", "workloads", "run", "quickstart", "--json"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        time.sleep(4)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    summary = json.loads(out)
    assert (child.returncode, summary["verdict"]) == (3, "unknown")
    assert b"Traceback" not in err
    assert (tmp_path / "results/quickstart/latest/report.html").exists()


@pytest.mark.parametrize(
    ("log", "vms"), [("mixed-stderr.log", 1), ("mixed-stderr.log", 3), ("td-boot-iso.log", 2)]
)
def test_a_replay_makes_exactly_the_conversions_of_its_log(log, vms, gmemsim):
    implied = {"mixed-stderr.log": (340, 89_018_368), "td-boot-iso.log": (845, 184_049_664)}
    conversions, shared = implied[log]
    done = gmemsim("replay", LOGS / log, "--vms", vms, "--json", "--back-to-back", 4)
    summary = json.loads(done.stdout)
    assert done.returncode == 0
    assert summary["conversions"]["requested"] == conversions * vms
    assert summary["conversions"]["completed"] == conversions * vms
    assert summary["memory"]["shared_bytes"] == shared * vms


def test_a_replay_reads_standard_input(gmemsim):
    log = (LOGS / "mixed-stderr.log").read_bytes()
    assert b"an anecdote" in gmemsim("replay", "-", stdin=log).stdout
    summary = json.loads(gmemsim("replay", "-", "--json", stdin=log).stdout)
    assert summary["input"] == summary["input"] | {
        "files": 1,
        "lines": 392,
        "conversions": 340,
        "damaged": 1,
    }


def test_list_and_show_name_everything(gmemsim):
    listed = json.loads(gmemsim("list", "--json").stdout)
    assert {row["name"] for row in listed["scenarios"]} >= {"quickstart", "boot-storm", "hot-range"}
    assert all(listed.values())
    (demote,) = (row for row in listed["faults"] if row["name"] == "tdx.demote_busy")
    assert (demote["reason"], demote["errno"], demote["phase"]) == ("busy", "EBUSY", "prepare")
    assert (demote["met"], "FI-busy" in demote["registry"]) == ("busy, no-memory, bug", True)
    shown = gmemsim("show", "quickstart").stdout.decode()
    assert (
        "fleet.vms_per_host = 32    (default 8)\n    VMs: confidential VMs on each host\n" in shown
    )
    assert max(map(len, shown.splitlines())) < 140


def test_validate_prints_published_beside_simulated(gmemsim):
    done = gmemsim("validate", "VT1", "VT10")
    assert done.returncode == 0
    assert done.stdout.decode().startswith("VALID  4 of 4 figures within their tolerance")
    assert done.stderr.decode().startswith("VT1  fit  1 GiB to shared")


def test_validate_as_json_is_the_rows_alone_and_a_miss_is_a_status(gmemsim):
    done = gmemsim("validate", "VT2", "--cost", "kick_slope=+50%", "--json", "--quiet")
    (row,) = json.loads(done.stdout)["rows"]
    assert (done.returncode, done.stderr) == (1, b"")
    assert (row["id"], row["kind"], row["published"], row["ok"]) == ("VT2", "fit", 68.0, False)
    assert row["simulated"] / row["published"] == row["ratio"] > 1.4


def test_report_is_rebuilt_from_the_folder(gmemsim, tmp_path):
    gmemsim("run", "quickstart", *SMALL, "--quiet")
    page = tmp_path / "results/quickstart/latest/report.html"
    before = page.read_text()
    page.unlink()
    assert gmemsim("report", "results/quickstart/latest").returncode == 0
    assert page.read_text() == before


def test_the_version_is_printed(gmemsim):
    assert gmemsim("--version").stdout.decode().startswith("gmemsim, version ")


def test_a_timeline_is_written_where_it_was_asked_for(gmemsim, tmp_path):
    wanted = ("--timeline", "vm=1/2", "--timeline", "vm=0/0")
    assert gmemsim("run", "quickstart", *SMALL, *wanted).returncode == 0
    folder = tmp_path / "results" / "quickstart" / "latest"
    files = {"timeline-h1-v2.json", "timeline-h0-v0.json"}
    assert {path.name for path in folder.iterdir()} == FILES | files
    for name in files:
        events = json.loads((folder / name).read_text())["traceEvents"]
        assert {event["ph"] for event in events} == {"M", "X", "i"}


def test_a_report_is_shown_in_the_users_browser(gmemsim, tmp_path, environment):
    gmemsim("run", "quickstart", *SMALL, "--quiet")
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" >{tmp_path}/shown\n')
    browser.chmod(0o755)
    environment["BROWSER"] = str(browser)
    done = gmemsim("report", "results/quickstart/latest", "--open")
    page = tmp_path / done.stdout.decode().strip()
    assert page.is_file()
    assert (tmp_path / "shown").read_text() == page.resolve().as_uri()


def test_without_a_browser_the_path_is_told(gmemsim, tmp_path, environment):
    gmemsim("run", "quickstart", *SMALL, "--quiet")
    environment |= {"BROWSER": str(tmp_path / "none"), "PATH": ""}
    done = gmemsim("report", "results/quickstart/latest", "--open")
    assert done.returncode == 2
    assert done.stderr.decode().startswith("gmemsim: --open: found no browser, expected one that")
    assert done.stderr.count(b"\n") == 1
