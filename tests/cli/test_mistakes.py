"""A user's mistake is one clear line, exit status 2, nothing simulated and no traceback."""

import gzip
import os
import socket
import subprocess
import sys

import pytest

GOOD = b"kvm_convert_memory start 0x1000 size 0x1000 private_to_shared\n"
QUICK = ("run", "quickstart", "--set", "scenario.conversions=10")

# What is typed, and words that the one line must have.
MISTAKES = {
    "unknown key": ((*QUICK, "--set", "fleet.host=3"), "fleet.hosts"),
    "misspelled section": ((*QUICK, "--set", "flet.hosts=3"), "fleet"),
    "wrong unit": ((*QUICK, "--set", "vm.memory=8 gigs"), "vm.memory"),
    "wrong type": ((*QUICK, "--set", "fleet.hosts=many"), "fleet.hosts"),
    "negative size": ((*QUICK, "--set", "vm.memory=-1GiB"), "vm.memory"),
    "zero size": ((*QUICK, "--set", "vm.memory=0B"), "vm.memory"),
    "no such scenario": (("run", "quikstart"), "quickstart"),
    "a directory for a scenario": (("run", "."), "directory"),
    "unknown fault point": ((*QUICK, "--set", "fault.0.point=tdx.bussy"), "tdx.busy"),
    "unknown cost": ((*QUICK, "--set", "costs.override.blok=3us"), "block"),
    "unknown cost model": ((*QUICK, "--set", "costs.model=tdx"), "tdx-2026"),
    "unknown protocol": ((*QUICK, "--protocol", "three-phase"), "two-phase"),
    "unknown placement": ((*QUICK, "--placement", "scattered"), "packed"),
    "unknown flag": ((*QUICK, "--sed", "3"), "--seed"),
    "unknown command": (("rum", "quickstart"), "run"),
    "bad time limit": ((*QUICK, "--time-limit", "soon"), "--time-limit"),
    "bad check": ((*QUICK, "--set", 'checks."conversion.latency.p99"="fast"'), "p99"),
    "no such list": (("list", "fault"), "faults"),
    "no such log": (("replay", "no.log"), "no.log"),
    "a directory for a log": (("replay", "."), "directory"),
    "a log without conversions": (("replay", "empty.log"), "empty.log"),
    "a binary file": (("replay", "binary.log"), "binary.log"),
    "a cut gzip": (("replay", "cut.gz"), "cut.gz"),
    "two paces": (("replay", "good.log", "--rate", "1", "--back-to-back", "2"), "--rate"),
    "a rate of zero": (("replay", "good.log", "--rate", "0"), "rate"),
    "damage beyond the limit": (("replay", "damaged.log", "--max-damaged", "0"), "damaged.log:2"),
    "results in a file": ((*QUICK, "--results", "good.log"), "good.log"),
    "a Ray that does not answer": (
        (*QUICK, "--executor", "ray", "--address", "127.0.0.1:1"),
        "127.0.0.1:1",
    ),
    "a digest that is none": ((*QUICK, "--expect-digest", "nothex"), "--expect-digest"),
    "half a digest": ((*QUICK, "--expect-digest", "00"), "32"),
    "a cost beyond reason": ((*QUICK, "--set", "costs.override.block=300d"), "block"),
    "a stagger beyond reason": ((*QUICK, "--set", "fleet.stagger=3000d"), "stagger"),
    "too many files": (("replay", "files.log"), "guest_memfd"),
    "two slots on one page": (("replay", "aliased.log"), "guest_memfd"),
    "an unknown protocol to compare": (("compare", *QUICK[1:], "--protocol", "undu"), "--protocol"),
    "a digest of several protocols": (("compare", *QUICK[1:], "--expect-digest", "00"), "digest"),
    "a digest of several seeds": ((*QUICK, "--expect-digest", "0" * 32, "--seeds", "2"), "--seeds"),
    "no seed": ((*QUICK, "--seeds", "0"), "--seeds"),
    "seeds beyond the last": ((*QUICK, "--seed", str(2**63 - 1), "--seeds", "2"), "--seeds"),
    "no scenario to compare": (("compare", "quikstart"), "quickstart"),
    "a row that is none": (("validate", "VT17"), "VT16"),
    "a cost that is none": (("validate", "--cost", "kick_slop=1us"), "kick_slope"),
    "a cost without a value": (("validate", "--cost", "kick_slope"), "NAME=VALUE"),
    "a Grafana without a token": (
        ("dashboards", "publish", "--url", "http://127.0.0.1:1"),
        "GRAFANA_TOKEN",
    ),
    "a token's file that is not there": (
        ("dashboards", "publish", "--url", "http://127.0.0.1:1", "--token-file", "none"),
        "--token-file: none",
    ),
    "a Grafana that is not there": (
        ("dashboards", "publish", "--url", "http://127.0.0.1:1", "--token-file", "token.log"),
        "connection refused",
    ),
    "a token's file of two lines": (
        ("dashboards", "publish", "--url", "http://127.0.0.1:1", "--token-file", "two.log"),
        "--token-file: two.log: found what is no token",
    ),
    "a Grafana that is no address": (
        ("dashboards", "publish", "--url", "grafana:3000", "--token-file", "token.log"),
        "--url: found 'grafana:3000'",
    ),
    "a result that is none to mark": (
        (
            "dashboards",
            "publish",
            "--url",
            "http://127.0.0.1:1",
            "--token-file",
            "token.log",
            "--result",
            ".",
        ),
        "--result: .",
    ),
    "provisioning into a file": (("dashboards", "provision", "good.log"), "good.log"),
    "a flag of a key, by its own name": (
        (*QUICK, "--placement", "pakced"),
        "gmemsim: --placement: found",
    ),
    "a port that is none": (
        (*QUICK, "--metrics-port", "-1"),
        "--metrics-port: found -1, expected a whole number",
    ),
    "a negative seed": ((*QUICK, "--seed", "-1"), "--seed: found -1, expected a whole number"),
    "a seed that is no number": ((*QUICK, "--seeds", "two"), '--seeds: found "two", expected'),
    "a flag without its value": ((*QUICK, "--seed"), "--seed: found no value"),
    "a flag and its key": ((*QUICK, "--seed", "2", "--set", "scenario.seed=3"), "--seed and --set"),
    "a rate and its key": (
        ("replay", "good.log", "--rate", "5", "--set", "workload.0.rate=7"),
        "--rate and --set workload.0.rate: give one of them",
    ),
    "a rate that is none": (("replay", "good.log", "--rate", "nan"), "--rate: found nan"),
    "no scenario": (("run",), "SCENARIO is missing; usage: gmemsim run SCENARIO"),
    "one word too many": ((*QUICK, "extra"), "extra"),
    "a name of nothing": (("run", "xyz"), "gmemsim list scenarios has all"),
    "partitions of one process": ((*QUICK, "--partitions", "3"), "--executor ray"),
    "a Ray for one process": ((*QUICK, "--address", "1.2.3.4:1"), "--executor ray"),
    "nothing to linger for": ((*QUICK, "--linger", "1s"), "--metrics-port"),
    "a timeline of no VM": (
        (*QUICK, "--timeline", "vm=99/0"),
        '--timeline: found "99/0", expected a host from 0 to 7',
    ),
    "a timeline of something else": ((*QUICK, "--timeline", "host=1"), "expected vm=HOST/VM"),
    "metrics to open": (("report", "x", "--open", "--openmetrics"), "--openmetrics and --open"),
    "a view of what is to be quiet": ((*QUICK, "--live", "--quiet"), "--live: found --quiet"),
    "a pace that is a bare number": (
        (*QUICK, "--pace", "0.001"),
        "--pace: found 0.001, expected a duration such as",
    ),
    "results nowhere": ((*QUICK, "--results", ""), "--results"),
    "one protocol of all": (
        ("compare", *QUICK[1:], "--set", "protocol.name=undo"),
        "expected --protocol NAME",
    ),
    "a flag twice": (
        (*QUICK, "--seeds", "2", "--seeds", "3"),
        "--seeds: is given twice, expected once",
    ),
    "a key twice": (
        (*QUICK, "--set", "scenario.conversions=9"),
        "scenario.conversions is given twice",
    ),
    "a cost twice": (
        ("validate", "--cost", "kick_slope=1us", "--cost", "kick_slope=2us"),
        "--cost: kick_slope is given twice",
    ),
    "a protocol twice": (("compare", *QUICK[1:], "--protocol", "undo,undo"), "found undo twice"),
    "a Ray nowhere": ((*QUICK, "--executor", "ray", "--address", ""), '--address: found ""'),
    "a Grafana nowhere": (("dashboards", "publish"), "--url is missing"),
    "a Grafana at half an address": (
        ("dashboards", "publish", "--url", "http://[", "--token-file", "token.log"),
        "--url: found 'http://['",
    ),
    "a scenario that says nothing": (("run", "empty.log"), "empty.log: is empty"),
    "results by a name beyond all names": (("resume", "a" * 5000), "no such folder"),
    "a report by a name beyond all names": (("report", "a" * 5000), "cannot be read"),
    "a report of nothing": (("report", ""), 'RESULT: found ""'),
    "no results to resume": (("resume", "nowhere"), "no such folder"),
    "an address that is none": ((*QUICK, "--executor", "ray", "--address", "there"), "there"),
}


