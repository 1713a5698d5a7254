"""One scenario of the swarm, from bytes to bytes: how it failed, if it did, and what it has reached."""

import signal
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from cluster.drive import Unwatched
from cluster.run import Outcome
from workloads import simulate
from workloads.outcome.summary import summarise
from workloads.outcome.verdict import excluded
from workloads.scenario import Engine, Metrics, Scenario
from workloads.swarm.rows import counted
from workloads.watch import handled


class HangError(BaseException):
    """A run that has taken more wall time than it may. Whoever it interrupts is not to take it for a bug of his own."""


class Failure(msgspec.Struct, frozen=True):
    """`kind` is violated, crash, hang or digest; `what` the checks, or the error and where it came from."""

    kind: str
    what: tuple[str, ...]
    lines: tuple[str, ...] = ()  # reasons, and the story of the first finding; or the traceback

    def like(self, other: "Failure | None") -> bool:
        """Is the other one this one again? Of the checks it has to break the first."""
        return other is not None and other.kind == self.kind and self.what[0] in other.what


class Trial(msgspec.Struct, frozen=True):
    """What is run, and for how many wall seconds at most."""

    scenario: Scenario
    limit: float


class Found(msgspec.Struct):
    """What came of it. Counts are how often: a fault point struck, a table's row was taken, an anomaly was seen."""

    digest: str = ""
    events: int = 0
    failure: Failure | None = None
    fault_points: dict[str, int] = {}
    table_rows: dict[str, int] = {}
    anomalies: dict[str, int] = {}


DECODER = msgspec.msgpack.Decoder(Trial)


def packed(scenario: Scenario, limit: float) -> bytes:
    """Fit to cross to another machine."""
    return msgspec.msgpack.encode(Trial(plain(scenario), limit))


def plain(scenario: Scenario) -> Scenario:
    """To be run in one process, unwatched."""
    engine = Engine(checkpoint_interval=0)
    return msgspec.structs.replace(scenario, engine=engine, metrics=Metrics())


def run(trial: bytes, asked: Callable[[], bool] = lambda: False) -> bytes:
    """See workloads.pool.Work. Whatever goes wrong in the scenario is found, not raised."""
    found = tried(DECODER.decode(trial), asked)
    return msgspec.json.encode(found) if found else b""


def tried(trial: Trial, asked: Callable[[], bool] = lambda: False) -> Found | None:
    """None where it was asked to stop before the end."""
    found = Found()
    with counted() as rows:
        try:
            with limited(trial.limit):
                job = simulate.prepare(trial.scenario)
                outcome = simulate.run(job, Unwatched(asked))
                summary = summarise(trial.scenario, outcome, job.logs)
            if not outcome.finished:
                return None
            conclude(found, summary, outcome)
        except HangError as error:
            found.failure = Failure("hang", ("still running",), lines_of(error))
        except Exception as error:
            found.failure = crash(error)
    found.table_rows = dict(rows)
    return found


def conclude(found: Found, summary: dict[str, Any], outcome: Outcome) -> None:
    """Of a run that came to its end."""
    struck: Counter[str] = Counter()
    for row in summary["faults"]:
        struck[row["point"]] += row["struck"]
    found.digest, found.events = outcome.digest, outcome.totals.events
    found.fault_points, found.anomalies = dict(+struck), summary["anomalies"]
    if summary["verdict"] != "valid":
        story = summary.get("counterexample", {}).get("story", ())
        what = tuple(excluded(summary)) or (summary["verdict"],)
        found.failure = Failure("violated", what, (*summary["reasons"], *story))


def crash(error: BaseException) -> Failure:
    """Told apart by the kind of error and the function that it came from."""
    while error.__cause__:
        error = error.__cause__
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return Failure("crash", (f"{type(error).__name__} in {frame.name}",), lines_of(error))


def lines_of(error: BaseException) -> tuple[str, ...]:
    """Its traceback."""
    return tuple("".join(traceback.format_exception(error)).splitlines())


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """HangError after so much wall time. Only a process's main thread can be told so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(*_: object) -> None:
        raise HangError(f"still running after {seconds:g} s of wall time")

    with handled(over, signal.SIGALRM):
        before = signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, *before)
