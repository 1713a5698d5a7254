"""`gmemsim submit` against a real Ray head with its job server."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml
from ray.job_submission import JobSubmissionClient

from tests.servers import free_port
from workloads.parcel import BadParcelError, lines, unpack
from workloads.scenario import decode
from workloads.submit import PACKAGES, package

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]
REPOSITORY = Path(__file__).parents[2]
SMALL = (
    "--set",
    "scenario.conversions=200",
    "--set",
    "fleet.hosts=2",
    "--set",
    "fleet.vms_per_host=2",
)
LIGHT_BYTES = 5 << 20


@contextmanager
def started(**settings):
    """A Ray head with its job server: (its URL, environment of its clients)."""
    # Ray's sockets have long names, and a limit of 107 bytes.
    home = Path(tempfile.mkdtemp(prefix="gm"))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    binaries = Path(sys.executable).parent
    environment |= {
        "HOME": str(home),
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    port, jobs = free_port(), free_port()
    start = [str(binaries / "ray"), "start", "--head", "--block", f"--port={port}", f"--dashboard-port={jobs}",
               "--num-cpus=2", f"--temp-dir={home / 'r'}", f"--dashboard-agent-listen-port={free_port()}"]  # fmt: skip
    with subprocess.Popen(
        start,
        env=environment | settings,
        cwd=home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        url = f"http://127.0.0.1:{jobs}"
        wait_for(f"{url}/api/version")
        yield url, environment | {"PYTHONPATH": str(REPOSITORY)}
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def head():
    """One that all tests of this file share."""
    with started() as found:
        yield found


def wait_for(url: str) -> None:
    """Until something answers there."""
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError:
            return  # it wants a token
        except OSError:
            time.sleep(0.2)
        else:
            return


@pytest.fixture
def submit(head, tmp_path):
    """`gmemsim submit WORDS` in an empty folder."""
    url, environment = head

    def call(*words, address=url, **settings):
        return subprocess.run(
            command(address, *words),
            cwd=tmp_path,
            env=environment | settings,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    return call


def command(address, *words):
    return [sys.executable, "-m", "workloads", "submit", *words, "--address", address]


def test_a_job_has_the_digest_of_a_run_here_and_its_results_come_back(submit, head, tmp_path):
    found = submit("quickstart", *SMALL, "--json")
    assert found.returncode == 0, found.stderr
    here = subprocess.run(
        [sys.executable, "-m", "workloads", "run", "quickstart", *SMALL, "--json", "--results", "here"],
        cwd=tmp_path, env=head[1], capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    summary = json.loads(found.stdout)
    assert summary["digest"] == json.loads(here.stdout)["digest"]
    assert summary["engine"]["executor"] == "ray"
    folder = tmp_path / "results" / "quickstart" / "latest"
    assert {"report.html", "scenario.toml", "summary.json"} <= {
        path.name for path in folder.iterdir()
    }
    number = found.stderr.split()[1]  # job NUMBER at URL
    again = submit("--job", number, "--json", "--results", "again")
    assert (again.returncode, json.loads(again.stdout)) == (0, summary), again.stderr


def test_the_exit_status_is_the_runs(submit, tmp_path):
    log = tmp_path / "one.log"
    log.write_text("kvm_convert_memory start 0x0 size 0x2000 private_to_shared\n")
    workload = f'workload=[{{kind="trace",log=["{log}"]}}]'
    found = submit(
        "quickstart",
        "--set",
        workload,
        "--set",
        "fault=[]",
        "--set",
        'checks={"conversions.completed"=">= 10000000"}',
    )
    assert found.returncode == 1, found.stderr
    assert "VIOLATED" in found.stderr


def test_a_server_that_is_not_there_is_one_line(submit):
    found = submit("quickstart", address=f"http://127.0.0.1:{free_port()}")
    assert (found.returncode, found.stderr.count("\n")) == (2, 1)
    assert "does not answer" in found.stderr


def test_ctrl_c_stops_the_job_and_what_it_has_come_to_comes_back(head, tmp_path):
    url, environment = head
    # What runs in the background of a shell may be told to ignore Ctrl-C, and hands that on.
    heeding = ["env", "--default-signal=INT"]
    words = heeding + command(url, "quickstart", "--set", "scenario.conversions=10000000", "--json")
    with subprocess.Popen(
        [*words, "--set", "scenario.duration=1h"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as client:
        try:
            assert client.stderr is not None
            assert client.stderr.readline().startswith("job ")
            wait_until(lambda: "conversions, " in logs_of(url))
            client.send_signal(signal.SIGINT)
            out, told = client.communicate(timeout=100)
        finally:
            client.kill()
            stop_jobs(url)
    assert client.returncode == 3, told
    summary = json.loads(out)
    assert (summary["verdict"], summary["finished"]) == ("unknown", False)
    assert summary["conversions"]["completed"] > 0


def stop_jobs(url):
    """None goes on beside the other tests."""
    client = JobSubmissionClient(url)
    for job in client.list_jobs():
        if not job.status.is_terminal():
            client.stop_job(job.submission_id)


def logs_of(url):
    """Of the latest job."""
    client = JobSubmissionClient(url)
    jobs = sorted(client.list_jobs(), key=lambda job: job.start_time)
    return client.get_job_logs(jobs[-1].submission_id)


def wait_until(true):
    while not true():
        time.sleep(0.2)


def test_a_server_that_wants_a_token_gets_it_or_says_so(submit):
    token = "gmemsim-" + "t" * 32
    with started(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token) as (url, _):
        without = submit("quickstart", *SMALL, address=url)
        assert (without.returncode, without.stderr.count("\n")) == (2, 1)
        assert "RAY_AUTH_TOKEN" in without.stderr
        wrong = submit(
            "quickstart", *SMALL, address=url, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="no" * 16
        )
        assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
        given = submit(
            "quickstart", *SMALL, address=url, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token
        )
        assert given.returncode == 0, given.stderr
        assert all(token not in text for text in (without.stderr, wrong.stderr, given.stderr))


def test_the_repository_as_a_working_directory_is_light_and_runs_as_a_rayjob_does(head, tmp_path):
    url, environment = head
    job, _ = yaml.safe_load_all((REPOSITORY / "docs" / "rayjob.yaml").read_text())
    words = shlex.split(job["spec"]["entrypoint"])
    words[words.index("--results") + 1] = str(tmp_path)  # which is a volume there
    words[words.index("--partitions") + 1] = "2"
    ray = [str(Path(sys.executable).parent / "ray"), "job", "submit", "--address", url]
    done = subprocess.run(
        [*ray, "--working-dir", ".", "--", *words, *SMALL],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "quickstart" / "latest" / "summary.json").read_text())
    assert (summary["verdict"], summary["engine"]["executor"]) == ("valid", "ray")
    sent = Path(environment["HOME"]).glob(
        "r/session_latest/runtime_resources/working_dir_files/_ray_pkg_*/tools"
    )
    (folder,) = (path.parent for path in sent)
    assert {"actors", "cluster", "workloads"} <= {path.name for path in folder.iterdir()}
    assert size_of(folder) < LIGHT_BYTES


def size_of(folder):
    """What was sent: what the job compiled there since is not."""
    sent = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return sum(path.stat().st_size for path in sent)


def test_the_package_is_light_and_holds_our_packages_alone():
    with package(decode("", "test.toml", [])) as folder:
        assert {path.name for path in folder.iterdir()} == {*PACKAGES, "scenario.toml"}
        assert size_of(folder) < LIGHT_BYTES


def test_a_parcel_is_taken_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "20261126T120000Z-1"
    (folder / "part").mkdir(parents=True)
    (folder / "part" / "a.bin").write_bytes(os.urandom(10_000))
    sent = list(lines(folder))
    there = unpack(["noise before", *sent][1:], tmp_path / "there")
    assert (there / "part" / "a.bin").read_bytes() == (folder / "part" / "a.bin").read_bytes()
    for damaged in (
        sent[:-1],
        sent[:1] + sent[2:],
        [],
        [*sent[:1], sent[1][:-9] + "!" * 9, *sent[2:]],
    ):
        with pytest.raises(BadParcelError):
            unpack(damaged, tmp_path / "damaged")
