"""A run that was stopped goes on from its last checkpoint, in the same folder and to the same digest."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCENARIO = """
[scenario]
conversions = 3000
[fleet]
hosts = 2
vms_per_host = 4
[[fault]]
point = "pins.transient"
probability = 0.05
"""


@pytest.fixture
def scenario(tmp_path):
    path = tmp_path / "long.toml"
    path.write_text(SCENARIO)
    return path


def summary(found):
    """Of `--json`."""
    assert found.stderr == b"" or found.returncode == 0, found.stderr.decode()
    return json.loads(found.stdout)


@pytest.mark.parametrize(("before", "after"), [("local", "ray"), ("ray", "local")])
def test_a_run_that_was_stopped_goes_on_to_the_same_digest(gmemsim, scenario, before, after):
    whole = summary(gmemsim("run", scenario, "--json", "--results", "whole"))
    begun = gmemsim("run", scenario, "--executor", before, "--time-limit", "1ns", "--quiet",
                    "--results", "begun")  # fmt: skip
    assert begun.returncode == 3
    found = gmemsim("resume", "begun/long/latest", "--executor", after, "--json")
    assert found.returncode == 0, found.stderr.decode()
    assert summary(found)["engine"]["executor"] == after
    assert summary(found)["digest"] == whole["digest"]
    assert summary(found)["conversions"] == whole["conversions"]
    assert summary(found)["engine"]["events"] == whole["engine"]["events"]


def test_a_run_whose_driver_is_killed_goes_on_too(gmemsim, scenario, tmp_path, environment):
    whole = summary(gmemsim("run", scenario, "--json", "--results", "whole"))
    command = [sys.executable, "-m", "workloads", "run", str(scenario), "--quiet",
               "--set", "engine.checkpoint_interval=1ms", "--set", "engine.yield_after=10ms"]  # fmt: skip
    with subprocess.Popen(command, cwd=tmp_path, env=environment) as driver:
        folder = wait_for(tmp_path / "results" / "long", "*/checkpoint").parent
        driver.send_signal(signal.SIGKILL)
    assert not (folder / "summary.json").exists()
    found = gmemsim("resume", folder, "--time-limit", "1ns")
    assert found.returncode == 3 and b"an anecdote" in found.stdout
    so_far = json.loads((folder / "summary.json").read_text())
    assert so_far["verdict"] == "unknown"
    assert 0 < so_far["engine"]["events"] < whole["engine"]["events"]
    ended = summary(gmemsim("resume", folder, "--json"))
    assert ended["digest"] == whole["digest"]
    assert ended["conversions"] == whole["conversions"]


def wait_for(folder: Path, pattern: str) -> Path:
    """A file that another process is going to write."""
    while True:
        for path in folder.glob(pattern):
            return path
        time.sleep(0.01)


def test_a_run_that_is_over_has_nothing_to_resume(gmemsim, scenario):
    assert gmemsim("run", scenario, "--quiet", "--set", "scenario.conversions=10").returncode == 0
    found = gmemsim("resume", "results/long/latest")
    assert found.returncode == 2
    assert (
        b"checkpoint: no such file; expected the results of a run that is not over" in found.stderr
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda folder: (folder / "checkpoint").write_bytes(b"gmemsim"), b"not a checkpoint of this version"),
        (lambda folder: damage(folder / "checkpoint"), b"damaged: its checksum is another one"),
        (lambda folder: edit(folder / "scenario.toml"), b"of another version of gmemsim, or of another scenario"),
    ],
    ids=["foreign", "damaged", "edited"],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(gmemsim, scenario, tmp_path, change, text):
    gmemsim("run", scenario, "--time-limit", "1ns", "--quiet")
    change((tmp_path / "results/long/latest").resolve())
    found = gmemsim("resume", "results/long/latest")
    assert found.returncode == 2
    assert text in found.stderr and found.stderr.count(b"\n") == 1


def damage(path: Path) -> None:
    """One bit of the last byte."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def edit(path: Path) -> None:
    """Another seed."""
    path.write_text(path.read_text().replace("seed = 1", "seed = 2"))