@pytest.fixture
def files(tmp_path):
    """Inputs that the mistakes name."""
    (tmp_path / "good.log").write_bytes(GOOD)
    (tmp_path / "two.log").write_text("glsa_one\nglsa_two\n")
    (tmp_path / "token.log").write_text("glsa_of_nobody\n")
    (tmp_path / "empty.log").write_bytes(b"")
    (tmp_path / "binary.log").write_bytes(os.urandom(5000))
    (tmp_path / "cut.gz").write_bytes(gzip.compress(GOOD * 100)[:-20])
    slot = (
        "kvm_set_user_memory AddrSpace#0 Slot#{0} flags=0x4 gpa={1:#x} size=0x400000 ua=0x7f000000 "
        "guest_memfd={2} guest_memfd_offset=0x0 ret=0\n"
    )
    many = "".join(slot.format(n, n << 22, 20 + n) for n in range(17)).encode()
    (tmp_path / "files.log").write_bytes(many + GOOD)
    (tmp_path / "aliased.log").write_bytes(
        (slot.format(0, 0, 20) + slot.format(1, 1 << 30, 20)).encode() + GOOD
    )
    (tmp_path / "damaged.log").write_bytes(GOOD + b"kvm_convert_memory start 0x10\n" + GOOD)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
@pytest.mark.parametrize("words", [("list", "protocols"), ("show", "quickstart")])
def test_a_full_disk_behind_a_pipe_is_one_line(words, environment, tmp_path):
    command = [sys.executable, "-m", "workloads", *words]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert done.stderr.startswith(b"gmemsim: standard output: cannot be written: No space")


