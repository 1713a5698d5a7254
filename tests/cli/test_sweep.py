"""`gmemsim sweep` as a user has it: results, a real Ctrl-C and how it goes on, a time limit, mistakes."""

import json
import signal
import subprocess
import sys
import time

import pytest

from workloads.scenario.source import EXPERIMENTS, shipped

TEXT = """
[experiment]
question = "How long does a conversion take?"
prediction = "Longer with more VMs."
seeds = 2

[base]
"fleet.hosts" = 1
"scenario.conversions" = 60

[[axis]]
name = "VMs"
key = "fleet.vms_per_host"
values = [1, 2, 3]

[[measure]]
name = "p99"
path = "conversion.latency.p99"
unit = "duration"

[conclusion]
analysis = "extremes"
text = "It takes {least p99} to {most p99}."

[checks]
"most p99" = "< 1s"
"""
LOCAL = ("--executor", "local")
# Each 2 MiB leaf that is split takes a page of the host's spare memory, of which there is enough for five VMs.
ROOM = """
[experiment]
question = "How many VMs find room for what they convert?"
prediction = "As many as the host has spare memory for, whatever its locks cost."

[base]
"scenario.duration" = "10ms"
"fleet.hosts" = 1
"fleet.spare_memory" = "1MiB"
"vm.memory" = "64MiB"
"vm.guest_retries" = 0
"vmm.retry" = "report"
workload = [{ kind = "churn", pace = "open", rate = 1000.0, size_mean = "32KiB", size_max = "64KiB" }]

[search]
key = "fleet.vms_per_host"
name = "VMs"
high = 16
objective = "conversion.failure_ratio < 1%"

[search.relieve]
allocator = { "fleet.spare_memory" = "64MiB" }
mmu_lock = ["mmu_walk", "kick_slope"]

[conclusion]
analysis = "capacity"
text = "{answer} VMs; {limits}"
"""


