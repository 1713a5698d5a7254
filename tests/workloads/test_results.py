"""The results folder: when it is made, what is in it, and what is said of a wrong one."""

import csv
import json
import os
import re
from collections import Counter
from itertools import accumulate
from pathlib import Path

import pytest

from tests.workloads.small_runs import FAULTS, Listener, decode, outcome, run, word
from workloads import scenario as scenarios
from workloads import simulate
from workloads.errors import UsageError
from workloads.outcome import files
from workloads.outcome.folder import open_folder, point_latest, read_summary, run_id_of, write
from workloads.outcome.read import folder_of, read_findings, read_latency, read_timeline
from workloads.outcome.summary import summarise

EVERY_FILE = {
    "anomalies.jsonl",
    "latency.csv",
    "metrics.prom",
    "report.html",
    "scenario.toml",
    "summary.json",
    "timeline.csv",
    "timelines.json",
}


@pytest.fixture(scope="module", params=[(), (FAULTS,)], ids=["clean", "faulty"])
def written(request, tmp_path_factory):
    """(folder, summary) of a real run."""
    scenario, found = run(*request.param)
    folder = open_folder(tmp_path_factory.mktemp("base"), "small", 1)
    summary = summarise(scenario, found)
    write(folder, scenario, summary, found, "# metrics\n")
    return folder, summary


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# --- making the folder ---------------------------------------------------------------------------


def test_the_folder_is_named_after_scenario_time_and_seed(tmp_path):
    folder = open_folder(tmp_path / "results", "small", 7)
    assert folder.parent == tmp_path / "results" / "small"
    assert re.fullmatch(r"\d{8}T\d{6}Z-7", folder.name)
    assert list(folder.iterdir()) == []


def test_runs_of_one_second_get_a_folder_each(tmp_path):
    names = [open_folder(tmp_path, "small", 1).name for _ in range(5)]
    assert len(set(names)) == 5
    assert names == sorted(names)


def test_a_folder_that_cannot_be_made_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError) as raised:
        open_folder(tmp_path / "file", "small", 1)
    assert str(raised.value) == (
        f"--results: {tmp_path}/file/small: cannot be written there: Not a directory; "
        "expected a writable folder"
    )


def test_a_full_disk_is_noticed_before_the_run(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UsageError, match="No space left on device"):
        open_folder(tmp_path, "small", 1)


# --- what is in it -------------------------------------------------------------------------------


def test_every_file_is_there_and_no_draft(written):
    folder, _ = written
    assert {path.name for path in folder.iterdir()} == EVERY_FILE


def test_the_summary_is_read_as_it_was_written(written):
    folder, summary = written
    assert read_summary(folder) == summary
    assert read_summary(folder / "summary.json") == summary


def test_the_scenario_runs_again_to_the_same_digest(written):
    folder, summary = written
    again = scenarios.load(str(folder / "scenario.toml"))
    assert simulate.run(simulate.prepare(again), Listener()).digest == summary["digest"]


def test_latency_adds_up_to_the_summary(written):
    folder, summary = written
    counts: Counter[tuple[str, str]] = Counter()
    shares: dict[tuple[str, str], float] = {}
    for row in rows_of(folder / "latency.csv"):
        key = row["direction"], row["outcome"]
        assert float(row["cumulative_share"]) > shares.get(key, 0)
        shares[key] = float(row["cumulative_share"])
        counts[key] += int(row["count"])
    assert set(shares.values()) == {1.0}
    c = summary["conversions"]
    by_outcome: Counter[str] = Counter()
    for (_, result), count in counts.items():
        by_outcome[result] += count
    assert (by_outcome["completed"], by_outcome["failed"]) == (c["completed"], c["failed"])
    for direction, found in summary["latency_seconds_by_direction"].items():
        assert found["count"] == sum(n for (name, _), n in counts.items() if name == direction)


def test_percentiles_can_be_had_from_the_csv(written):
    folder, summary = written
    rows = sorted(read_latency(folder / "latency.csv"), key=lambda row: row.upper_edge_seconds)
    whole = summary["latency_seconds"]
    for name, share in {"p50": 0.5, "p90": 0.9, "p99": 0.99}.items():
        reached = accumulate(row.count for row in rows)
        place = next(n for n, seen in enumerate(reached) if seen >= share * whole["count"])
        assert min(rows[place].upper_edge_seconds, whole["max"]) == whole[name]


def test_the_timeline_adds_up_to_the_summary(written):
    folder, summary = written
    rows = read_timeline(folder / "timeline.csv")
    c = summary["conversions"]
    assert sum(row.completed for row in rows) == c["completed"]
    assert sum(row.failed for row in rows) == c["failed"]
    assert max(row.in_flight_peak for row in rows) == c["in_flight_peak"]
    assert rows[-1].in_flight_end == c["unfinished"]
    assert max(row.slowest_seconds for row in rows) == summary["latency_seconds"]["max"]
    assert [row.start_seconds for row in rows] == sorted(row.start_seconds for row in rows)


def test_every_finding_is_a_line(written):
    folder, summary = written
    lines = [json.loads(line) for line in (folder / "anomalies.jsonl").read_text().splitlines()]
    kept = Counter(line["id"] for line in lines)
    found = {**summary["anomalies"], **summary["invariant_violations"]}
    assert kept == {name: min(count, 5) for name, count in found.items()}
    assert len(read_findings(folder / "anomalies.jsonl")) == len(lines)


