"""A whole scenario in this process, from bytes to bytes: what is done many times, anywhere, and silently."""

import hashlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import msgspec

from cluster.drive import Unwatched
from workloads import simulate
from workloads.errors import UsageError
from workloads.outcome.summary import summarise
from workloads.scenario import Engine, Metrics, Scenario, Trace
from workloads.trace.spool import resolve
from workloads.wording import printable

ROOT = Path(__file__).resolve().parent.parent
# What decides a run's figures: all sources and data but those that only choose scenarios and conclude from figures.
PACKAGES = ("actors", "cluster", "workloads")
SOURCES = (".py", ".toml", ".log", ".gz")
NO_PART = (
    "workloads/experiment/",
    "workloads/experiments/",
    "workloads/scenarios/",
    "workloads/outcome/sweep_",
)
DECODER = msgspec.msgpack.Decoder(Scenario)


def packed(scenario: Scenario) -> bytes:
    """A scenario that is to be run in one process, fit to cross to another machine."""
    engine = Engine(checkpoint_interval=0)
    return msgspec.msgpack.encode(
        msgspec.structs.replace(scenario, engine=engine, metrics=Metrics())
    )


def run(scenario: bytes, asked: Callable[[], bool] = lambda: False) -> bytes:
    """Simulate what was packed; its summary as JSON, or nothing where it was asked to stop before the end."""
    job = simulate.prepare(DECODER.decode(scenario))
    outcome = simulate.run(job, Unwatched(asked))
    if not outcome.finished:
        return b""
    return msgspec.json.encode(summarise(job.plan.scenario, outcome, job.logs))


def key_of(scenario: Scenario) -> str:
    """Names the run and the code: who has a summary by this name need not run it again."""
    found = hashlib.blake2b(packed(scenario), digest_size=16)
    found.update(code_version().encode())
    for path in files_of(scenario):
        try:
            found.update(hashlib.blake2b(path.read_bytes()).digest())
        except OSError as error:
            raise UsageError(f"{printable(str(path))}: cannot be read: {error.strerror}") from None
    return found.hexdigest()


def files_of(scenario: Scenario) -> Iterator[Path]:
    """What a scenario reads when it is run."""
    for workload in scenario.workload:
        if isinstance(workload, Trace):
            yield from (Path(resolve(name)) for name in workload.log)
    if scenario.arrivals.kind == "trace":
        yield Path(scenario.arrivals.trace)


@cache
def code_version() -> str:
    """A hash of the sources and data that are gmemsim, as they are on disk."""
    found = hashlib.blake2b(digest_size=16)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix in SOURCES and not name.startswith(NO_PART):
                found.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()
