"""`gmemsim submit`: a scenario runs as a Ray job, its log is followed here, its results come back here."""

import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from cluster.ray_jobs import Job, JobServerError, attach, send
from workloads import arrivals as arrivals_file
from workloads import cost_table
from workloads.errors import LostError, UsageError
from workloads.outcome.files import SUMMARY
from workloads.outcome.folder import point_latest, write_scenario
from workloads.parcel import MARK, BadParcelError, unpack
from workloads.scenario import AnyWorkload, Scenario, Trace, decode, to_toml
from workloads.session import Settings
from workloads.trace.spool import resolve
from workloads.wording import quote

PACKAGES = ("actors", "cluster", "workloads", "dashboards")
ADDRESS = "RAY_API_SERVER_ADDRESS"  # as Ray's own command line has it
OURS, MISTAKE = "gmemsim: ", 2  # how a mistake is told, and the exit status of a run that met one
SCENARIO, LOGS, RESULTS = "scenario.toml", "logs", "results"
NOTE = "gmemsim.scenario"  # of a job: its scenario, as it is here
JOB_ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    # Ray kills a job three seconds after it was asked to end; writing results and sending them takes longer.
    "RAY_JOB_STOP_WAIT_TIME_S": "60",
}


def submit(scenario: Scenario, settings: Settings, limit: str | None) -> int:
    """Send, follow, fetch; returns the run's exit status."""
    address = address_of(settings)
    words = ["python", "-m", "workloads.parcel", "run", SCENARIO]
    words += ["--time-limit", limit] if limit else []
    notes = {NOTE: to_toml(scenario)}
    with at_the_address(), package(scenario) as folder:
        job = send(address, folder, words, JOB_ENVIRONMENT, notes, say)
    say(f"job {job.id} at {address}")
    return to_the_end(job, scenario, settings)


def follow(number: str, settings: Settings) -> int:
    """As submit, of a job that was sent before."""
    address = address_of(settings)
    with at_the_address():
        job = attach(address, number, say)
        text = job.notes().get(NOTE)
    if text is None:
        raise UsageError(f"--job: {number} was not sent by gmemsim submit, expected one that was")
    return to_the_end(job, decode(text, f"job {number}"), settings)


def to_the_end(job: Job, scenario: Scenario, settings: Settings) -> int:
    """Follow, fetch. Whatever goes wrong here, the job goes on, and can be followed again."""
    marked, words_of_it = list[str](), ""
    again = f"`{command_again(job, settings)}` follows it and gets its results"
    try:
        for line in followed(job):
            if told(line, settings):
                marked.append(line)
            elif line.startswith(OURS):
                words_of_it = line.removeprefix(OURS)
        status, why = job.ended()
    except JobServerError as error:
        raise LostError(f"job {job.id}: {error}; {again}") from None
    except KeyboardInterrupt:
        raise LostError(f"job {job.id}: interrupted before its end was seen; {again}") from None
    if status == MISTAKE and words_of_it:
        raise UsageError(f"job {job.id}: {words_of_it}")
    return fetched(marked, scenario, settings, status, f"job {job.id}: {why}")


def command_again(job: Job, settings: Settings) -> str:
    """How to come back to a job."""
    words = ["gmemsim", "submit", "--job", job.id, "--address", address_of(settings)]
    words += ["--results", settings.results] if settings.results != RESULTS else []
    return shlex.join(words)


def say(text: str) -> None:
    """To who waits."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def at_the_address() -> Iterator[None]:
    """A server that is not there, or not so, before there is a job to lose."""
    try:
        yield
    except JobServerError as error:
        raise UsageError(f"--address: {error}") from None


def address_of(settings: Settings) -> str:
    """The job server's URL. What else Ray would take is a cluster's address, or waits for one for minutes."""
    found = settings.address or os.environ.get(ADDRESS)
    if not found:
        raise UsageError(f"--address: expected the job server's URL, here or in {ADDRESS}")
    if not found.startswith(("http://", "https://")):
        where = "--address" if settings.address else ADDRESS
        text = "expected the job server's URL, such as http://HEAD:8265"
        raise UsageError(f"{where}: found {quote(found)}, {text}")
    return found


def stop(job: Job) -> None:
    """Ctrl-C of whoever follows it."""
    say(f"stopping job {job.id}")
    job.stop()


def followed(job: Job) -> Iterator[str]:
    """Its log to the end; Ctrl-C stops the job, which then keeps what it has."""
    while True:
        try:
            yield from job.log()
        except KeyboardInterrupt:
            stop(job)
            continue
        return


def told(line: str, settings: Settings) -> bool:
    """Is it a part of the results? What is not, is for people."""
    if line.startswith(MARK):
        return True
    if not settings.silent and not line.startswith("results: "):  # where they were, there
        say(line)
    return False


def fetched(
    marked: Iterable[str], scenario: Scenario, settings: Settings, status: int, why: str
) -> int:
    """The results folder, here."""
    try:
        folder = unpack(marked, Path(settings.results) / scenario.scenario.name)
    except BadParcelError as error:
        raise LostError(f"{why}: {error}") from None
    except OSError as error:
        raise UsageError(f"--results: {settings.results}: {error.strerror}") from None
    write_scenario(folder, scenario)  # which names the logs where they are here
    point_latest(folder)
    if settings.as_json:
        print(json.dumps(json.loads((folder / SUMMARY).read_text()), indent=2))
    else:
        say(f"results: {folder}")
    return status


@contextmanager
def package(scenario: Scenario) -> Iterator[Path]:
    """What the job needs and nothing else: our packages, the scenario, the files that it names."""
    home = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory(prefix="gmemsim-") as name:
        folder = Path(name)
        for package in PACKAGES:
            shutil.copytree(
                home / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
            )
        (folder / SCENARIO).write_text(to_toml(with_logs(scenario, folder / LOGS)))
        yield folder


def with_logs(scenario: Scenario, folder: Path) -> Scenario:
    """The scenario with its logs beside it; shipped ones are in the package already.

    What can be looked up without reading the logs is looked up here, so that a mistake is told before anything is sent.
    """
    cost_table.load(scenario.costs.model, scenario.costs.override)
    arrivals_file.read(scenario)

    def moved(number: int, workload: AnyWorkload) -> AnyWorkload:
        if not isinstance(workload, Trace):
            return workload
        logs = tuple(copied(log, folder, f"{number}-{n}") for n, log in enumerate(workload.log))
        return msgspec.structs.replace(workload, log=logs)

    workloads = tuple(moved(n, workload) for n, workload in enumerate(scenario.workload))
    arrivals = scenario.arrivals
    if arrivals.kind == "trace":
        arrivals = msgspec.structs.replace(
            arrivals, trace=copied(arrivals.trace, folder, "arrivals")
        )
    return msgspec.structs.replace(scenario, workload=workloads, arrivals=arrivals)


def copied(log: str, folder: Path, mark: str) -> str:
    """Its name in the package."""
    if log == "-":
        raise UsageError("a trace from standard input cannot be sent, expected a file")
    found = resolve(log)
    if not Path(log).exists():
        return log  # a shipped one
    folder.mkdir(exist_ok=True)
    name = f"{mark}-{Path(log).name}"
    shutil.copy(found, folder / name)
    return f"{folder.name}/{name}"
