"""The results folder of a run: results/NAME/TIME-SEED, made before the run and filled after it."""

import contextlib
import datetime
import gzip
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workloads.errors import UsageError
from workloads.outcome import files, report, sweep_metrics, sweep_table, timelines, trace_events
from workloads.outcome.again import replay
from workloads.outcome.read import read_summary
from workloads.outcome.settings import of_scenario
from workloads.outcome.tally import tally
from workloads.scenario import Scenario, to_toml
from workloads.simulate import Outcome
from workloads.wording import printable

__all__ = [
    "SCRAPED",
    "open_folder",
    "point_latest",
    "read_summary",
    "run_id_of",
    "write",
    "write_comparison",
    "write_history",
    "write_scenario",
    "write_summary",
    "write_sweep",
]

STAMP = "%Y%m%dT%H%M%SZ"  # when a run began, in the name of its folder
TRIES = 1000
SCRAPED = {"job": "gmemsim", "instance": "results"}  # where metrics that nobody scraped come from


def open_folder(base: str | Path, name: str, seed: int) -> Path:
    """A new, empty folder for one run; a UsageError before anything is simulated, if it must be."""
    now = datetime.datetime.now(datetime.UTC).strftime(STAMP)
    parent = Path(base) / name
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = _new_folder(parent, f"{now}-{seed}")
        # A full disk or a quota makes folders, and then holds nothing.
        probe = folder / ".probe"
        probe.write_text("x")
        probe.unlink()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(
            f"--results: {printable(str(parent))}: cannot be written there: {why}; "
            "expected a writable folder"
        ) from None
    return folder


def run_id_of(folder: Path) -> str:
    """What metrics call the run: NAME/TIME-SEED, for runs of two scenarios can begin in one second."""
    whole = folder.resolve()
    return f"{whole.parent.name}/{whole.name}"


def _new_folder(parent: Path, name: str) -> Path:
    """Two runs can begin in the same second."""
    for number in range(1, TRIES):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(0, f"{TRIES} folders for this second exist")


def write(
    folder: Path, scenario: Scenario, summary: dict[str, Any], outcome: Outcome, metrics: str
) -> None:
    """Every file; the report last, since it is made from the others. A counterexample's replay is told from here on."""
    protocol, settings = scenario.protocol.name, of_scenario(scenario)
    seen = tally(outcome.watched, protocol, outcome.finished, settings)
    again = {"replay": replay(scenario, folder)} if seen.findings else {}
    if "counterexample" in summary:
        summary["counterexample"] |= again
    texts = {
        files.SCENARIO: to_toml(scenario),
        files.LATENCY: files.latency_text(seen),
        files.TIMELINE: files.timeline_text(seen),
        files.ANOMALIES: files.jsonl_text({**line, **again} for line in seen.findings),
        files.METRICS: metrics,
        files.STORIES: trace_events.text_of(
            timelines.stories(outcome.watched, seen, outcome.finished)
        ),
        files.SUMMARY: files.json_text(summary),
    }
    for name, timeline in timelines.recorded(outcome.watched, seen):
        texts[name] = trace_events.text_of([timeline])
    for name, text in texts.items():
        files.write_text(folder / name, text)
    report.rebuild(folder)


def write_history(folder: Path, lines: Iterable[str]) -> None:
    """The metrics, which `gmemsim report --openmetrics` prints."""
    text = "".join(f"{line}\n" for line in lines)
    files.write_bytes(folder / files.HISTORY, gzip.compress(text.encode()))


def write_scenario(folder: Path, scenario: Scenario) -> None:
    """Before anything has come of it."""
    files.write_text(folder / files.SCENARIO, to_toml(scenario))


def write_summary(folder: Path, summary: dict[str, Any]) -> None:
    """The summary anew, and the report with it."""
    files.write_text(folder / files.SUMMARY, files.json_text(summary))
    report.rebuild(folder)


def write_comparison(folder: Path, scenario: Scenario, found: dict[str, Any]) -> None:
    """A comparison's own files; the runs have written theirs."""
    files.write_text(folder / files.SCENARIO, to_toml(scenario))
    files.write_text(folder / files.COMPARISON, files.json_text(found))
    report.rebuild(folder)


def write_sweep(folder: Path, experiment: str, found: dict[str, Any]) -> None:
    """A sweep's files: the experiment's own text, its points, what they came to."""
    files.write_text(folder / files.EXPERIMENT, experiment)
    files.write_text(folder / files.POINTS_CSV, sweep_table.csv_text(found))
    files.write_text(folder / files.POINTS, files.json_text(found))
    labels = {"run_id": run_id_of(folder)} | SCRAPED
    write_history(folder, sweep_metrics.openmetrics(found, time.time(), labels))
    report.rebuild(folder)


def point_latest(folder: Path) -> None:
    """`latest` beside the folder leads to it; where links cannot be made, a file holds its name."""
    latest = folder.parent / files.LATEST
    draft = folder.parent / f".{files.LATEST}-{folder.name}.tmp"
    # A convenience: what a user put in its place stays, and the results are on disk.
    with contextlib.suppress(OSError):
        try:
            draft.symlink_to(folder.name, target_is_directory=True)
        except OSError:
            draft.write_text(f"{folder.name}\n", encoding="utf-8")
        try:
            os.replace(draft, latest)
        finally:
            draft.unlink(missing_ok=True)
