"""report.html: whole by itself, the same every time, for every kind of run, and safe to open."""

import re
import subprocess
import sys
from html import escape
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workloads.small_runs import DIGEST, FAULTS, decode, outcome, run, word
from workloads.outcome import files
from workloads.outcome.files import LatencyRow, TimelineRow, write_text
from workloads.outcome.folder import open_folder, write
from workloads.outcome.plots import by_decades, flying, rebinned, slower, tick
from workloads.outcome.read import read_timeline
from workloads.outcome.report import rebuild
from workloads.outcome.stacked import stack
from workloads.outcome.summary import summarise
from workloads.outcome.svg import IN_PAGE, figure

TEXT = "freed memory is still in the <IOMMU> & more"
BROKEN = [1_000_000, "I4", 256, 12, TEXT]


def report_of(base, scenario, found, **named):
    """(folder, text of the report)."""
    folder = open_folder(base, "small", 1)
    write(folder, scenario, summarise(scenario, found, **named), found, "")
    return folder, (folder / "report.html").read_text()


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    return report_of(tmp_path_factory.mktemp("base"), *run(FAULTS))


RUNS = {
    "nothing ran": lambda: (decode(), outcome(word(), finished=False)),
    "nothing answered": lambda: (decode(), outcome(word(unanswered_requests=2), finished=False)),
    "one answer": lambda: (decode(), outcome(word([(1, False)]))),
    "answers in no time": lambda: (decode(), outcome(word([(0, False)]))),
    "all failed": lambda: (decode(), outcome(word([(1, True)] * 3))),
    "something broken": lambda: (decode(), outcome(word([(1, False)], findings=[BROKEN]))),
    "stopped": lambda: run(stop=True),
    "boot": lambda: run('workload=[{kind="boot"}]'),
}


@pytest.mark.parametrize("name", RUNS)
def test_every_run_gets_a_whole_report(name, tmp_path):
    scenario, found = RUNS[name]()
    _, text = report_of(tmp_path, scenario, found)
    assert text.startswith("<!DOCTYPE html>")
    assert text.endswith("</html>\n")
    assert "None" not in text
    assert "nan" not in text


def test_the_report_needs_nothing_from_outside(faulty):
    _, text = faulty
    assert not re.search(r"https?:|//\w|<script|<link|<img|<iframe|@import|\bsrc=", text)
    names = set(re.findall(r'\bid="([^"]*)"', text))
    assert set(re.findall(r'href="([^"]*)"', text)) <= {f"#{name}" for name in names}
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= names


def test_no_id_is_given_twice(faulty):
    names = re.findall(r'\bid="([^"]*)"', faulty[1])
    assert len(names) == len(set(names))


def test_the_folder_alone_gives_the_same_report_again(faulty):
    folder, text = faulty
    (folder / "report.html").unlink()
    (folder / "scenario.toml").unlink()
    path = rebuild(folder)
    assert path == folder / "report.html"
    assert path.read_text() == text
    assert rebuild(folder / "summary.json") == path


def test_the_verdict_comes_first_in_words(faulty):
    _, text = faulty
    body = text[text.index("<main>") :]
    assert body.index("VALID") < body.index("<h2>")


def test_figures_have_a_text_alternative_and_the_pages_colours(faulty):
    _, text = faulty
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    timelines = text.count("The same as text")
    assert len(drawings) == 4 + timelines and timelines > 1
    for drawing in drawings:
        root = ET.fromstring(drawing)
        title, about = root[0], root[1]
        assert (title.tag, about.tag) == ("title", "desc")
        assert title.text and len(about.text or "") > 40
        assert root.attrib["role"] == "img"
        assert root.attrib["aria-labelledby"] == f"{title.attrib['id']} {about.attrib['id']}"
        assert not [color for color in IN_PAGE if color in drawing]
        assert set(re.findall(r"#[0-9a-f]{6}\b", drawing)) <= {"#000000", "#ffffff"}


def test_lines_differ_by_more_than_their_colour(faulty):
    (drawing,) = re.findall(r"<svg[^>]*latency-title.*?</svg>", faulty[1], re.DOTALL)
    assert len(set(re.findall(r"stroke-dasharray: ([^;\"]+)", drawing))) >= 2


def test_the_command_holds_a_finished_run_against_its_digest(tmp_path):
    _, whole = report_of(tmp_path, decode(), outcome(word()))
    assert f"gmemsim run scenario.toml --expect-digest {DIGEST}" in whole
    _, part = report_of(tmp_path, decode(), outcome(word(), finished=False), stopped="Ctrl-C")
    assert "--expect-digest" not in part
    assert "ended early: Ctrl-C" in part


def test_findings_are_shown_with_their_meaning(tmp_path):
    _, text = report_of(tmp_path, decode(), outcome(word(findings=[BROKEN])))
    assert "a free frame is mapped nowhere" in text
    assert "EXCLUDED" in text
    assert "1.00 ms, h0/v0, task 0, try 13" in text
    assert escape(TEXT) in text
    assert TEXT not in text


