"""The shipped rules and configuration under promtool, and every query of every board on a real Prometheus."""

import json
import math
import re
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cluster.experiment_metrics import Point, experiment_metrics
from dashboards import experiment
from dashboards.build import BOARDS
from dashboards.monitor import HOME, SHIPPED, MonitorError, announced, prometheus
from tests.dashboards.contract import Server, serving
from tests.servers import asked, free_port

pytestmark = [
    pytest.mark.prometheus,
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        not (shutil.which("prometheus") and shutil.which("promtool")),
        reason="needs prometheus (Debian package prometheus)",
    ),
]
HERE = Path(__file__).parent
# Two protocols that ask and tell consumers in different ways, DMA whose windows move, and faults of most kinds.
LOAD = (
    'workload=[{kind="dma-storm",windows=2000,pool_hits=0.2},{kind="churn"}]',
    'fault=[{point="pins.transient",probability=0.05},{point="kvm.split_memory",probability=0.05},'
    '{point="tdx.busy",probability=0.01}]',
    "scenario.conversions=0",
    "fleet.hosts=2",
)
RUNS = (  # scenario, flags, keys
    ("quickstart", ("--protocol", "failable-notifier", "--pace", "1ms"), LOAD),
    ("quickstart", ("--protocol", "two-phase", "--pace", "1ms"), LOAD),
    ("fleet-arrivals", ("--pace", "5s"), ("scenario.duration=20h",)),
    ("evacuate", ("--pace", "3s"), ("scenario.duration=20h",)),  # the first host from second 20 on
)
VARIABLES = "run_id|job|instance|protocol|host_group|experiment|measure"
PATIENCE = 100.0  # seconds, for a machine with much else to do


