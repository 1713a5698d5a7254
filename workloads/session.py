"""What the runs of one command share: flags, the end of it all, the metrics endpoint, a Ray cluster; and one run."""

import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cluster.exposition import exposition
from cluster.openmetrics import History, openmetrics
from workloads import simulate
from workloads.errors import LostError, UsageError
from workloads.outcome import folder as results
from workloads.outcome.figures import duration, number
from workloads.outcome.files import CHECKPOINT, TRACEBACK, write_text
from workloads.outcome.live import Live
from workloads.outcome.progress import Progress
from workloads.outcome.readings import at_start, partitions_of, readings
from workloads.outcome.summary import summarise
from workloads.scenario import Scenario
from workloads.scenario.keys import INT_MAX
from workloads.units import parse_duration
from workloads.watch import Stop, Watch
from workloads.wording import quote

if TYPE_CHECKING:
    from cluster.exporter import Exporter
    from cluster.keeping import Saved

NS = 1_000_000_000
Summary = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """Flags that are no part of the scenario."""

    results: str = "results"
    address: str | None = None
    expect_digest: str | None = None
    time_limit: float | None = None  # wall seconds, over all runs
    seeds: int = 1
    as_json: bool = False
    quiet: bool = False
    live: bool = False

    @classmethod
    def of(cls, flags: dict[str, Any]) -> "Settings":
        """From the command line; a command may lack some of the flags."""
        seconds = seconds_of(flags["time_limit"])
        digest, seeds = flags.get("expect_digest"), flags.get("seeds", 1)
        if not flags.get("results", "results"):
            raise UsageError('--results: found "", expected a folder')
        digest = digest and digest.lower()
        if digest is not None and not re.fullmatch(r"[0-9a-f]{32}", digest):
            raise UsageError(
                f"--expect-digest: found {quote(digest)}, expected 32 hexadecimal digits"
            )
        if digest is not None and seeds > 1:
            raise UsageError(
                "--expect-digest and --seeds: give one of them; a digest is of one run"
            )
        names = ("results", "address", "as_json", "quiet")
        given = {name: flags[name] for name in names}
        live = bool(flags.get("live"))
        if live and (given["quiet"] or given["as_json"]):
            other = "--quiet" if given["quiet"] else "--json"
            raise UsageError(f"--live: found {other} beside it, expected one of the two")
        return cls(time_limit=seconds, expect_digest=digest, seeds=seeds, live=live, **given)

    @property
    def silent(self) -> bool:
        """No word of progress."""
        return self.quiet or self.as_json


def seconds_of(limit: str | None, flag: str = "--time-limit") -> float | None:
    """Of a flag that is a duration."""
    try:
        return parse_duration(limit) / NS if limit is not None else None
    except ValueError as error:
        raise UsageError(f"{flag}: {error}") from None


