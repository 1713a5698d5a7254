"""A run as a user sees it: folder, exporter, progress, verdict, files, table, exit status."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from workloads import simulate
from workloads.errors import UsageError
from workloads.outcome import folder as results
from workloads.outcome.seeds import ANECDOTE, seeds_record, spread
from workloads.outcome.summary import exit_status
from workloads.outcome.terminal import show
from workloads.reader import tell
from workloads.scenario import Scenario
from workloads.session import Settings, Summary, running, session
from workloads.watch import interruptible

if TYPE_CHECKING:
    from cluster.keeping import Saved

__all__ = ["ANECDOTE", "Settings", "execute", "lingering", "results_folder"]

NS = 1_000_000_000


def execute(
    scenario: Scenario, settings: Settings, max_damaged: int | None = None, note: str = ""
) -> int:
    """Run a scenario and leave its results; returns the exit status. `note` is for who ran a single seed."""
    job = simulate.prepare(scenario, max_damaged)
    with results_folder(settings, scenario) as folder:
        return told(settings, job, folder, note)


def results_folder(settings: Settings, scenario: Scenario) -> AbstractContextManager[Path]:
    """A folder for the results of a scenario."""
    return opened(settings, scenario.scenario.name, scenario.scenario.seed)


@contextmanager
def opened(settings: Settings, name: str, seed: int) -> Iterator[Path]:
    """A folder for results; it goes again if nothing can be run for a mistake of the user's."""
    folder = results.open_folder(settings.results, name, seed)
    try:
        yield folder
    except UsageError:
        with suppress(OSError):
            folder.rmdir()
        raise


def told(
    settings: Settings,
    job: simulate.Job,
    folder: Path,
    note: str = "",
    saved: "Saved | None" = None,
) -> int:
    """Run, or go on from what was saved; conclude, write, tell."""
    scenario = job.plan.scenario
    with session(scenario, settings, folder) as found:
        with running(found, scenario, settings.seeds > 1):
            summaries = [found.run(job, folder, saved=saved)] if saved else found.seeds(job, folder)
            summary = concluded(summaries, settings.seeds)
            if "seeds" in summary:
                results.write_summary(folder, summary)
            results.point_latest(folder)
        seeds = summary.get("seeds")
        note = "\n".join(spread(seeds["count"])) if seeds else note
        tell(summary, settings.as_json, settings.quiet, lambda: show(summary, folder, note=note))
        lingering(scenario, found.exporter is not None)
    return exit_status(summary.get("seeds", summary)["verdict"])


def concluded(summaries: list[Summary], wanted: int) -> Summary:
    """The summary of the first seed, and what the others add to it."""
    first = summaries[0]
    return first if wanted == 1 else {**first, "seeds": seeds_record(summaries, wanted)}


def lingering(scenario: Scenario, served: bool) -> None:
    """Stay for a last scrape; Ctrl-C and SIGTERM end that too."""
    if served and scenario.metrics.linger:
        with suppress(KeyboardInterrupt), interruptible():
            time.sleep(scenario.metrics.linger / NS)
