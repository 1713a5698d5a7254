"""A whole scenario in this process, from bytes to bytes: what is done many times, anywhere, and silently."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from cluster.drive import Unwatched
from workloads import simulate
from workloads.code_version import code_version
from workloads.errors import UsageError
from workloads.outcome.summary import summarise
from workloads.scenario import Engine, Metrics, Scenario, Trace
from workloads.trace.spool import resolve
from workloads.wording import printable

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
