"""The files of a results folder: their names, their rows, and how each is written."""

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from workloads.errors import UsageError
from workloads.outcome.tally import NS, Tally

SUMMARY, LATENCY, TIMELINE = "summary.json", "latency.csv", "timeline.csv"
ANOMALIES, SCENARIO, METRICS, REPORT = (
    "anomalies.jsonl",
    "scenario.toml",
    "metrics.prom",
    "report.html",
)
HISTORY = "metrics.om.gz"
STORIES = "timelines.json"  # beside them, where it was asked for, timeline-hH-vV.json of a VM
LATEST = "latest"
CHECKPOINT = "checkpoint"  # only while a run is not over
TRACEBACK = "traceback.txt"  # of a bug that ended a run on Ray
COMPARISON = "compare.json"  # beside SCENARIO and REPORT, above a folder for each protocol
# Of a sweep, beside REPORT.
POINTS, POINTS_CSV, EXPERIMENT = "points.json", "points.csv", "experiment.toml"
RUNS = "runs"  # beside the folders of sweeps: what later ones of the same name need not run again
# NaN is in no range. Whoever edits a file by hand may write anything.
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class LatencyRow(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Requests of a direction and outcome in one bucket; the share is of those up to its edge."""

    direction: str
    outcome: str
    upper_edge_seconds: Amount
    count: Count
    cumulative_share: Amount


class TimelineRow(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A span of simulated time; spans without an event are left out: what was in flight stays so."""

    start_seconds: Amount
    width_seconds: Amount
    completed: Count
    failed: Count
    in_flight_peak: Count
    slowest_seconds: Amount
    in_flight_end: Count | None = None  # results of before have none


class FindingLine(msgspec.Struct, frozen=True):
    """A line of anomalies.jsonl."""

    time_seconds: Amount
    id: str
    vm: str
    op: Count | None
    text: str
    admitted: bool
    story: tuple[str, ...] = ()
    replay: str = ""


Row = TypeVar("Row", LatencyRow, TimelineRow)


def write_text(path: Path, text: str) -> None:
    """In UTF-8, with the line ends that it has."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Whole or not at all: a reader never meets half a file."""
    draft = path.with_name(f".{path.name}.tmp")
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from None


# --- texts ---------------------------------------------------------------------------------------


def json_text(summary: Mapping[str, Any]) -> str:
    """summary.json. NaN and infinities are no JSON, and no figure of ours."""
    return json.dumps(summary, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def jsonl_text(lines: Iterable[Mapping[str, Any]]) -> str:
    """One record on each line."""
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def latency_text(seen: Tally) -> str:
    """latency.csv: the buckets in use of every direction and outcome."""
    rows: list[Sequence[object]] = []
    for labels, histogram in sorted(seen.latencies.items(), key=lambda item: item[0]):
        so_far = 0
        for edge, count in histogram.edges():
            so_far += count
            rows.append((*labels, seconds(edge), count, f"{so_far / histogram.count:.9f}"))
    return _csv_text(LatencyRow.__struct_fields__, rows)


def timeline_text(seen: Tally) -> str:
    """timeline.csv."""
    width = seconds(seen.bin_ns)
    rows = [
        (seconds(start), width, answered - failed, failed, most, seconds(slowest), left)
        for start, answered, failed, most, slowest, left in seen.timeline
    ]
    return _csv_text(TimelineRow.__struct_fields__, rows)


def seconds(ns: int) -> str:
    """Exact, and never in scientific notation."""
    return f"{ns // NS}.{ns % NS:09d}"


def _csv_text(fields: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows(rows)
    return text.getvalue()