def test_findings_of_several_partitions_are_one_list_by_time(tmp_path):
    late, early = ([ms, "AN15", 256, 7, f"at {ms}"] for ms in (9, 4))
    found = outcome(word(findings=[late] * 5), word(findings=[early] * 3))
    folder = open_folder(tmp_path, "small", 1)
    write(folder, decode(), summarise(decode(), found), found, "")
    lines = read_findings(folder / "anomalies.jsonl")
    assert [line.text for line in lines] == ["at 4"] * 3 + ["at 9"] * 2
    assert (lines[0].vm, lines[0].op, lines[0].admitted) == ("h0/v0", 7, True)


@pytest.mark.parametrize(
    ("ns", "text"), [(0, "0.000000000"), (1, "0.000000001"), (61_000_000_001, "61.000000001")]
)
def test_seconds_are_exact_text(ns, text):
    assert files.seconds(ns) == text


# --- latest --------------------------------------------------------------------------------------


def written_into(base):
    found = outcome(word([(1, False)]))
    folder = open_folder(base, "small", 1)
    write(folder, decode(), summarise(decode(), found), found, "")
    point_latest(folder)
    return folder


def no_links(*_, **__):
    raise OSError(1, "Operation not permitted")


def test_latest_leads_to_the_newest(tmp_path):
    folders = [written_into(tmp_path) for _ in range(2)]
    latest = tmp_path / "small" / "latest"
    assert latest.is_symlink()
    assert latest.resolve() == folders[1].resolve()
    assert os.readlink(latest) == folders[1].name
    assert read_summary(latest) == read_summary(folders[1])


def test_where_links_cannot_be_made_latest_is_a_file_with_the_name(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "symlink_to", no_links)
    folder = written_into(tmp_path)
    latest = tmp_path / "small" / "latest"
    assert latest.read_text() == f"{folder.name}\n"
    assert read_summary(latest) == read_summary(folder)
    assert folder_of(latest) == folder


def test_a_folder_called_latest_stays_and_nothing_is_left_behind(tmp_path):
    (tmp_path / "small" / "latest").mkdir(parents=True)
    folder = written_into(tmp_path)
    assert {path.name for path in (tmp_path / "small").iterdir()} == {"latest", folder.name}


# --- what is wrong with a folder -----------------------------------------------------------------


def test_a_missing_result_says_what_is_expected(tmp_path):
    with pytest.raises(UsageError) as raised:
        read_summary(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path}/summary.json: no such file; "
        "expected a results folder such as results/NAME/TIME-SEED"
    )


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "damaged: Input data was truncated"),
        (b'{"schema": 1, "verdict"', "damaged: Input data was truncated"),
        (b"\xff\xfe", "damaged: "),
        (b"[" * 100_000, "damaged: "),
        (b"[]", "not a summary of gmemsim"),
        (b'{"name": "other"}', "not a summary of gmemsim"),
        (b'{"schema": 2, "verdict": "valid"}', "schema 2, this gmemsim reads 1"),
        (b'{"schema": 1, "verdict": "valid"}', "damaged: Object missing required field"),
        (b'{"schema": 1, "verdict": "good"}', "damaged: "),
    ],
)
def test_a_damaged_or_foreign_summary_is_a_usage_error(tmp_path, content, error):
    (tmp_path / "summary.json").write_bytes(content)
    with pytest.raises(UsageError) as raised:
        read_summary(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path}/summary.json: {error}")
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("path", ["x" * 5000, "a\0b", "latest"])
def test_an_impossible_path_is_a_usage_error(tmp_path, path):
    with pytest.raises(UsageError):
        read_summary(tmp_path / path)


@pytest.mark.parametrize(
    "line", ["to_shared,completed,nan,1,1", "a,b,1.0,-1,1", "a,b,1.0,1", "a,b,1,1,1,1", "a,b,x,1,1"]
)
def test_a_damaged_csv_is_a_usage_error(tmp_path, line):
    path = tmp_path / "latency.csv"
    path.write_text(f"direction,outcome,upper_edge_seconds,count,cumulative_share\n{line}\n")
    with pytest.raises(UsageError, match="damaged"):
        read_latency(path)


@pytest.mark.parametrize("content", [b"", b"a,b\n", b"\xff"])
def test_a_foreign_csv_is_a_usage_error(tmp_path, content):
    path = tmp_path / "timeline.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="damaged"):
        read_timeline(path)


def test_a_folder_that_vanished_is_a_usage_error(tmp_path):
    found = outcome(word())
    with pytest.raises(UsageError, match="cannot be written: No such file or directory"):
        write(tmp_path / "gone", decode(), summarise(decode(), found), found, "")


def test_runs_of_two_scenarios_that_begin_in_one_second_have_ids_of_their_own(tmp_path):
    folders = [tmp_path / name / "20261126T120000Z-1" for name in ("calm", "storm")]
    assert [run_id_of(folder) for folder in folders] == [
        "calm/20261126T120000Z-1",
        "storm/20261126T120000Z-1",
    ]
