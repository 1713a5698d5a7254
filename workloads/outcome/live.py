"""`gmemsim run --live`: a small view of the run in the terminal, drawn anew with each word of it, twice a second."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TextIO

from rich.console import Console, Group
from rich.live import Live as Screen
from rich.table import Table
from rich.text import Text

from cluster.drive import Totals
from cluster.histogram import Histogram
from workloads.outcome.figures import behind, duration, number, rate
from workloads.outcome.host_groups import host_groups
from workloads.outcome.progress import NS, standing, total_of
from workloads.plan import Plan

BAR_WIDTH = 30  # columns of the fullest one, where the terminal has room
GAP = 2  # columns between two of them
Words = Sequence[Mapping[str, Any]]


class Live:
    """Told now and then how the run stands, as workloads.outcome.progress.Progress; needs a terminal."""

    tell_every = 0.5  # wall seconds

    def __init__(
        self,
        plan: Plan,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.perf_counter,
        label: str = "",
    ) -> None:
        scenario = plan.scenario
        self.title = f"{label or scenario.protocol.name}: {scenario.scenario.name}"
        self.total = total_of(plan)
        self.hosts = scenario.fleet.hosts
        console = Console(file=stream or sys.stderr, highlight=False, markup=False, emoji=False)
        self.screen = Screen(console=console, auto_refresh=False, transient=True)
        self.clock = clock
        self.began = clock()

    def __enter__(self) -> Self:
        self.began = self.clock()
        self.screen.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.screen.stop()

    def update(self, totals: Totals, words: Words) -> None:
        """The latest word of every partition that has spoken."""
        if words:
            figures, bars = Table.grid(padding=(0, GAP)), Table.grid(padding=(0, GAP))
            for name, text in self.figures(totals, words):
                figures.add_row(Text(name), Text(text))
            for label, bar, text in self.bars(words):
                bars.add_row(Text(label), Text(bar), Text(text))
            self.screen.update(Group(Text(self.title, "bold"), figures, bars), refresh=True)

    def figures(self, totals: Totals, words: Words) -> Iterator[tuple[str, str]]:
        """(name, text) of each line. Speeds and percentiles are those of the run so far.

        Between two words a partition may pass no simulated time to speak of, and answer all the same.
        """
        stands = standing(words)
        wall = self.clock() - self.began
        of = f" of {number(self.total)}" if self.total is not None else ""
        yield (
            "conversions",
            f"{number(stands.done)}{of}, {number(stands.failed)} failed for good, "
            f"{duration(totals.now / NS)} simulated{behind(totals.behind)}",
        )
        yield (
            "throughput",
            f"{speed(stands.done, wall)}/s, {speed(stands.done, totals.now / NS)}/s of simulated time",
        )
        yield "latency", ", ".join(f"{name} {text}" for name, text in percentiles(words).items())
        yield "in flight", number(stands.in_flight)
        failed = ", ".join(f"{name} {number(n)}" for name, n in reasons(words).most_common())
        yield "failures", failed or "none"

    def bars(self, words: Words) -> Iterator[tuple[str, str, str]]:
        """Host or hosts, what is in flight there as a bar, figures."""
        groups = host_groups(words, self.hosts)
        most = max(group.in_flight for group in groups.values())
        rows = [
            (
                f"host{'s' if '-' in label else ''} {label}",
                group.in_flight,
                f"{number(group.in_flight)} in flight, {number(group.answered)} answered, "
                f"{number(group.failed)} failed",
            )
            for label, group in groups.items()
        ]
        # A bar that the terminal cuts would look as long as the next one.
        beside = max(len(label) + len(text) for label, _, text in rows) + 2 * GAP
        room = max(1, min(BAR_WIDTH, self.screen.console.width - beside))
        for label, in_flight, text in rows:
            width = -(-room * in_flight // most) if most else 0
            yield label, "\u2588" * width, text


def speed(count: int, seconds: float) -> str:
    """Where nothing happened, or no time passed, there is no figure to round."""
    return rate(count / seconds) if count and seconds else "0"


def percentiles(words: Words) -> dict[str, str]:
    """p50 and p99 of all that was answered."""
    latency = Histogram.joined(
        packed
        for word in words
        for family, *_, packed in word["meter"]["histograms"]
        if family == "conversion_latency"
    )
    shares = {"p50": 0.5, "p99": 0.99}
    return {
        name: duration(latency.quantile(share) / NS) if latency.count else "-"
        for name, share in shares.items()
    }


def reasons(words: Words) -> Counter[str]:
    """Failed attempts by reason."""
    found: Counter[str] = Counter()
    for word in words:
        for family, *labels, count in word["meter"]["counters"]:
            if family == "failures":
                found[labels[-1]] += count
    return found