def test_a_reader_that_has_gone_away_is_no_mistake_of_the_folder_s(environment, tmp_path):
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, "-m", "workloads", "dashboards", "provision", "grafana"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, stdout=theirs, stderr=subprocess.PIPE, check=False
    )
    os.close(theirs)
    assert (done.returncode, done.stderr) == (0, b"mount DIR as Grafana's provisioning folder\n")
    assert len(list(tmp_path.glob("grafana/**/*.json"))) > 1


def assert_one_line(done, words):
    """Exit 2, one line on standard error that has the words, nothing on standard output."""
    text = done.stderr.decode()
    assert done.returncode == 2, text
    assert text.count("\n") == 1 and text.startswith("gmemsim: "), text
    assert words in text
    assert done.stdout == b""


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(mistake, gmemsim, files, tmp_path):
    words, expected = MISTAKES[mistake]
    assert_one_line(gmemsim(*words), expected)
    assert not list(tmp_path.glob("results/*/*/summary.json"))


def test_a_port_in_use_is_one_line(gmemsim):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_one_line(gmemsim(*QUICK, "--metrics-port", port), str(port))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_results_folder_that_cannot_be_written_is_one_line(gmemsim, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    assert_one_line(gmemsim(*QUICK, "--results", "closed/results"), "closed")


def test_a_results_folder_below_a_kernel_file_is_one_line(gmemsim):
    assert_one_line(gmemsim(*QUICK, "--results", "/proc/results"), "/proc/results")


@pytest.mark.parametrize("content", [b"\x00\xff\xfe", b"[vm\n", b"[vm]\nmemory = 8\n"])
def test_a_bad_scenario_file_is_one_line(content, gmemsim, tmp_path):
    (tmp_path / "bad.toml").write_bytes(content)
    assert_one_line(gmemsim("run", "bad.toml"), "bad.toml")
