"""The files of a results folder: how each is written, whole or not at all, and read again."""

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec

from workloads.errors import UsageError
from workloads.summary_shape import SCHEMA, Summary
from workloads.tally import NS, Tally
from workloads.wording import printable

SUMMARY, LATENCY, TIMELINE = "summary.json", "latency.csv", "timeline.csv"
ANOMALIES, SCENARIO, METRICS, REPORT = (
    "anomalies.jsonl",
    "scenario.toml",
    "metrics.prom",
    "report.html",
)
LATEST = "latest"
EXPECTED = "expected a results folder such as results/NAME/TIME-SEED"
BYTES_MAX = 64 << 20
# NaN is in no range. Whoever edits a file by hand may write anything.
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class LatencyRow(NamedTuple):
    """Requests of one direction and outcome up to this latency, the row before excluded; the share includes it."""

    direction: str
    outcome: str
    upper_edge_seconds: Amount
    count: Count
    cumulative_share: Amount


class TimelineRow(NamedTuple):
    """A span of simulated time; spans without an event are left out."""

    start_seconds: Amount
    width_seconds: Amount
    completed: Count
    failed: Count
    in_flight_peak: Count
    slowest_seconds: Amount


class FindingLine(msgspec.Struct, frozen=True):
    """A line of anomalies.jsonl."""

    time_seconds: Amount
    id: str
    vm: str
    op: Count | None
    text: str
    admitted: bool


Row = TypeVar("Row", LatencyRow, TimelineRow)


def write_text(path: Path, text: str) -> None:
    """Whole or not at all: a reader never meets half a file."""
    draft = path.with_name(f".{path.name}.tmp")
    try:
        draft.write_text(text, encoding="utf-8", newline="\n")
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
    for labels, histogram in sorted(seen.histograms.items(), key=lambda item: item[0]):
        if labels[0] == "conversion_latency":
            so_far = 0
            for edge, count in histogram.edges():
                so_far += count
                part = f"{so_far / histogram.count:.9f}"
                rows.append((*labels[-2:], seconds(edge), count, part))
    return _csv_text(LatencyRow._fields, rows)


def timeline_text(seen: Tally) -> str:
    """timeline.csv."""
    width = seconds(seen.bin_ns)
    rows = [
        (seconds(start), width, answered - failed, failed, in_flight, seconds(slowest))
        for start, answered, failed, in_flight, slowest in seen.timeline
    ]
    return _csv_text(TimelineRow._fields, rows)


def seconds(ns: int) -> str:
    """Exact, and never in scientific notation."""
    return f"{ns // NS}.{ns % NS:09d}"


def _csv_text(fields: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows(rows)
    return text.getvalue()


# --- reading -------------------------------------------------------------------------------------


def read_bytes(path: Path) -> bytes:
    """A file of a results folder; what is wrong with it is a UsageError."""
    try:
        with path.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
    except FileNotFoundError:
        raise UsageError(f"{shown(path)}: no such file; {EXPECTED}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{shown(path)}: cannot be read: {reason}") from None
    if len(content) > BYTES_MAX:
        raise UsageError(f"{shown(path)}: larger than 64MiB; {EXPECTED}")
    return content


def folder_of(path: str | Path) -> Path:
    """The results folder that is meant by a path to it, to `latest` beside it, or to a file in it."""
    given = Path(path)
    if given.name == LATEST and given.is_file():
        return given.parent / read_bytes(given).decode(errors="replace").strip()
    return given.parent if given.name == SUMMARY and not given.is_dir() else given


def read_summary(path: str | Path) -> dict[str, Any]:
    """The summary of a results folder, of `latest`, or a summary.json by whatever name."""
    given = Path(path)
    named = given.is_file() and given.name != LATEST
    file = given if named else folder_of(given) / SUMMARY
    return _decode_summary(read_bytes(file), file)


def _decode_summary(content: bytes, path: Path) -> dict[str, Any]:
    """A summary of our layout, every key of it checked; keys that are not of it are kept."""
    try:
        found = msgspec.json.decode(content)
        schema = found.get("schema") if isinstance(found, dict) else None
        if not isinstance(schema, int) or "verdict" not in found:
            raise UsageError(f"{shown(path)}: not a summary of gmemsim; {EXPECTED}")
        if schema != SCHEMA:
            raise UsageError(f"{shown(path)}: schema {schema}, this gmemsim reads {SCHEMA}")
        msgspec.convert(found, Summary)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise damaged(path, error) from None
    return dict(found)


def read_findings(path: Path) -> list[FindingLine]:
    """anomalies.jsonl."""
    try:
        return msgspec.json.Decoder(FindingLine).decode_lines(read_bytes(path))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise damaged(path, error) from None


def read_latency(path: Path) -> list[LatencyRow]:
    """latency.csv."""
    return _read_csv(path, LatencyRow)


def read_timeline(path: Path) -> list[TimelineRow]:
    """timeline.csv."""
    return _read_csv(path, TimelineRow)


def _read_csv(path: Path, kind: type[Row]) -> list[Row]:
    try:
        head, *rows = csv.reader(io.StringIO(read_bytes(path).decode()))
        if tuple(head) != kind._fields:
            raise damaged(path, f"the first line is not {','.join(kind._fields)}")
        return msgspec.convert(rows, list[kind], strict=False)  # type: ignore[valid-type]
    except (ValueError, csv.Error) as error:
        # msgspec's and UTF-8's complaints are ValueErrors, and so is an empty file here.
        raise damaged(path, error) from None


def damaged(path: Path, error: object) -> UsageError:
    """The file was ours once, by its name."""
    return UsageError(f"{shown(path)}: damaged: {printable(str(error))}")


def shown(path: Path) -> str:
    """A path in an error text."""
    return printable(str(path))
