"""Reading a results folder: what is missing, foreign or damaged in it is a UsageError."""

import csv
import io
from os.path import exists, isdir, isfile  # unlike Path's, False for a path that no file can have
from pathlib import Path
from typing import Any

import msgspec

from workloads import __version__
from workloads.code_version import code_version
from workloads.errors import UsageError
from workloads.outcome import possible
from workloads.outcome.files import (
    COMPARISON,
    LATEST,
    POINTS,
    RUNS,
    SUMMARY,
    FindingLine,
    LatencyRow,
    Row,
    TimelineRow,
)
from workloads.outcome.shape import SCHEMA, Comparison, Summary
from workloads.outcome.sweep_shape import Swept
from workloads.wording import printable

EXPECTED = "expected a results folder such as results/NAME/TIME-SEED"
BYTES_MAX = 64 << 20


def read_bytes(path: Path) -> bytes:
    """A file of a results folder; what is wrong with it is a UsageError."""
    refuse_pipe(path)
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


def refuse_pipe(path: Path) -> None:
    """Nobody may ever write to it, and its reader would wait."""
    if exists(path) and not (isfile(path) or isdir(path)):
        raise UsageError(f"{shown(path)}: is no file; {EXPECTED}")


def folder_of(path: str | Path) -> Path:
    """The results folder meant by a path to it, to `latest` beside it, or to its summary."""
    if not str(path):
        raise UsageError(f'RESULT: found "", {EXPECTED}')
    given = Path(path)
    if given.name == LATEST and isfile(given):
        return given.parent / read_bytes(given).decode(errors="replace").strip()
    return given.parent if given.name == SUMMARY and not isdir(given) else given


def run_folder(path: str | Path) -> Path:
    """`folder_of`, but not a comparison's or a sweep's: they have no figures of their own."""
    folder = folder_of(path)
    if isfile(folder / POINTS):
        raise UsageError(
            f"{shown(folder)}: of a sweep, which `gmemsim sweep` goes on with; expected that of a run"
        )
    if isdir(folder) and isdir(folder.parent / RUNS) and not isfile(folder / SUMMARY):
        raise UsageError(
            f"{shown(folder)}: of a sweep that was killed, or is not over; the same `gmemsim sweep` "
            "goes on from the runs that are finished"
        )
    if isfile(folder / COMPARISON) and not isfile(folder / SUMMARY):
        runs = ", ".join(shown(found.parent) for found in sorted(folder.glob(f"*/{SUMMARY}")))
        raise UsageError(
            f"{shown(folder)}: of a comparison; expected one of its runs: {runs or 'none is left'}"
        )
    return folder


def read_summary(path: str | Path) -> dict[str, Any]:
    """The summary of a results folder, of `latest`, or a summary.json by whatever name."""
    given = Path(path)
    named = isfile(given) and given.name != LATEST
    file = given if named else run_folder(given) / SUMMARY
    return _decode(read_bytes(file), file, Summary)


def read_comparison(path: Path) -> dict[str, Any]:
    """compare.json."""
    return _decode(read_bytes(path), path, Comparison)


def read_sweep(path: Path) -> dict[str, Any]:
    """points.json."""
    return _decode(read_bytes(path), path, Swept)


def _decode(content: bytes, path: Path, layout: Any) -> dict[str, Any]:
    """A record of our layout, every key of it checked; keys that are not of it are kept."""
    try:
        found = msgspec.json.decode(content)
        schema = found.get("schema") if isinstance(found, dict) else None
        if not isinstance(schema, int) or "verdict" not in found:
            raise UsageError(f"{shown(path)}: not a summary of gmemsim; {EXPECTED}")
        if schema != SCHEMA:
            raise UsageError(f"{shown(path)}: schema {schema}, this gmemsim reads {SCHEMA}")
        if flaw := flaw_of(found, layout):
            raise damaged(path, f"{flaw}{left_by(found)}")
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise damaged(path, error) from None
    return dict(found)


def flaw_of(found: dict[str, Any], layout: Any) -> str:
    """What is not as in results of this version, and where."""
    try:
        msgspec.convert(found, layout)
        return next(possible.flaws(found), "")
    except msgspec.ValidationError as error:
        return str(error)


def left_by(found: dict[str, Any]) -> str:
    """The version that wrote a record, where it is not this one."""
    runs = found.get("protocols")
    whole = [found, *(runs.values() if isinstance(runs, dict) else ())]
    for versions in (one.get("versions") for one in whole if isinstance(one, dict)):
        if (
            isinstance(versions, dict)
            and versions.get("sources", found.get("code")) != code_version()
        ):
            by = printable(str(versions.get("gmemsim")))
            return f"; or of another version: gmemsim {by} of other sources wrote it, this is {__version__}"
    return ""


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
    rows = _read_csv(path, TimelineRow)
    if flaw := next(possible.timeline_flaws(rows), ""):
        raise damaged(path, flaw)
    return rows


def _read_csv(path: Path, kind: type[Row]) -> list[Row]:
    try:
        head, *rows = csv.reader(io.StringIO(read_bytes(path).decode()))
        known = kind.__struct_fields__
        if tuple(head) not in (known, known[: len(known) - len(kind.__struct_defaults__)]):
            raise damaged(path, f"the first line is not {','.join(kind.__struct_fields__)}")
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