@pytest.fixture
def experiment(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(TEXT)
    return path


def test_a_sweep_leaves_its_results_and_is_not_run_twice(
    gmemsim, experiment, tmp_path, environment
):
    done = gmemsim("sweep", "small.toml", *LOCAL)
    told = done.stdout.decode()
    assert done.returncode == 0
    assert told.startswith("VALID  small, 3 of 3 points, 0 from before, 2 seeds each\n")
    assert "It takes " in told and "closed loop" in told
    latest = tmp_path / "results" / "small" / "latest"
    names = {"experiment.toml", "metrics.om.gz", "points.csv", "points.json", "report.html"}
    assert {path.name for path in latest.iterdir()} == names
    assert (latest / "experiment.toml").read_text() == TEXT
    page = (latest / "report.html").read_text()
    assert "Longer with more VMs." in page and "gmemsim sweep small.toml" in page

    again = gmemsim("sweep", "small.toml", *LOCAL, "--json")
    found = json.loads(again.stdout)
    assert {"points", "done", "reused", "conclusion", "checks"} <= found.keys()
    assert (found["points"], found["done"], found["reused"]) == (3, 3, 3)
    assert found["checks"][0]["ok"]
    environment["BROWSER"] = "true"
    opened = gmemsim("report", latest, "--open")
    assert (opened.returncode, opened.stderr) == (0, b"")
    metrics = gmemsim("report", latest, "--openmetrics").stdout.decode()
    assert metrics.count("\ngmemsim_experiment_mean{") == 3
    assert f'run_id="small/{latest.resolve().name}"' in metrics
    assert (latest / "report.html").read_text() != page  # the second one's, of other wall time


def test_a_host_whose_memory_refuses_is_limited_by_its_allocator(gmemsim, tmp_path):
    (tmp_path / "room.toml").write_text(ROOM)
    done = gmemsim("sweep", "room.toml", *LOCAL, "--json")
    found = json.loads(done.stdout)
    one = found["found"][0]
    assert (done.returncode, found["conclusion"]["text"]) == (0, "5 VMs; allocator (1)")
    assert (one["limiting"], one["borne_out"], one["idle"]) == ("allocator", "yes", "mmu_lock")
    assert one["resources"]["mmu_lock"]["utilisation"] > 0.1, "busy, and not to blame"
    assert (one["relieved"]["answer"]["value"], one["control"]["answer"]["value"]) == (16, 5)


def test_relief_that_brings_nothing_contradicts_the_name(gmemsim, tmp_path):
    (tmp_path / "room.toml").write_text(ROOM.replace('"64MiB" }\nmmu', '"1MiB" }\nmmu'))
    done = gmemsim("sweep", "room.toml", *LOCAL)
    told = done.stdout.decode()
    assert done.returncode == 3
    assert "the search: allocator, in vain relieved" in told


def started(environment, folder, *words):
    command = [sys.executable, "-m", "workloads", "sweep", "small.toml", *LOCAL, "--quiet", *words]
    return subprocess.Popen(command, cwd=folder, env=environment)


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.nightly), signal.SIGKILL],
)
def test_what_ends_it_loses_no_finished_point(gmemsim, experiment, environment, tmp_path, number):
    long = ("--seeds", "400")
    process = started(environment, tmp_path, *long)
    runs = tmp_path / "results" / "small" / "runs"
    until = time.monotonic() + 60
    while len(list(runs.glob("*.json")) if runs.exists() else []) < 4:
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    status = process.wait(timeout=60)
    kept = {path: path.stat().st_mtime_ns for path in runs.glob("*.json")}
    assert all(json.loads(path.read_text())["finished"] for path in kept)
    if number == signal.SIGKILL:
        assert status == -signal.SIGKILL
    else:
        assert status == 3
        found = json.loads((tmp_path / "results/small/latest/points.json").read_text())
        assert found["verdict"] == "unknown"
        assert f"ended early: stopped by {signal.Signals(number).name}" in found["reasons"]
        assert (found["runs"]["done"], found["runs"]["wanted"]) == (len(kept), 1200)
        assert found["missing"]

    rest = json.loads(gmemsim("sweep", "small.toml", *LOCAL, "--json").stdout)
    assert (rest["verdict"], rest["done"]) == ("valid", 3)
    assert rest["runs"]["reused"] >= 2  # the seeds of the first point
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_the_time_limit_is_a_budget(gmemsim, experiment, tmp_path):
    done = gmemsim("sweep", "small.toml", *LOCAL, "--seeds", "1000", "--time-limit", "1s", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["verdict"]) == (3, "unknown")
    assert found["reasons"][0] == "ended early: the time limit was reached"
    assert found["missing"][-1] == "VMs 3"


def test_mistakes_are_one_line_and_leave_nothing(gmemsim, experiment, tmp_path):
    for words, told in (
        (["sweep", "smal.toml"], "no such file and no shipped experiment"),
        (
            ["sweep", "small.toml", "--executor", "loca"],
            '--executor: found "loca", expected local or ray',
        ),
        (["sweep", "small.toml", *LOCAL, "--workers", "2"], "--workers: found no Ray to use it"),
    ):
        done = gmemsim(*words)
        assert done.returncode == 2
        assert told in done.stderr.decode()
        assert done.stderr.count(b"\n") == 1
    assert not (tmp_path / "results").exists()


def test_it_is_listed_and_shown(gmemsim, experiment):
    shown = gmemsim("show", "small.toml").stdout.decode()
    assert "axis VMs: 1, 2, 3" in shown and "prediction: Longer" in shown
    assert json.loads(gmemsim("show", "small.toml", "--json").stdout)["combinations"] == 3
    assert b"extremes" in gmemsim("list", "analyses").stdout


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", shipped(EXPERIMENTS))
def test_shipped_experiments_have_their_answer(name, environment, tmp_path):
    command = [sys.executable, "-m", "workloads", "sweep", name, "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    found = json.loads(done.stdout)
    assert (done.returncode, found["verdict"], found["reasons"]) == (0, "valid", [])
    assert "-" not in found["conclusion"]["text"].split()
