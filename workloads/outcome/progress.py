"""How far a run has come: a bar on a terminal, one plain line per interval elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self, TextIO

from rich.console import Console, RenderableType
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from cluster.drive import Totals
from cluster.openmetrics import INTERVAL_SECONDS
from workloads.outcome.figures import behind, duration, number, rate
from workloads.plan import Plan
from workloads.scenario import Trace

LINE_SECONDS = 5.0
NS = 1_000_000_000
VMS_COUNTED = 100_000  # beyond, the sum over VMs takes longer than it is worth


class Standing(NamedTuple):
    """What has been answered, and what is being worked on or waits for that (`backlog`, None where nobody knows).

    `on_top` was requested beyond what the load asks for (workloads.outcome.shape.Conversions).
    """

    done: int
    failed: int
    in_flight: int
    on_top: int
    backlog: int | None


def standing(words: Iterable[Mapping[str, Any]]) -> Standing:
    """Of the watchers' words so far."""
    done = failed = in_flight = on_top = 0
    backlog: int | None = 0
    for word in words:
        behind = word["backlog"]
        backlog = None if behind is None or backlog is None else backlog + behind
        for name, *labels, count in word["meter"]["counters"]:
            if name == "conversions":
                done += count
                failed += count if labels[-1] == "failed" else 0
            on_top += count if name == "on_top" else 0
        in_flight += sum(timeline[1] for timeline in word["meter"]["timelines"])
    return Standing(done, failed, in_flight, on_top, backlog)


def total_of(plan: Plan) -> int | None:
    """How many conversions the load asks for at most, if scenario or logs say so."""
    limit = plan.scenario.scenario.conversions or None
    traces = all(isinstance(load, Trace) for load in plan.scenario.workload)
    if not traces or plan.vms > VMS_COUNTED:
        return limit
    logs = [plan.log_of(number) for number in range(plan.vms)]
    recorded = sum(log.conversions for log in logs if log)
    return min(recorded, limit) if limit else recorded


class Bar(RichProgress):
    """The figures above the bar: in one line they would not fit into 80 columns."""

    line = "starting"

    def get_renderables(self) -> Iterator[RenderableType]:
        """See rich."""
        yield Text(self.line, no_wrap=True, overflow="ellipsis")
        yield from super().get_renderables()


class WithBar:
    """Whoever shows a bar takes it away in the end."""

    bar: RichProgress | None = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar:
            self.bar.stop()


class Progress(WithBar):
    """Told now and then how the run stands; says so unless `quiet`."""

    def __init__(
        self,
        plan: Plan,
        quiet: bool = False,
        interval: float = LINE_SECONDS,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.perf_counter,
        label: str = "",
    ) -> None:
        self.label = f"{label}: " if label else ""
        self.total = total_of(plan)
        self.duration = plan.scenario.scenario.duration
        self.quiet = quiet
        self.interval = interval
        self.stream = stream or sys.stderr
        self.clock = clock
        self.began = self.told = clock()
        self.bar: Bar | None = None

    def __enter__(self) -> Self:
        self.began = self.told = self.clock()
        if not self.quiet and self.stream.isatty():
            self.bar = Bar(
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("ETA"),
                TimeRemainingColumn(compact=True),
                console=Console(file=self.stream, highlight=False),
                transient=True,
            )
            self.bar.start()
            self.bar.add_task("", total=1.0)
        return self

    @property
    def tell_every(self) -> float:
        """Wall seconds between two words: a bar should move; scrapes and lines are not more often than the other."""
        return 0.5 if self.bar else INTERVAL_SECONDS

    def update(self, totals: Totals, words: Sequence[Mapping[str, Any]]) -> None:
        """The latest word of every partition that has spoken."""
        if self.quiet or not words:
            return
        now = self.clock()
        if self.bar:
            stands = standing(words)
            self.bar.line = self.line(totals, stands, now)
            self.bar.update(self.bar.tasks[0].id, completed=self.share(totals, stands))
        elif now - self.told >= self.interval:
            self.told = now
            stands = standing(words)
            rest = self.remaining(self.share(totals, stands), now)
            print(self.line(totals, stands, now) + rest, file=self.stream, flush=True)

    def line(self, totals: Totals, stands: Standing, now: float) -> str:
        """Everything but the end in sight."""
        # Dead VMs, failed MapGPAs and the run's duration may leave some of them out.
        most = "" if self.total is None else f" of at most {number(self.total + stands.on_top)}"
        spent = now - self.began
        speed = rate(stands.done / spent) if spent > 0 else "-"
        return (
            f"{self.label}{number(stands.done)}{most} conversions, {speed}/s, "
            f"{duration(totals.now / NS)} simulated, {number(stands.in_flight)} in flight, "
            f"{number(stands.failed)} failed{behind(totals.behind)}"
            f"{self.draining(totals, stands)}"
        )

    def draining(self, totals: Totals, stands: Standing) -> str:
        """What is left once no host may ask for more."""
        if not self.over(totals):
            return ""
        rest = to_drain(stands)
        if rest == 0:
            return ""
        left = "" if rest is None else f" {number(rest)}"
        return f"; none asked for since {duration(self.duration / NS)}: draining{left}"

    def over(self, totals: Totals) -> bool:
        """Has the load come to scenario.duration on every host?"""
        return totals.earliest >= self.duration

    def share(self, totals: Totals, stands: Standing) -> float | None:
        """0 to 1: whichever limit is nearer, since the first one reached ends the load; then by what is left of it."""
        if self.over(totals):
            rest = to_drain(stands)
            return None if rest is None else stands.done / max(stands.done + rest, 1)
        counted = stands.done / self.total if self.total else 0.0
        return min(1.0, max(counted, totals.earliest / self.duration))

    def remaining(self, share: float | None, now: float) -> str:
        """An estimate, once there is something to estimate from."""
        if share is None or share <= 0.01:
            return ""
        return f", about {duration((now - self.began) * (1 / share - 1))} left"


def to_drain(stands: Standing) -> int | None:
    """Requests that are taken on or wait for it, where both are known."""
    return None if stands.backlog is None else stands.in_flight + stands.backlog
