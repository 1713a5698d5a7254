"""The timelines of real runs: whose they are, what is in them, and where."""

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from tests.workloads.small_runs import decode, run
from workloads.fleet import build
from workloads.outcome import timelines
from workloads.outcome.folder import open_folder, write
from workloads.outcome.report import rebuild
from workloads.outcome.summary import summarise
from workloads.outcome.tally import tally
from workloads.outcome.timelines import STORIES_MAX, stories
from workloads.plan import ENCODER
from workloads.simulate import prepare

DEADLY = 'fault=[{point="tdx.bug",probability=0.02},{point="pins.transient",probability=0.05}]'
ASKED = 'metrics.timelines=["0/0","1/1","0/0"]'


def written(base, scenario, outcome):
    """The folder of a run."""
    folder = open_folder(base, "small", 1)
    write(folder, scenario, summarise(scenario, outcome), outcome, "")
    return folder


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """(folder, scenario, outcome) of a run with two timelines, in which VMs die."""
    scenario, outcome = run(DEADLY, ASKED)
    return written(tmp_path_factory.mktemp("results"), scenario, outcome), scenario, outcome


def test_without_the_flag_nobody_records_and_nothing_more_is_watched():
    plain, recording = (
        build(ENCODER.encode(prepare(decode(*texts)).plan), (0,)).watchers
        for texts in ((), (ASKED,))
    )
    assert recording.keys() - plain.keys() == {"recorder"}


def test_a_run_is_the_same_with_and_without_timelines(asked):
    assert run(DEADLY)[1].digest == asked[2].digest


def test_each_vm_that_was_asked_for_has_its_file(asked):
    names = {path.name for path in asked[0].glob("timeline*.json")}
    assert names == {"timelines.json", "timeline-h0-v0.json", "timeline-h1-v1.json"}


def events(folder, name):
    return json.loads((folder / name).read_text())["traceEvents"]


def threads(folder, name):
    """Thread -> its events."""
    found: dict[str, list[dict[str, Any]]] = {}
    names = {}
    for event in events(folder, name):
        if event["name"] == "thread_name":
            names[event["tid"]] = event["args"]["name"]
        elif event["ph"] != "M":
            found.setdefault(names[event["tid"]], []).append(event)
    return found


def test_a_timeline_tells_who_held_what_and_what_went_wrong(asked):
    found = threads(asked[0], "timeline-h0-v0.json")
    assert {
        "request",
        "guest_memfd",
        "ilock",
        "mmu_lock",
        "kvm",
        "pins",
        "iommu",
        "tdx",
    } <= found.keys()
    assert any("waiting" in name for name in found)
    assert {"PREPARE", "COMMIT"} <= {event["name"] for event in found["kvm"]}
    assert any("kick" in event["name"] for event in found["tdx"])
    assert any("INJECTED" in event["name"] for event in found["fault plan"])


def test_requests_are_as_many_as_were_answered():
    scenario, every = run(DEADLY, 'metrics.timelines=["0/0","0/1","1/0","1/1"]')
    seen = tally(every.watched, scenario.protocol.name)
    rows = [row for _, found in timelines.recorded(every.watched, seen) for row in found.rows]
    answered = seen.count("conversions")
    assert len([row for row in rows if row[2] == "request"]) == answered > 30


def test_ilock_is_held_by_one_at_a_time(asked):
    held = sorted(  # whole ns again
        (round(1000 * e["ts"]), round(1000 * (e["ts"] + e["dur"])))
        for e in threads(asked[0], "timeline-h1-v1.json")["ilock"]
    )
    assert len(held) > 10
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(held))


def test_findings_are_on_the_timeline_of_their_vm(asked):
    folder, scenario, outcome = asked
    lines = tally(outcome.watched, scenario.protocol.name).findings
    assert lines
    for name, vm in (("timeline-h0-v0.json", "h0/v0"), ("timeline-h1-v1.json", "h1/v1")):
        marks = threads(folder, name).get("found", [])
        assert len(marks) == len([line for line in lines if line["vm"] == vm])


def test_the_slowest_conversion_is_the_slowest(asked):
    _, scenario, outcome = asked
    seen = tally(outcome.watched, scenario.protocol.name)
    first = stories(outcome.watched, seen, True)[0]
    (request,) = [row for row in first.rows if row[2] == "request"]
    assert request[1] - request[0] == seen.histogram("conversion_latency").most
    assert any(row[2] == "guest_memfd" and row[1] > row[0] for row in first.rows)


def test_of_several_partitions_the_slowest_counts(asked):
    words: list[dict[str, Any]] = [
        {"inspector": {"slowest": [n, 9, 256, 4, []], "findings": []}} for n in (5, 7, 6)
    ]
    assert next(timelines.slowest(words)).title.startswith("The slowest conversion took 7.00 ns")


def test_every_kind_of_finding_has_its_timeline_once(asked):
    _, scenario, outcome = asked
    seen = tally(outcome.watched, scenario.protocol.name)
    told = stories(outcome.watched, seen, True)[1:]
    assert {kind for kind in seen.found if any(f"{kind}, " in one.title for one in told)} == set(
        seen.found
    )
    assert len({one.rows for one in told}) == len(told) <= STORIES_MAX


def test_what_is_found_with_one_fact_is_drawn_once(asked):
    rows = [[1, 5, "kvm", "COMMIT"]]
    found = [[9, name, 256, 4, "text", ["story"], rows] for name in ("AN15", "AN22")]
    words = [{**asked[2].watched[0], "inspector": {"findings": found, "open_findings": []}}]
    seen = replace_findings(asked, found)
    (one,) = stories(words, seen, True)
    assert "AN15" in one.title and "AN22" in one.title


def replace_findings(asked, found):
    """A tally that knows whether these are admitted."""
    seen = tally(asked[2].watched, asked[1].protocol.name)
    return seen._replace(findings=[{"id": name, "admitted": True} for _, name, *_ in found])


def test_no_more_than_so_many_are_drawn(asked):
    found = [[n, f"X{n}", 256, 4, "text", [], [[n, n, "kvm", "x"]]] for n in range(STORIES_MAX + 9)]
    words = [{"inspector": {"findings": found, "open_findings": []}}]
    assert len(stories(words, replace_findings(asked, found), True)) == STORIES_MAX


def test_the_report_draws_each_and_tells_it_in_words(asked):
    page = (asked[0] / "report.html").read_text()
    seen = tally(asked[2].watched, asked[1].protocol.name)
    drawn = stories(asked[2].watched, seen, True)
    assert (
        page.count('aria-labelledby="timeline-') == len(drawn) + 1
    )  # and the one over simulated time
    assert page.count("The same as text") == len(drawn)


def test_a_folder_without_timelines_still_has_its_report(asked, tmp_path):
    folder = written(tmp_path, *asked[1:])
    (folder / "timelines.json").unlink()
    assert "<h2>Timelines</h2>" not in rebuild(folder).read_text()


def test_a_run_that_nothing_answered_has_no_slowest():
    _, outcome = run(stop=True)
    assert not list(
        timelines.slowest(replace(outcome, watched=[{"inspector": {"slowest": []}}]).watched)
    )
