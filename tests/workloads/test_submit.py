"""What `gmemsim submit` makes of a job's end and of mistakes, without a Ray: tests/ray/test_submit.py has one."""

import json
from contextlib import chdir
from typing import ClassVar

import pytest
from click.testing import CliRunner

from cluster.ray_jobs import Job, UnansweredError
from workloads import submit
from workloads.cli import cli
from workloads.errors import LostError, UsageError
from workloads.parcel import lines
from workloads.scenario import decode, to_toml
from workloads.session import Settings

URL = "http://127.0.0.1:8265"
MISTAKE = "gmemsim: engine.partitions: found 3, expected at most 2"


class Ended(Job):
    """A job that is over, with this log."""

    note: ClassVar[dict[str, str]] = {}

    def __init__(self, status, log):
        super().__init__(None, "raysubmit_1", lambda text: None)
        self.status, self.text = status, log

    def notes(self):
        """See cluster.ray_jobs.Job."""
        return self.note

    def log(self):
        """See cluster.ray_jobs.Job."""
        yield from self.text

    def ended(self):
        """See cluster.ray_jobs.Job."""
        return self.status, "the server's word"


@pytest.fixture
def sent(monkeypatch, tmp_path):
    """Submit to a server whose job ends like this; `packages` is what it was sent: a scenario, and files beside it."""

    class Server:
        def __init__(self):
            self.packages = []

        def __call__(self, status, log, *overrides, **settings):
            def send(address, folder, words, environment, notes, say):
                assert decode(notes[submit.NOTE], "notes").scenario.name == "small"
                files = {path.relative_to(folder).as_posix() for path in folder.glob("logs/*")}
                self.packages.append(((folder / "scenario.toml").read_text(), files))
                return Ended(status, log)

            monkeypatch.setattr(submit, "send", send)
            given = Settings(**{"address": URL, "results": str(tmp_path / "here"), **settings})
            return submit.submit(decode("", "small.toml", list(overrides)), given, None)

    return Server()


@pytest.fixture
def parcel(tmp_path):
    """The lines of a results folder as a job sends it."""
    folder = tmp_path / "there" / "20261126T120000Z-1"
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps({"verdict": "valid"}))
    (folder / "scenario.toml").write_text('[scenario]\nname = "as it was there"\n')
    return list(lines(folder))


@pytest.mark.parametrize("status", [0, 1, 3])
def test_the_exit_status_is_the_jobs_and_the_results_are_here(status, sent, parcel, tmp_path):
    assert sent(status, ["some words", *parcel]) == status
    latest = tmp_path / "here" / "small" / "latest"
    assert json.loads((latest / "summary.json").read_text()) == {"verdict": "valid"}


def test_a_mistake_that_only_the_job_could_find_is_a_mistake_here(sent):
    with pytest.raises(UsageError, match=r"job raysubmit_1: engine\.partitions: found 3"):
        sent(2, ["Running entrypoint", MISTAKE], quiet=True)


def test_a_job_that_sends_nothing_is_lost_whatever_it_ended_with(sent):
    with pytest.raises(LostError, match="the server's word"):
        sent(0, ["some words"])


class Away(Ended):
    """A job whose server is away for longer than anybody waits."""

    def ended(self):
        """See cluster.ray_jobs.Job."""
        raise UnansweredError("the job server does not answer as one: refused")


def test_a_job_that_is_lost_sight_of_is_told_with_the_way_back(tmp_path):
    settings = Settings(address=URL, results=str(tmp_path), quiet=True)
    way = rf"job raysubmit_1: the job server .*; `gmemsim submit --job raysubmit_1 --address {URL}"
    with pytest.raises(LostError, match=way):
        submit.to_the_end(Away(0, ["a line"]), decode("", "small.toml"), settings)