def test_the_fault_plan_is_shown_with_who_never_struck(tmp_path):
    rules = 'fault=[{point="tdx.busy"},{point="tdx.bug",nth=9}]'
    seen = word(faults=[[0, 0, 5100, 51], [1, 0, 4, 0]])
    _, text = report_of(tmp_path, decode(rules), outcome(seen))
    assert "Never struck: fault.1 tdx.bug." in text
    assert re.search(r"fault\.0</th>.*tdx\.busy.*>51<.*>5,100<", text)


def test_no_text_of_a_file_becomes_markup(tmp_path):
    bad = "</style><script>alert(1)</script>"
    scenario, found = decode(), outcome(word([(1, True)]))
    folder = open_folder(tmp_path, "small", 1)
    summary = summarise(scenario, found)
    summary |= {"scenario": bad, "protocol": bad, "reasons": [bad], "digest": bad}
    summary["anomalies"] = {bad: 1}
    summary["phases"] = {bad: {bad: summary["latency_seconds"]}}
    summary["latency_seconds_by_direction"] = {bad: summary["latency_seconds"]}
    summary["checks"] = [{"name": bad, "limit": bad, "value": 1.0, "ok": False}]
    summary["versions"] = {bad: bad}
    write(folder, scenario, summary, found, "")
    row = f"direction,outcome,upper_edge_seconds,count,cumulative_share\n{bad},failed,1,1,1\n"
    write_text(folder / files.LATENCY, row)
    rebuild(folder)
    assert "<script" not in (folder / "report.html").read_text()


def test_matplotlib_is_imported_only_to_draw():
    code = "import sys, workloads.outcome.folder; print('matplotlib' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"


bins = st.builds(
    TimelineRow,
    st.integers(0, 10**6).map(lambda n: n * 0.5),
    st.just(0.5),
    st.integers(0, 99),
    st.integers(0, 9),
    st.integers(0, 9),
    st.just(0.0),
    st.integers(0, 9),
)


@settings(derandomize=True, max_examples=200)
@given(st.lists(bins, min_size=1, max_size=50, unique_by=lambda row: row.start_seconds))
def test_a_narrower_timeline_loses_nothing(rows):
    rows.sort(key=lambda row: row.start_seconds)
    width, found = rebinned(rows)
    kept = [row for row in found if row]
    assert len(found) <= 240
    assert sum(row.completed for row in kept) == sum(row.completed for row in rows)
    assert sum(row.failed for row in kept) == sum(row.failed for row in rows)
    assert max(row.in_flight_peak for row in kept) == max(row.in_flight_peak for row in rows)
    assert rows[0].start_seconds + width * len(found) > rows[-1].start_seconds


def test_what_is_in_flight_stays_so_while_nothing_happens():
    first, last = TimelineRow(0.0, 1.0, 4, 0, 7, 0.0, 3), TimelineRow(3.0, 1.0, 3, 0, 3, 0.0, 0)
    _, found = rebinned([first, last])
    assert [*flying(found)] == [7, 3, 3, 3]


def test_a_timeline_of_before_is_read_without_what_it_lacks(tmp_path):
    path = tmp_path / "timeline.csv"
    head = ",".join(TimelineRow.__struct_fields__[:-1])
    path.write_text(f"{head}\n0.0,1.0,4,0,7,0.0\n2.0,1.0,3,0,3,0.0\n")
    _, found = rebinned(read_timeline(path))
    assert [*map(str, flying(found))] == ["7", "nan", "3"]


def test_what_failed_has_a_line_of_its_own_and_counts_in_its_direction_too():
    rows = [
        LatencyRow("private_to_shared", "completed", 0.1, 5, 1.0),
        LatencyRow("private_to_shared", "failed", 0.1, 2, 1.0),
    ]
    assert slower(rows) == {"to shared": {0.1: 7}, "failed, either way": {0.1: 2}}


@pytest.mark.parametrize(("value", "text"), [(1e-7, "100 ns"), (1e-3, "1 ms"), (100.0, "100 s")])
def test_ticks_are_short(value, text):
    assert tick(value) == text


# --- charts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high"), [(2e-6, 3e-6), (1e-7, 2000.0), (1e-9, 1e-2)])
def test_labels_of_decades_are_few_and_none_stands_between_them(low, high):
    with figure(3.0) as (drawn, axes_of):
        axes = axes_of(1, True)[0]
        by_decades(axes, [low, high])
        drawn.draw_without_rendering()
        labels = [one.get_text() for one in axes.get_xticklabels(which="major")]
        between = [one.get_text() for one in axes.get_xticklabels(which="minor")]
    assert 2 <= len(labels) <= 7 and all(labels)
    assert not any(between)


def test_a_legend_tells_of_nothing_that_is_not_drawn():
    with figure(3.0) as (_, axes_of):
        axes = axes_of(1, True)[0]
        stack(axes, ["a", "b"], {"some": [1.0, 0.0], "none": [0.0, 0.0]}, {"some": {}, "none": {}})
        assert axes.get_legend_handles_labels()[1] == ["some"]


def test_the_fault_plan_is_folded_and_nothing_else_of_the_parameters(faulty):
    shown, folded = (
        faulty[1].split("<h2>Parameters</h2>")[1].split("</section>")[0].split("<details>")
    )
    assert "fault.0.point" in folded and "The fault plan: " in folded
    assert "fault.0" not in shown and "scenario.conversions" in shown
