"""What metrics cost: processor time of equal runs that nobody watches, that keep a history, and that are scraped.

A difference of a percent is less than what equal runs differ by, so the metrics' own time is taken too: that of the
driver's words, which become values twice a second, and of the threads that answer scrapes.
"""

import gc
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from statistics import median
from typing import Any

from benchmarks import common
from benchmarks.drive import Quiet
from cluster.drive import Totals
from cluster.exporter import Exporter
from cluster.openmetrics import History
from workloads import simulate
from workloads.outcome.progress import Progress
from workloads.watch import Stop, Watch

NOBODY, OFF, ON = "nobody watches", "metrics off", "metrics on, scraped"
RUN_ID = "benchmark"
# As Prometheus asks, each second (dashboards/prometheus/prometheus.yml), from a process of its own.
SCRAPER = """
import sys, time, urllib.request
while True:
    wanted = urllib.request.Request(sys.argv[1], headers={"Accept-Encoding": "gzip"})
    urllib.request.urlopen(wanted, timeout=10).read()
    print("scraped", flush=True)
    time.sleep(1)
"""


class Counted(Watch):
    """As every run of gmemsim has it, with the time that it takes."""

    seconds = 0.0

    def progress(self, totals: Totals, watched: Sequence[bytes]) -> None:
        began = time.thread_time()
        super().progress(totals, watched)
        self.seconds += time.thread_time() - began


class Cost:
    """The job, with each run's share of metrics in its processor time, by side."""

    def __init__(self, job: simulate.Job) -> None:
        self.job = job
        self.digests: set[str] = set()
        self.shares: dict[str, list[float]] = {NOBODY: [], OFF: [], ON: []}

    def unwatched(self) -> float:
        """Seconds of processor time of a run that only simulates."""
        return self.spent(NOBODY, None)

    def watched(self, served: bool) -> float:
        """The same of one with the listener that it has as a command."""
        with Exporter() if served else nullcontext() as exporter:
            quiet = Progress(self.job.plan, quiet=True)
            scenario = self.job.plan.scenario
            watch = Counted(scenario, Stop(None), quiet, exporter, RUN_ID, History())
            with scraped(exporter) if exporter else nullcontext():
                return self.spent(ON if served else OFF, watch)

    def spent(self, side: str, watch: Counted | None) -> float:
        gc.collect()
        began, own = time.process_time(), time.thread_time()
        outcome = simulate.run(self.job, watch or Quiet())
        taken, own = time.process_time() - began, time.thread_time() - own
        self.digests.add(outcome.digest)
        self.shares[side].append((taken - own + watch.seconds if watch else 0.0) / taken)
        return taken


@contextmanager
def scraped(exporter: Exporter) -> Iterator[None]:
    """By another process, from its first answer on."""
    command = [sys.executable, "-c", SCRAPER, exporter.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as scraper:
        assert scraper.stdout is not None
        scraper.stdout.readline()
        try:
            yield
        finally:
            assert scraper.poll() is None, "it was not scraped to its end"
            scraper.terminate()


def row(side: str, seconds: Sequence[float], alone: Sequence[float], cost: Cost) -> dict[str, Any]:
    """One side's figures; ratios are taken round by round, their interval is the median's."""
    ratios = [a / b - 1 for a, b in zip(seconds, alone, strict=True)]
    low, high = common.median_interval(ratios)
    return {
        "side": side,
        "CPU s": median(seconds),
        "more, %": 100 * median(ratios),
        "from": 100 * low,
        "to": 100 * high,
        "metrics' own, %": 100 * median(cost.shares[side]),
        "most": 100 * max(cost.shares[side]),
    }


def main() -> None:
    parser = common.flags(__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="at least 6")
    parser.add_argument("--hosts", type=int, default=16)
    parser.add_argument("--conversions", type=int, default=8_000, help="of the fleet")
    options = parser.parse_args()
    size = f"fleet.hosts={options.hosts}", f"scenario.conversions={options.conversions}"
    cost = Cost(simulate.prepare(common.scenario("fleet.vms_per_host=8", *size)))
    sides: dict[str, Callable[[], float]] = {
        NOBODY: cost.unwatched,
        OFF: partial(cost.watched, False),
        ON: partial(cost.watched, True),
    }
    seconds = common.interleaved(sides, options.rounds)
    assert len(cost.digests) == 1, f"metrics change the run: {cost.digests}"
    rows = [row(side, taken, seconds[NOBODY], cost) for side, taken in seconds.items()]
    result = {"rounds": options.rounds, "seconds": seconds, "shares": cost.shares, "rows": rows}
    common.publish(result, rows, options.json)


if __name__ == "__main__":
    main()
