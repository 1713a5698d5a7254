"""The exporter: its port, what a scraper sees, and readings that are swapped under it."""

import http.client
import re
import socket
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from itertools import count, cycle
from threading import Event, Thread

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from cluster.exporter import Exporter, PortError, PortInUseError
from cluster.exposition import exposition
from cluster.label_sets import Labels
from cluster.metrics import FAMILIES, Readings
from cluster.partition import Partition
from tests.cluster.test_metrics import RUN
from tests.negative.fleet_cases import ARRIVING
from tests.runs import Silent
from workloads import scenario, simulate
from workloads.outcome.readings import at_start, readings

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
OPENMETRICS = "application/openmetrics-text;version=1.0.0"
ZERO = Readings.of(RUN, {}, {})
RETRIES = "gmemsim_retries_total"
SCRAPERS, SCRAPES = 16, 12


def scrape(url, accept="text/plain"):
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read().decode()


def series(text):
    """Every series of a text, without its value."""
    return {line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")}


def values_of(families):
    """(name, labels) -> value of every sample."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.fixture(scope="module")
def serving():
    with Exporter() as found:
        yield found


@pytest.fixture
def exporter(serving):
    serving.readings = ZERO
    return serving


# --- the port ------------------------------------------------------------------------------------


def test_a_free_port_is_taken_on_the_loopback(exporter):
    assert exporter.port > 0
    assert exporter.url == f"http://127.0.0.1:{exporter.port}/metrics"


def test_a_port_in_use_is_told_in_one_line(exporter):
    with pytest.raises(PortInUseError) as error:
        Exporter(exporter.port)
    assert str(error.value) == (
        f"metrics port {exporter.port} on 127.0.0.1 is in use;"
        " choose another one, or 0 for any free one"
    )


@pytest.mark.parametrize(
    ("port", "addr"), [(0, "192.0.2.1"), (70_000, "127.0.0.1"), (0, "no.such.")]
)
def test_an_address_that_cannot_be_opened_is_told_in_one_line(port, addr):
    with pytest.raises(PortError, match=r"^metrics port \d+ on \S+ cannot be opened: .+; choose "):
        Exporter(port, addr)


def test_a_closed_exporter_gives_its_port_back():
    with Exporter(readings=ZERO) as first:
        pass
    first.close()
    with pytest.raises(OSError, match="refused"):
        scrape(first.url)
    with Exporter(first.port, readings=ZERO) as second:
        assert scrape(second.url)


def test_a_client_that_says_nothing_keeps_nobody_waiting(exporter):
    with socket.create_connection(("127.0.0.1", exporter.port)):
        assert scrape(exporter.url)


def test_what_is_no_scrape_is_refused(exporter):
    connection = http.client.HTTPConnection("127.0.0.1", exporter.port, timeout=20)
    connection.request("POST", "/metrics", "x 1")
    assert connection.getresponse().status == 405
    connection.close()


# --- what a scraper sees -------------------------------------------------------------------------


def test_every_family_has_help_and_type_once():
    lines = exposition(ZERO).splitlines()
    for family in FAMILIES.values():
        kind = "gauge" if family.kind == "info" else family.kind
        assert lines.count(f"# HELP {family.name} {family.help}") == 1
        assert lines.count(f"# TYPE {family.name} {kind}") == 1
    assert sum(line.startswith("# ") for line in lines) == 2 * len(FAMILIES)


def test_all_label_sets_are_there_at_the_start_with_0(exporter):
    seen = values_of(plain(scrape(exporter.url)))
    for name, family in FAMILIES.items():
        suffix = "_count" if family.kind == "histogram" else ""
        for labels in family.sets(RUN):
            key = name + suffix, frozenset(zip(family.labels, labels, strict=True))
            assert seen[key] == float(family.kind == "info")
    assert {value for (name, _), value in seen.items() if not name.endswith("_info")} == {0.0}


@pytest.mark.parametrize("accept", ["text/plain", OPENMETRICS])
def test_no_created_series_appear(exporter, accept):
    assert "_created" not in scrape(exporter.url, accept)


def test_the_library_says_the_same_as_we_do(exporter):
    found = scenario.decode("", "small.toml", ["scenario.conversions=200", "fleet.hosts=2"])
    outcome = simulate.run(simulate.prepare(found), Silent())
    exporter.readings = readings(found, outcome.watched, outcome.totals, "run")
    ours = values_of(plain(scrape(exporter.url)))
    assert values_of(openmetrics(scrape(exporter.url, OPENMETRICS))) == ours
    assert len({*ours.values()}) > 50


@pytest.mark.parametrize("accept", [PROMETHEUS, "*/*, text/plain"])
def test_who_takes_plain_text_gets_ours_and_it_is_not_compressed(exporter, accept):
    headers = {"Accept": accept, "Accept-Encoding": "gzip"}
    with urllib.request.urlopen(urllib.request.Request(exporter.url, headers=headers)) as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert answer.read().decode() == exposition(ZERO)


def test_a_scraper_may_ask_for_some_families(exporter):
    found = scrape(f"{exporter.url}?name[]={RETRIES}")
    assert series(found) == {RETRIES}


def test_without_readings_there_are_families_and_no_series():
    with Exporter() as empty:
        text = scrape(empty.url)
    assert series(text) == set()
    assert text.count("# HELP ") == len(FAMILIES)


def test_label_values_are_escaped():
    run = RUN._replace(about=('a"b', "back\\slash", "1\n2", "two-phase", "local", "packed"))
    info = re.search(r"^gmemsim_run_info.*$", exposition(Readings.of(run, {}, {})), re.MULTILINE)
    assert info
    assert r'run_id="a\"b",scenario="back\\slash",seed="1\n2"' in info[0]


# --- readings that are swapped -------------------------------------------------------------------


def test_many_scrapers_never_see_half_a_swap(exporter):
    alone: Labels = ()
    sources = {name: {alone: 1.0} for name in (RETRIES, "gmemsim_engine_events_total")}
    one = Readings.of(RUN, sources, {})
    whole = {exposition(ZERO), exposition(one)}
    done = Event()

    def swap():
        for shown in cycle((one, ZERO)):
            exporter.readings = shown
            if done.wait(0.002):
                return

    swapper = Thread(target=swap)
    swapper.start()
    try:
        with ThreadPoolExecutor(SCRAPERS) as pool:
            found = set(pool.map(scrape, [exporter.url] * SCRAPERS * SCRAPES))
    finally:
        done.set()
        swapper.join()
    assert found == whole


# --- real runs -----------------------------------------------------------------------------------


def test_a_scrape_in_the_middle_of_a_window_shows_the_last_word_of_the_run(exporter, monkeypatch):
    found = scenario.decode("", "windows.toml", [*ARRIVING, "vm.memory=8MiB"])
    told = [at_start(found, "run")]
    seen: list[tuple[str, str]] = []
    orders, advance = count(), Partition.advance
    exporter.readings = told[0]

    class Shown(Silent):
        tell_every = 0.0

        def progress(self, totals, watched):
            words = [simulate.unpack(word) for word in watched if word]
            told.append(readings(found, words, totals, "run"))
            exporter.readings = told[-1]

    def scraped(partition, order):
        report = advance(partition, order)
        if next(orders) % 10 == 0:  # the partition has gone on, and the driver does not know
            seen.append((scrape(exporter.url), exposition(told[-1])))
        return report

    monkeypatch.setattr(Partition, "advance", scraped)
    simulate.run(simulate.prepare(found), Shown())
    assert all(shown == last for shown, last in seen)
    assert len({shown for shown, _ in seen}) > 3


def exposed(vms):
    """(series at the start, series at the end) of a run with so many VMs on twenty hosts, which are ten groups."""
    overrides = ["scenario.conversions=200", "fleet.hosts=20", f"fleet.vms_per_host={vms // 20}"]
    found = scenario.decode("", "cardinality.toml", overrides)
    outcome = simulate.run(simulate.prepare(found), Silent())
    final = readings(found, outcome.watched, outcome.totals, "run", census=outcome.census)
    return series(exposition(at_start(found, "run"))), series(exposition(final))


def test_series_do_not_depend_on_the_number_of_vms():
    assert len({frozenset(found) for vms in (20, 10_000) for found in exposed(vms)}) == 1
