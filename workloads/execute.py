"""A run as a user sees it: folder, exporter, progress, verdict, files, table, exit status."""

import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from cluster.drive import Totals
from workloads import simulate
from workloads.errors import UsageError
from workloads.outcome import folder as results
from workloads.outcome.progress import Progress
from workloads.outcome.readings import at_start, readings
from workloads.outcome.summary import exit_status, summarise
from workloads.outcome.terminal import show
from workloads.scenario import Scenario
from workloads.units import parse_duration
from workloads.wording import quote

if TYPE_CHECKING:
    from cluster.exporter import Exporter

NS = 1_000_000_000


@dataclass(frozen=True)
class Settings:
    """Flags that are no part of the scenario."""

    results: str = "results"
    address: str | None = None
    expect_digest: str | None = None
    time_limit: float | None = None  # wall seconds
    as_json: bool = False
    quiet: bool = False

    @classmethod
    def of(cls, flags: dict[str, Any]) -> "Settings":
        """From the command line."""
        limit = flags["time_limit"]
        try:
            seconds = parse_duration(limit) / NS if limit is not None else None
        except ValueError as error:
            raise UsageError(f"--time-limit: {error}") from None
        digest = flags["expect_digest"]
        if digest is not None and not re.fullmatch(r"[0-9a-f]+", digest):
            raise UsageError(f"--expect-digest: found {quote(digest)}, expected hexadecimal digits")
        names = ("results", "address", "expect_digest", "as_json", "quiet")
        return cls(time_limit=seconds, **{name: flags[name] for name in names})


class Watch:
    """The driver's listener: hands progress on, and ends the run at a signal or at the time limit."""

    def __init__(
        self,
        scenario: Scenario,
        limit: float | None,
        progress: Progress,
        exporter: "Exporter | None",
        run_id: str,
    ) -> None:
        self.scenario = scenario
        self.progress_bar = progress
        self.exporter = exporter
        self.run_id = run_id
        self.deadline = time.monotonic() + limit if limit is not None else None
        self.stopped = ""  # why, once it is to end early

    def progress(self, totals: Totals, watched: Sequence[bytes]) -> None:
        """See cluster.drive.Listener."""
        words = [simulate.unpack(word) for word in watched if word]
        if self.exporter:
            self.exporter.readings = readings(self.scenario, words, totals, self.run_id)
        self.progress_bar.update(totals, words)

    def should_stop(self) -> bool:
        """See cluster.drive.Listener."""
        if not self.stopped and self.deadline is not None and time.monotonic() > self.deadline:
            self.stopped = "the time limit was reached"
        return bool(self.stopped)

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the run with what there is; a second one ends it at once."""

        def stop(number: int, _: FrameType | None) -> None:
            if self.stopped:
                raise KeyboardInterrupt
            self.stopped = f"stopped by {signal.Signals(number).name}"

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        old = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)


def execute(scenario: Scenario, settings: Settings, max_damaged: int | None = None) -> int:
    """Run a scenario and leave its results; returns the exit status."""
    job = simulate.prepare(scenario, max_damaged)
    name, seed = scenario.scenario.name, scenario.scenario.seed
    folder = results.open_folder(settings.results, name, seed)
    try:
        return in_folder(scenario, settings, job, folder)
    except UsageError:
        with suppress(OSError):  # nothing was run: leave nothing behind
            folder.rmdir()
        raise


def in_folder(scenario: Scenario, settings: Settings, job: simulate.Job, folder: Path) -> int:
    """Run, conclude, write, tell."""
    from cluster.exporter import exposition

    run_id = folder.name
    with serving(scenario, settings, run_id) as exporter:
        with Progress(job.plan, quiet=settings.quiet or settings.as_json) as bar:
            watch = Watch(scenario, settings.time_limit, bar, exporter, run_id)
            with watch.signals():
                outcome = run(job, watch, settings.address)
        summary = summarise(scenario, outcome, job.logs, watch.stopped, settings.expect_digest)
        final = readings(
            scenario,
            outcome.watched,
            outcome.totals,
            run_id,
            census=outcome.census,
            finished=outcome.finished,
        )
        if exporter:
            exporter.readings = final
        results.write(folder, scenario, summary, outcome, exposition(final))
        with to_reader():
            if settings.as_json:
                print(json.dumps(summary, indent=2), flush=True)
            elif not settings.quiet:
                show(summary, folder)
        if exporter and scenario.metrics.linger:
            linger(scenario.metrics.linger / NS)
    return exit_status(summary["verdict"])


def run(job: simulate.Job, watch: Watch, address: str | None) -> simulate.Outcome:
    """The simulation; a Ray that cannot be reached is the user's to mend."""
    if job.plan.scenario.engine.executor == "local":
        return simulate.run(job, watch)
    from cluster.ray_partitions import RayUnavailableError

    try:
        return simulate.run(job, watch, address)
    except RayUnavailableError as error:
        raise UsageError(str(error)) from None


@contextmanager
def serving(scenario: Scenario, settings: Settings, run_id: str) -> Iterator["Exporter | None"]:
    """The Prometheus endpoint, when the scenario or a flag asks for one."""
    if scenario.metrics.port < 0:
        yield None
        return
    from cluster.exporter import Exporter, PortError

    try:
        exporter = Exporter(scenario.metrics.port, readings=at_start(scenario, run_id))
    except PortError as error:
        raise UsageError(str(error)) from None
    if not settings.quiet:
        print(f"metrics at {exporter.url}", file=sys.stderr, flush=True)
    try:
        yield exporter
    finally:
        exporter.close()


@contextmanager
def to_reader() -> Iterator[None]:
    """Standard output; the results are on disk, so a reader that has gone away changes nothing."""
    try:
        yield
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - Python flushes it at its end
    except OSError as error:
        raise UsageError(f"standard output: {error.strerror}") from None


def linger(seconds: float) -> None:
    """Stay for a last scrape; Ctrl-C ends that too."""
    try:
        time.sleep(seconds)
    except KeyboardInterrupt:
        return