@dataclass
class Session:
    """A command that simulates. `folder` is where its results go, and names the run in the metrics."""

    settings: Settings
    folder: Path
    stop: Stop
    exporter: "Exporter | None"

    def run(
        self, job: simulate.Job, folder: Path, label: str = "", saved: "Saved | None" = None
    ) -> Summary:
        """One run: simulate, conclude, write to its folder. `label` tells it from the command's other runs.

        Until it is over the folder has what `gmemsim resume` needs.
        """
        scenario, run_id = job.plan.scenario, results.run_id_of(self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        results.write_scenario(folder, scenario)
        checkpoint = folder / CHECKPOINT
        with self.shown(job, label) as bar:
            history = History()
            history.add(time.time(), at_start(scenario, run_id))
            watch = Watch(scenario, self.stop, bar, self.exporter, run_id, history)
            halted: simulate.HaltedError | None = None
            try:
                outcome = simulate.run(job, watch, self.settings.address, checkpoint, saved)
            except simulate.HaltedError as error:
                halted, outcome = error, error.outcome
            except LostError as error:
                raise LostError(f"{error}{kept_trace(folder, error)}") from error
        why = str(halted or self.stop.why)
        summary = summarise(scenario, outcome, job.logs, why, self.settings.expect_digest)
        final = readings(
            scenario,
            outcome.watched,
            outcome.totals,
            run_id,
            census=outcome.census,
            finished=outcome.finished,
        )
        if self.exporter:
            self.exporter.readings = final
        history.add(time.time(), final)
        labels = labels_of(scenario, run_id) | results.SCRAPED
        results.write_history(folder, openmetrics(history.snapshots, labels))
        results.write(folder, scenario, summary, outcome, exposition(final))
        if halted:
            results.point_latest(self.folder)
            raise LostError(f"{halted}; what is known is in {folder}{kept_trace(folder, halted)}")
        if outcome.finished:
            checkpoint.unlink(missing_ok=True)
        if label and not self.settings.silent:
            print(f"{label}: {in_short(summary)}", file=sys.stderr, flush=True)
        return summary

    def shown(self, job: simulate.Job, label: str) -> Progress | Live:
        """Who tells of a run while it goes."""
        if self.settings.live and sys.stderr.isatty():
            return Live(job.plan, label=label)
        return Progress(job.plan, quiet=self.settings.silent, label=label)

    def seeds(self, job: simulate.Job, folder: Path, label: str = "") -> list[Summary]:
        """The scenario under each of the seeds, until it is to end; further ones have folders within the first's."""
        scenario, found = job.plan.scenario, list[Summary]()
        wanted = self.settings.seeds
        for seed in seeds_of(scenario, wanted):
            if found and self.stop.asked():
                break
            here = folder / f"seed-{seed}" if found else folder
            place = f"seed {seed} (run {len(found) + 1} of {wanted})" if wanted > 1 else ""
            one = simulate.again(job, with_seed(scenario, seed))
            found.append(self.run(one, here, ", ".join(filter(None, (label, place)))))
        return found


def kept_trace(folder: Path, lost: LostError) -> str:
    """Of a bug: its traceback, for whom it is reported to."""
    if not lost.trace:
        return ""
    write_text(folder / TRACEBACK, lost.trace)
    return f"; the traceback is in {folder / TRACEBACK}"


def in_short(summary: Summary) -> str:
    """A finished run in one line."""
    c = summary["conversions"]
    return (
        f"{summary['verdict']}, {number(c['completed'])} completed, {number(c['failed'])} failed, "
        f"{duration(summary['engine']['wall_seconds'])}"
    )


def seeds_of(scenario: Scenario, count: int) -> Sequence[int]:
    """The scenario's own seed and those after it."""
    first = scenario.scenario.seed
    if first + count - 1 > INT_MAX:
        raise UsageError(f"--seeds: found {count}, beyond the largest seed from {first} on")
    return range(first, first + count)


def with_seed(scenario: Scenario, seed: int) -> Scenario:
    """The same under another seed."""
    general = msgspec.structs.replace(scenario.scenario, seed=seed)
    return msgspec.structs.replace(scenario, scenario=general)


def labels_of(scenario: Scenario, run_id: str) -> dict[str, str]:
    """What tells one run from another in Prometheus."""
    about = scenario.scenario
    return {"run_id": run_id, "scenario": about.name, "seed": str(about.seed)}


@contextmanager
def session(scenario: Scenario, settings: Settings, folder: Path) -> Iterator[Session]:
    """Everything that is up while the runs go, and the metrics while the results are told."""
    if settings.live and not sys.stderr.isatty():
        print(
            "--live: standard error is no terminal; a line every five seconds instead",
            file=sys.stderr,
            flush=True,
        )
    with serving(scenario, settings, results.run_id_of(folder)) as exporter:
        yield Session(settings, folder, Stop(settings.time_limit), exporter)


@contextmanager
def running(found: Session, scenario: Scenario, several: bool) -> Iterator[None]:
    """While it simulates: signals end it in order, and Ray is started once, whether for one run or for several."""
    with found.stop.signals():
        if scenario.engine.executor == "local":
            yield
        else:
            with _ray(scenario, found.settings.address, several):
                yield


@contextmanager
def _ray(scenario: Scenario, address: str | None, several: bool) -> Iterator[None]:
    """A Ray that cannot be reached is the user's to mend. A single run starts its own, and counts that as its time."""
    from cluster import ray_partitions

    try:
        with ray_partitions.cluster(address, partitions_of(scenario)) if several else nullcontext():
            yield
    except ray_partitions.RayUnavailableError as error:
        raise UsageError(str(error)) from None


@contextmanager
def serving(scenario: Scenario, settings: Settings, run_id: str) -> Iterator["Exporter | None"]:
    """The Prometheus endpoint, when the scenario or a flag asks for one; it shows the run that is under way."""
    if scenario.metrics.port < 0:
        yield None
        return
    from cluster.exporter import Exporter, PortError
    from dashboards.monitor import announced

    try:
        exporter = Exporter(scenario.metrics.port, readings=at_start(scenario, run_id))
    except PortError as error:
        raise UsageError(str(error)) from None
    if not settings.quiet:
        print(f"metrics at {exporter.url}", file=sys.stderr, flush=True)
    try:
        with announced(Path(settings.results), exporter.url, labels_of(scenario, run_id)):
            yield exporter
    finally:
        exporter.close()