def test_a_job_is_followed_again_from_anywhere(monkeypatch, parcel, tmp_path):
    job = Ended(3, parcel)
    note = to_toml(decode("", "small.toml", ["fleet.hosts=2"]))
    monkeypatch.setattr(Ended, "note", {submit.NOTE: note})
    monkeypatch.setattr(submit, "attach", lambda address, number, say: job)
    here = Settings(address=URL, results=str(tmp_path / "here"), quiet=True)
    assert submit.follow("raysubmit_1", here) == 3
    assert (tmp_path / "here" / "small" / "latest" / "scenario.toml").read_text() == note
    monkeypatch.setattr(Ended, "note", {})
    with pytest.raises(UsageError, match="raysubmit_1 was not sent by gmemsim submit"):
        submit.follow("raysubmit_1", here)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("quickstart", "--job", "j"), "--job: found quickstart beside it"),
        (("--job", "j", "--seed", "0"), "--job: found --seed beside it"),
        (("--job", "j", "--set", "fleet.hosts=2"), "--job: found --set beside it"),
        ((), "found neither SCENARIO nor --job"),
    ],
)
def test_a_job_has_its_scenario(words, text):
    found = CliRunner().invoke(cli, ["submit", *words, "--address", URL])
    assert isinstance(found.exception, UsageError) and text in str(found.exception)


def test_logs_of_other_folders_go_along_and_the_scenario_that_comes_back_names_them(
    sent, parcel, tmp_path
):
    (tmp_path / "far").mkdir()
    (tmp_path / "work").mkdir()
    line = "kvm_convert_memory start 0x0 size 0x1000 private_to_shared\n"
    (tmp_path / "far" / "boot.log").write_text(line)
    workload = 'workload=[{kind="trace",log=["../far/boot.log","td-boot-pid.log.gz"]}]'
    with chdir(tmp_path / "work"):
        sent(0, parcel, workload)
    ((text, files),) = sent.packages
    assert files == {"logs/0-0-boot.log"}
    assert 'log = ["logs/0-0-boot.log", "td-boot-pid.log.gz"]' in text
    here = (tmp_path / "here" / "small" / "latest" / "scenario.toml").read_text()
    assert 'log = ["../far/boot.log", "td-boot-pid.log.gz"]' in here


def test_a_trace_of_arrivals_goes_along(sent, parcel, tmp_path):
    (tmp_path / "vms.txt").write_text("0 1\n")
    fleet = ("fleet.reuse=readmit", "vm.start=unaccepted", "arrivals.kind=trace")
    sent(0, parcel, *fleet, f"arrivals.trace={tmp_path}/vms.txt")
    assert sent.packages[0][1] == {"logs/arrivals-vms.txt"}


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ('workload=[{kind="trace",log=["nix.log"]}]', "nix.log: no such file"),
        ('workload=[{kind="trace",log=["-"]}]', "standard input cannot be sent"),
        ("costs.model=nix.toml", "nix.toml"),
        (
            "fleet.reuse=readmit vm.start=unaccepted arrivals.kind=trace arrivals.trace=nix.txt",
            "arrivals.trace: nix.txt",
        ),
    ],
)
def test_a_mistake_is_told_before_anything_is_sent(override, text, sent):
    with pytest.raises(UsageError, match=text):
        sent(0, [], *override.split(" "))
    assert sent.packages == []


@pytest.mark.parametrize("address", ["HEAD:8265", "ray://HEAD:10001", "auto", "nonsense here"])
def test_what_is_no_url_of_a_job_server_is_a_mistake_at_once(address, sent, monkeypatch):
    text = r"expected the job server's URL, such as http://HEAD:8265"
    with pytest.raises(UsageError, match=f"--address: found .*{text}"):
        sent(0, [], address=address)
    monkeypatch.setenv(submit.ADDRESS, address)
    with pytest.raises(UsageError, match=f"{submit.ADDRESS}: found .*{text}"):
        sent(0, [], address=None)
    monkeypatch.delenv(submit.ADDRESS)
    with pytest.raises(UsageError, match=f"here or in {submit.ADDRESS}"):
        sent(0, [], address=None)
