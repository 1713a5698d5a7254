"""Prometheus itself reads what the exporter serves."""

import json
import math
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster.drive import Totals
from cluster.exporter import Exporter, exposition
from cluster.metrics import Readings
from tests.runs import Silent
from workloads import scenario, simulate
from workloads.outcome.readings import at_start, readings

pytestmark = [
    pytest.mark.prometheus,
    pytest.mark.skipif(
        not (shutil.which("prometheus") and shutil.which("promtool")),
        reason="needs prometheus (Debian package prometheus)",
    ),
]

CONFIG = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: gmemsim
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def prometheus(folder: Path, target: int) -> Iterator[Callable[[str], list[Any]]]:
    """A Prometheus that scrapes a local port every second; yields a function that queries it."""
    config, port = folder / "prometheus.yml", free_port()
    config.write_text(CONFIG.format(port=target))
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield lambda text: query(port, text)
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def query(port: int, text: str) -> list[Any]:
    """The values of an instant vector; none while Prometheus is not up."""
    url = f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': text})}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found = json.load(answer)
    except (urllib.error.URLError, ConnectionError):
        return []
    return [float(sample["value"][1]) for sample in found["data"]["result"]]


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
        prometheus(tmp_path, exporter.port) as ask,
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
