"""Prometheus itself reads what the exporter serves."""

import math
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.drive import Totals
from cluster.exporter import Exporter
from cluster.exposition import exposition
from cluster.metrics import Readings
from dashboards.monitor import announced, prometheus
from tests.runs import Silent
from tests.servers import asked, free_port
from workloads import scenario, simulate
from workloads.outcome.readings import at_start, readings

pytestmark = [
    pytest.mark.prometheus,
    pytest.mark.skipif(
        not (shutil.which("prometheus") and shutil.which("promtool")),
        reason="needs prometheus (Debian package prometheus)",
    ),
]

P99 = "histogram_quantile(0.99, sum by (le) (rate(gmemsim_conversion_latency_seconds_bucket[1m])))"
SCRAPED = 'count(gmemsim_conversions_total{job="gmemsim"})'
TOTAL = "sum(gmemsim_conversions_total)"
# Refusals, none of which ends a VM: every conversion that is asked for is answered.
FAULTS = (
    'fault=[{point="pins.transient",probability=0.05},{point="kvm.split_memory",probability=0.05}]'
)
PATIENCE = 30.0  # seconds, for a machine with much else to do


class Shown(Silent):
    """Shows every word of the run at an exporter."""

    def __init__(self, found: scenario.Scenario, exporter: Exporter) -> None:
        super().__init__()
        self.scenario, self.exporter = found, exporter

    def progress(self, totals: Totals, watched: Sequence[bytes]) -> None:
        """See cluster.drive.Listener."""
        words = [simulate.unpack(word) for word in watched if word]
        self.exporter.readings = readings(self.scenario, words, totals, "run")


def decode(conversions: int) -> scenario.Scenario:
    limits = [f"scenario.conversions={conversions}", "fleet.hosts=2", "fleet.vms_per_host=4"]
    return scenario.decode("", "storm.toml", [*limits, FAULTS])


def ended(found: scenario.Scenario, outcome: simulate.Outcome) -> Readings:
    return readings(found, outcome.watched, outcome.totals, "run", census=outcome.census)


@contextmanager
def watched(folder: Path, exporter: Exporter) -> Iterator[Callable[[str], list[float]]]:
    """A Prometheus that scrapes it every second; yields a function that queries it for values."""
    labels = {"run_id": "run", "scenario": "storm"}
    with announced(folder, exporter.url, labels), prometheus(folder, free_port()) as url:
        yield lambda query: [float(sample["value"][1]) for sample in asked(url, query)]


def wait_for(what: Callable[[], list[float]], wanted: Callable[[float], bool]) -> float:
    """The value, as soon as it is as wanted."""
    deadline = time.monotonic() + PATIENCE
    values = what()
    while not (values and wanted(values[0])):
        assert time.monotonic() < deadline, f"still {values} after {PATIENCE} s"
        time.sleep(0.1)
        values = what()
    return values[0]


def test_promtool_finds_nothing_to_say_about_a_real_run():
    found = decode(400)
    outcome = simulate.run(simulate.prepare(found), Silent())
    for shown in (at_start(found, "run"), ended(found, outcome)):
        said = subprocess.run(
            ["promtool", "check", "metrics"],
            input=exposition(shown),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_a_real_prometheus_follows_a_real_run_to_its_exact_end(tmp_path):
    found = decode(4000)
    with (
        Exporter(readings=at_start(found, "run")) as exporter,
        watched(tmp_path, exporter) as ask,
    ):
        # rate() sees only what happens after a first scrape.
        wait_for(lambda: ask(SCRAPED), lambda series: series == 4)
        outcome = simulate.run(simulate.prepare(found), Shown(found, exporter))
        exporter.readings = final = ended(found, outcome)
        expected = sum(final.values["gmemsim_conversions_total"].values())
        assert expected == 4000
        wait_for(lambda: ask(TOTAL), lambda value: value == expected)
        p99 = wait_for(lambda: ask(P99), math.isfinite)
        assert 1e-6 < p99 < 500
        assert ask("scrape_samples_scraped") == [len(lines(final))]


def lines(shown: Readings) -> list[str]:
    """One for each series."""
    return [line for line in exposition(shown).splitlines() if not line.startswith("#")]
