"""How far a sweep has come: a bar on a terminal, one plain line per interval elsewhere."""

import sys
import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cluster.openmetrics import INTERVAL_SECONDS
from workloads.experiment.drive import Counts
from workloads.outcome.figures import duration, number
from workloads.outcome.progress import WithBar


class Told(WithBar):
    """Told how the sweep stands; says so unless `quiet`. A search does not know how many points it will want."""

    def __init__(self, name: str, quiet: bool, searches: bool) -> None:
        self.name = name
        self.searches = searches
        self.quiet = quiet
        self.began = self.told = time.perf_counter()

    def __enter__(self) -> Self:
        if not self.quiet and sys.stderr.isatty():
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("runs"),
                TimeElapsedColumn(),
                console=Console(file=sys.stderr, highlight=False),
                transient=True,
            )
            self.bar.start()
            self.bar.add_task(self.name, total=1)
        return self

    def __call__(self, counts: Counts) -> None:
        """The latest."""
        now = time.perf_counter()
        if self.bar:
            self.bar.update(self.bar.tasks[0].id, completed=counts.runs_done, total=counts.runs)
        elif not self.quiet and now - self.told >= INTERVAL_SECONDS:
            self.told = now
            print(f"{self.name}: {self.line(counts, now)}", file=sys.stderr, flush=True)

    def line(self, counts: Counts, now: float) -> str:
        """In words; what was there before took no time, and says nothing of what is left."""
        run, left = counts.runs_done - counts.runs_reused, counts.runs - counts.runs_done
        known = run and left and not self.searches
        rest = f", about {duration((now - self.began) / run * left)} left" if known else ""
        return (
            f"{number(counts.runs_done)} of {number(counts.runs)} runs, "
            f"{number(counts.runs_reused)} from before, {number(counts.done)} points done{rest}"
        )
