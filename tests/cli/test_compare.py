"""`gmemsim compare`, and several seeds: what is printed, left behind, and returned."""

import json
import signal
import subprocess
import sys
import time

OPEN = """
[scenario]
duration = "100ms"
[fleet]
hosts = 2
vms_per_host = 2
[vm]
memory = "64MiB"
[[workload]]
kind = "churn"
pace = "open"
rate = 500
"""
ONE = ("--protocol", "two-phase")


def written(tmp_path, text=OPEN):
    (tmp_path / "small.toml").write_text(text)
    return "small.toml"


def test_a_comparison_tells_and_leaves_everything(gmemsim, tmp_path):
    done = gmemsim("compare", written(tmp_path), *ONE)
    text, latest = done.stdout.decode(), tmp_path / "results" / "small" / "latest"
    assert done.returncode == 0
    assert text.startswith("VALID  small, 1 protocol, seed 1\n")
    assert "anecdote" in text and "results/small/" in text
    assert done.stderr.decode().startswith("two-phase: valid, ")
    names = {path.name for path in latest.iterdir()}
    assert names == {"scenario.toml", "compare.json", "report.html", "two-phase"}


def test_json_is_the_record_and_each_summary_is_a_run_s(gmemsim, tmp_path):
    done = gmemsim("compare", written(tmp_path), *ONE, "--json")
    latest = tmp_path / "results" / "small" / "latest"
    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, b"")
    assert found == json.loads((latest / "compare.json").read_text())
    digest = found["protocols"]["two-phase"]["digest"]
    again = gmemsim("run", latest / "two-phase" / "scenario.toml", "--expect-digest", digest)
    assert again.returncode == 0


def test_the_comparison_s_report_is_rebuilt(gmemsim, tmp_path):
    gmemsim("compare", written(tmp_path), *ONE, "--quiet")
    page = tmp_path / "results" / "small" / "latest" / "report.html"
    before = page.read_text()
    page.unlink()
    assert gmemsim("report", "results/small/latest").returncode == 0
    assert page.read_text() == before


def test_ctrl_c_keeps_what_there_is(environment, tmp_path):
    text = OPEN.replace("100ms", "1h")
    words = ["compare", written(tmp_path, text), *ONE, "--json", "--seeds", "3"]
    command = [sys.executable, "-m", "workloads", *words]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        time.sleep(5)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    found = json.loads(out)
    assert (child.returncode, found["verdict"], b"Traceback" in err) == (3, "unknown", False)
    assert [run["seed"] for run in found["seeds"]["protocols"]["two-phase"]["runs"]] == [1]


def test_what_was_stopped_in_a_comparison_can_be_found_and_resumed(gmemsim, tmp_path):
    long = written(tmp_path, OPEN.replace("100ms", "1h"))
    assert gmemsim("compare", long, *ONE, "--time-limit", "1ns", "--quiet").returncode == 3
    told = gmemsim("resume", "results/small/latest").stderr.decode()
    assert told.rstrip().endswith("/two-phase") and "; nearest: " in told


def test_several_seeds_of_a_run(gmemsim, tmp_path):
    done = gmemsim("run", written(tmp_path), "--seeds", "3")
    latest = tmp_path / "results" / "small" / "latest"
    text = done.stdout.decode()
    assert done.returncode == 0
    assert text.startswith("VALID  small, protocol two-phase, 3 of 3 seeds from 1\n")
    assert "\u00b1" in text and "95% interval" in text
    saved = json.loads((latest / "summary.json").read_text())
    alone = json.loads((latest / "seed-2" / "summary.json").read_text())
    assert saved["seeds"]["runs"][1]["digest"] == alone["digest"]
    assert (saved["seed"], alone["seed"], saved["seeds"]["count"]) == (1, 2, 3)
    assert "Over all seeds" in (latest / "report.html").read_text()


def test_the_worst_seed_is_the_status(gmemsim, tmp_path):
    limit = 'checks."conversion.latency.p50"="< 1us"'
    done = gmemsim("run", written(tmp_path), "--seeds", "2", "--set", limit, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["seeds"]["verdict"]) == (1, "violated")
    assert found["seeds"]["figures"]["checks"]["conversion.latency.p50"]["ok"]["mean"] == 0


def test_one_seed_is_called_an_anecdote(gmemsim, tmp_path):
    assert b"anecdote" in gmemsim("run", written(tmp_path)).stdout