def promtool(*words):
    return subprocess.run(
        ["promtool", *map(str, words)], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_shipped_configuration_and_rules_are_valid():
    found = promtool("check", "config", SHIPPED / "prometheus.yml")  # and the rules that it names
    assert found.returncode == 0, found.stdout + found.stderr


def test_every_alert_fires_on_what_it_is_about_and_on_nothing_else():
    found = promtool("test", "rules", HERE / "alerts.test.yml")
    assert found.returncode == 0, found.stdout + found.stderr
    names = re.findall(r"alert: (\w+)", (SHIPPED / "alerts.yml").read_text())
    told = (HERE / "alerts.test.yml").read_text()
    assert all(re.search(rf"alertname: {name}\n", told) for name in names), "each is made to fire"
    assert all(re.search(rf"alertname: {name}, exp_alerts: \[\]", told) for name in names)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Asks a Prometheus that watches some runs. Paced, and with no end within reach, they go on until all is there:

    Prometheus finds new targets every five seconds alone, and rate() sees only what happens after a first scrape.
    """
    folder = tmp_path_factory.mktemp("watched")
    targets = folder / HOME / "targets"
    with ExitStack() as stack:
        url = stack.enter_context(prometheus(folder, free_port()))
        runs = [stack.enter_context(going_on(folder, *about)) for about in RUNS]

        def ask(query, wanted):
            return wait_for(lambda: asked(url, query), wanted, runs)

        yield ask
    assert not list(targets.glob("*"))


@contextmanager
def going_on(folder, scenario, flags, keys):
    """A run that ends with the context."""
    words = [scenario, *flags, *(text for key in keys for text in ("--set", key))]
    words += ["--metrics-port", "0", "--quiet", "--results", str(folder)]
    command = [sys.executable, "-m", "workloads", "run", *words]
    with subprocess.Popen(command) as run:
        try:
            yield run
        finally:
            run.terminate()


def wait_for(what, wanted, runs):
    """What is as wanted, as soon as it is: how fast the machine is matters to nobody."""
    deadline = time.monotonic() + PATIENCE
    while True:
        assert all(run.poll() is None for run in runs), "a run has ended"
        found = what()
        if wanted(found) or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def finite(found):
    return [series for series in found if math.isfinite(float(series["value"][1]))]


def queries(board):
    """(panel, query, its PromQL with all chosen that can be)."""
    for row in board.rows:
        for panel in row.panels:
            for query in panel.queries:
                text = re.sub(rf"\$({VARIABLES})", ".+", query.expr)
                yield panel, query, re.sub(r"\$__(rate_interval|range)", "5m", text)


OF_RUNS = [board for board in BOARDS if board is not experiment.BOARD]


@pytest.mark.parametrize("board", OF_RUNS, ids=lambda board: board.uid)
def test_every_panel_has_data(board, watched):
    for panel, query, text in queries(board):
        found = watched(text, finite)
        # To be read with `pytest -s`.
        print(f"{board.uid}: {panel.title}: {query.legend}: {len(found)} series")
        assert finite(found), f"{panel.title}: {text}: {found}"


SEARCH = """
[experiment]
question = "How many VMs?"
prediction = "Two."
seeds = 2

[base]
"fleet.hosts" = 1
"scenario.conversions" = 60

[[axis]]
name = "pages"
values = [
    { label = "2 MiB", set = { "vm.page_order" = 9 } },
    { label = "4 KiB", set = { "vm.page_order" = 0, "vm.start" = "mapped-4k" } },
]

[search]
key = "fleet.vms_per_host"
name = "VMs"
high = 2
objective = "conversion.latency.p99 < 5s"

[[measure]]
name = "p99"
path = "conversion.latency.p99"
unit = "duration"
"""


def test_every_panel_has_a_sweep_s_points(tmp_path):
    (tmp_path / "small.toml").write_text(SEARCH)
    gmemsim(tmp_path, "sweep", tmp_path / "small.toml", "--executor", "local", "--quiet")
    latest = backfilled(tmp_path, "small")
    with prometheus(tmp_path, free_port()) as url:
        shown = {panel.title: asked(url, text) for panel, _, text in queries(experiment.BOARD)}
    found = json.loads((latest / "points.json").read_text())
    for title, end in (
        ("Mean", "mean"),
        ("Lower end of the interval", "low"),
        ("Upper end of the interval", "high"),
    ):
        assert {
            (one["metric"]["line"], one["metric"]["at"]): float(one["value"][1])
            for one in shown[title]
        } == {
            (row["place"]["pages"], str(row["place"]["VMs"])): row["values"]["p99"][end]
            for row in found["rows"]
        }
    assert len(shown["Mean"]) == 4
    assert {one["metric"]["axis"] for one in shown["Mean"]} == {"VMs"}
    assert sorted(
        (*(one["metric"][name] for name in ("line", "answer", "limiting")), one["value"][1])
        for one in shown["Most that holds"]
    ) == [(one["place"]["pages"], "at least", "none", "2") for one in found["found"]]
    assert {(one["metric"]["curve"], one["metric"]["at"]) for one in shown["Over the axis"]} == {
        (f"{row['place']['pages']}: p99", str(row["place"]["VMs"])) for row in found["rows"]
    }


def test_a_single_seed_has_no_interval():
    lines = [*experiment_metrics("e", [Point({"rate": 1}, "p99", 2.0)], [], 1.0, {})]
    assert [line for line in lines if not line.startswith("#")] == [
        'gmemsim_experiment_mean{experiment="e",measure="p99",line="",axis="rate",at="1"} 2.0 1.000'
    ]


def test_what_a_run_says_of_itself_is_what_its_target_says(watched):
    about = watched("gmemsim_run_info", lambda found: len(found) == len(RUNS))
    in_flight = watched("gmemsim_conversions_in_flight", lambda found: len(found) == len(about))
    for found in (about, in_flight):
        assert {series["metric"]["scenario"] for series in found} == {name for name, *_ in RUNS}
        assert not any(
            name.startswith("exported_") for series in found for name in series["metric"]
        )
    # Whether or not two scenarios began in one second.
    ids = [{one["metric"]["run_id"] for one in found} for found in (about, in_flight)]
    assert ids[0] == ids[1] and len(ids[0]) == len(RUNS)


def test_a_prometheus_that_does_not_start_says_why(tmp_path, monkeypatch):
    other = Server()
    other.fault = lambda method, path: (200, b"ready")  # in the place of ours
    with (
        serving(other) as url,
        pytest.raises(MonitorError, match="address already in use; choose another one"),
        prometheus(tmp_path, urlsplit(url).port or 0),
    ):
        pass
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MonitorError, match="apt-get install prometheus"), prometheus(tmp_path, 1):
        pass


def test_a_run_is_announced_while_it_is_served(tmp_path):
    labels = {"run_id": "a/R-1", "scenario": "a", "seed": "1"}
    with (
        announced(tmp_path, "http://127.0.0.1:5/metrics", labels),
        announced(tmp_path, "http://127.0.0.1:6/metrics", labels | {"run_id": "b/R-1"}),
    ):
        file, _ = sorted((tmp_path / HOME / "targets").glob("*"))
        assert json.loads(file.read_text()) == [{"targets": ["127.0.0.1:5"], "labels": labels}]
    assert not file.exists()


def gmemsim(folder, *words):
    """What it prints."""
    command = [sys.executable, "-m", "workloads", *map(str, words)]
    where = () if words[0] == "report" else ("--results", str(folder))
    return subprocess.run(
        [*command, *where], check=True, timeout=100, stdout=subprocess.PIPE
    ).stdout


def backfilled(folder, name):
    """Results, once their metrics are where a Prometheus of this folder looks."""
    latest = folder / name / "latest"
    (folder / "found.om").write_bytes(gmemsim(folder, "report", latest, "--openmetrics"))
    data = folder / HOME / "data"
    made = promtool("tsdb", "create-blocks-from", "openmetrics", folder / "found.om", data)
    assert made.returncode == 0, made.stderr
    return latest


def test_a_finished_run_can_be_filled_in(tmp_path):
    gmemsim(tmp_path, "run", "quickstart", "--set", "scenario.conversions=500", "--quiet")
    latest = backfilled(tmp_path, "quickstart")
    with prometheus(tmp_path, free_port()) as url:
        (seen,) = asked(url, "sum(last_over_time(gmemsim_conversions_total[1h]))")
        (info,) = asked(url, "last_over_time(gmemsim_run_info[1h])")
    counted = json.loads((latest / "summary.json").read_text())["conversions"]
    assert float(seen["value"][1]) == counted["completed"] + counted["failed"]
    assert info["metric"]["run_id"] == f"quickstart/{latest.resolve().name}"
