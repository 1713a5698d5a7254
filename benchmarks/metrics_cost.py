"""What it costs to be watched, in processor time: metrics that are scraped each second, and the view of --live.

Off is the same run with a listener that wants nothing; what the results have of metrics over time is a side of its
own, and part of those below it. What actors report is counted in any case, for the summary,
and so is what puts values into buckets and tells it all at the end. The share is what was metered: the words of
partitions on the way, what becomes of them, and the exporter's threads.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

from benchmarks import common
from cluster.drive import Listener, Totals, Unwatched
from cluster.exporter import Exporter
from cluster.openmetrics import History
from cluster.partition import Partition
from workloads import simulate
from workloads.outcome.live import Live
from workloads.outcome.progress import Progress
from workloads.outcome.readings import at_start
from workloads.scenario import Scenario, load
from workloads.watch import Stop, Watch

SCRAPER = """
import sys, time, urllib.request
ask = urllib.request.Request(sys.argv[1], headers={
    "Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
    "Accept-Encoding": "gzip",
})
while True:
    urllib.request.urlopen(ask, timeout=5).read()
    time.sleep(1)
"""  # a process of its own, which asks as Prometheus does


class Terminal:
    """Takes what is drawn, and throws it away."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


@contextmanager
def off(_: simulate.Job) -> Iterator[Listener]:
    yield Unwatched()


@contextmanager
def unwatched(job: simulate.Job) -> Iterator[Listener]:
    progress = Progress(job.plan, quiet=True)
    yield Watch(job.plan.scenario, Stop(None), progress, None, "run", History())


@contextmanager
def metrics(job: simulate.Job) -> Iterator[Listener]:
    found = job.plan.scenario
    with Exporter(readings=at_start(found, "run")) as exporter:
        scraper = subprocess.Popen([sys.executable, "-c", SCRAPER, exporter.url])
        try:
            progress = Progress(job.plan, quiet=True)
            yield Watch(found, Stop(None), progress, exporter, "run", History())
        finally:
            scraper.terminate()
            scraper.wait()


@contextmanager
def live(job: simulate.Job) -> Iterator[Listener]:
    with Live(job.plan, stream=Terminal()) as view:  # type: ignore[arg-type]
        yield Watch(job.plan.scenario, Stop(None), view, None, "run", History())


SIDES = {
    "off": off,
    "for the results": unwatched,
    "metrics, scraped each second": metrics,
    "--live": live,
}


SO_FAR = Partition.so_far


class Metered:
    """Hands on what a listener is told, with a clock on it."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.spent = 0.0

    @property
    def tell_every(self) -> float:
        """See cluster.drive.Listener."""
        return self.listener.tell_every

    def progress(self, totals: Totals, watched: Sequence[bytes]) -> None:
        began = time.thread_time()
        self.listener.progress(totals, watched)
        self.spent += time.thread_time() - began

    def should_stop(self) -> bool:
        return self.listener.should_stop()

    def so_far(self, partition: Partition) -> bytes:
        """A partition's word, on the same clock."""
        for histogram in partition.world.watchers["meter"].histograms.values():  # type: ignore[attr-defined]
            histogram.settle()
        began = time.thread_time()
        found = SO_FAR(partition)
        self.spent += time.thread_time() - began
        return found


def seconds(wanted: Scenario, side: Callable[..., Any], shares: list[float]) -> float:
    """Processor time of this process for one run; adds the share of it that went into being watched."""
    job = simulate.prepare(wanted)
    with side(job) as listener:
        metered = Metered(listener)

        def so_far(partition: Partition) -> bytes:
            return metered.so_far(partition)

        with mock.patch.object(Partition, "so_far", so_far):
            process, thread = time.process_time(), time.thread_time()
            simulate.run(job, metered)
            process, thread = time.process_time() - process, time.thread_time() - thread
    shares.append((metered.spent + process - thread) / process)  # what others do is the exporter's
    return process


def main() -> None:
    parser = common.flags(__doc__)
    parser.add_argument("--conversions", type=int, default=6_000, help="of quickstart")
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    wanted = load("quickstart", [f"scenario.conversions={options.conversions}"])
    shares: dict[str, list[float]] = {name: [] for name in SIDES}
    sides = {name: partial(seconds, wanted, side, shares[name]) for name, side in SIDES.items()}
    found = common.interleaved(sides, options.rounds)
    rows = [row(name, found[name], found["off"], shares[name]) for name in SIDES]
    common.publish({"sides": rows, "seconds": found, "shares": shares}, rows, options.json)


def row(name: str, taken: list[float], base: list[float], shares: list[float]) -> dict[str, Any]:
    """One side: the share that was metered, and by how much it is slower, within a round."""
    return {
        "side": name,
        "seconds": common.spread(taken)[0],
        "share, %": middle_and_quartiles(shares),
        "more than off, %": middle_and_quartiles(
            [a / b - 1 for a, b in zip(taken, base, strict=True)]
        ),
        "by the least, %": 100 * (min(taken) / min(base) - 1),
    }


def middle_and_quartiles(parts: list[float]) -> str:
    """In percent."""
    low, middle, high = (100 * n for n in statistics.quantiles(parts, method="inclusive"))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
