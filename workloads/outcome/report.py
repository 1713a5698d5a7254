"""report.html: one file for people, made from the other files of its folder and nothing else."""

import webbrowser
from collections.abc import Sequence
from os.path import isfile  # unlike Path's, False for a path that no file can have
from pathlib import Path
from typing import NamedTuple

from workloads.errors import UsageError
from workloads.outcome import (
    compare_report,
    files,
    phase_plots,
    plots,
    read,
    sweep_report,
    timelines,
    trace_events,
)
from workloads.outcome import tables as report_tables
from workloads.outcome.figures import duration, number, rate
from workloads.outcome.files import FindingLine, LatencyRow, TimelineRow
from workloads.outcome.html import figure, page, paragraph, section
from workloads.outcome.tables import Summary, percentile_table
from workloads.outcome.trace_events import Timeline


class Files(NamedTuple):
    """What a report is made from."""

    summary: Summary
    latency: Sequence[LatencyRow]
    timeline: Sequence[TimelineRow]
    findings: Sequence[FindingLine]
    stories: Sequence[Timeline] = ()


def rebuild(result: str | Path) -> Path:
    """Write report.html into a results folder, from what is in it; returns its path."""
    folder = read.folder_of(result)
    path = folder / files.REPORT
    kinds = {files.POINTS: sweep_page, files.COMPARISON: comparison_page}
    page_of = next((page for name, page in kinds.items() if isfile(folder / name)), run_page)
    text = page_of(folder)
    try:
        files.write_text(path, text)
    except OSError as error:
        raise UsageError(f"{read.shown(path)}: cannot be written: {error.strerror}") from None
    return path


def show(path: Path) -> None:
    """In the user's browser."""
    if not webbrowser.open(path.resolve().as_uri()):
        raise UsageError(f"--open: found no browser, expected one that can show {path}")


def comparison_page(folder: Path) -> str:
    """Of a comparison's folder."""
    found = read.read_comparison(folder / files.COMPARISON)
    paths = {name: folder / name / files.ANOMALIES for name in found["protocols"]}
    findings = {name: read.read_findings(path) for name, path in paths.items() if isfile(path)}
    return compare_report.render(found, findings)


def sweep_page(folder: Path) -> str:
    """Of a sweep's folder."""
    return sweep_report.render(read.read_sweep(folder / files.POINTS))


def run_page(folder: Path) -> str:
    """Of a run's folder."""
    return render(
        Files(
            read.read_summary(folder),
            read.read_latency(folder / files.LATENCY),
            read.read_timeline(folder / files.TIMELINE),
            read.read_findings(folder / files.ANOMALIES),
            trace_events.read_stories(folder / files.STORIES),
        )
    )


def render(found: Files) -> str:
    """The page: the verdict first, then what figures show, how to get it again last."""
    summary = found.summary
    parts = [
        report_tables.verdict(summary),
        report_tables.over_all_seeds(summary),
        report_tables.overview(summary),
        latency(summary, found.latency),
        timeline(summary, found.timeline),
        phases(summary),
        report_tables.checks(summary),
        report_tables.failures(summary),
        report_tables.faults(summary),
        report_tables.anomalies(summary, found.findings),
        timelines.section_of(found.stories),
        report_tables.dma(summary),
        report_tables.moves(summary),
        report_tables.memory(summary),
        report_tables.replayed(summary),
        report_tables.parameters(summary),
        report_tables.engine(summary),
        report_tables.reproduce(summary),
    ]
    return page(f"{summary['scenario']}: {summary['verdict']}", filter(None, parts))


def latency(summary: Summary, rows: Sequence[LatencyRow]) -> str:
    """How long requests took, failed ones included."""
    title, whole = "Latency (simulated)", summary["latency_seconds"]
    if not rows or not whole["count"]:
        return section(title, paragraph("No conversion was answered."))
    text = (
        "Share of the answered requests, failed ones included, that took longer than a latency. "
        f"Half took longer than {duration(whole['p50'])}, one in a hundred longer than "
        f"{duration(whole['p99'])}, none longer than {duration(whole['max'])}."
    )
    directions = summary["latency_seconds_by_direction"].items()
    lines = [((plots.DIRECTIONS.get(name, name),), values) for name, values in directions]
    return section(
        title,
        figure(plots.latency(rows, "Latency distribution", text), text),
        percentile_table("Latency, simulated", ("direction",), [(("all",), whole), *lines]),
    )


def timeline(summary: Summary, rows: Sequence[TimelineRow]) -> str:
    """What happened when."""
    title = "Over simulated time"
    if not rows:
        return section(title, paragraph("No conversion was requested."))
    answered = sum(row.completed + row.failed for row in rows)
    time = summary["last_answer_seconds"]
    mean = f", {rate(answered / time)} a second on average" if time else ""
    text = (
        f"{number(answered)} requests were answered in {duration(time)} of simulated time{mean}; "
        f"at most {number(max(row.in_flight_peak for row in rows))} were in flight at once."
    )
    return section(title, figure(plots.timeline(rows, "Timeline", text), text))


def phases(summary: Summary) -> str:
    """What each consumer takes."""
    rows = sorted(
        (
            ((consumer, phase), values)
            for phase, consumers in summary["phases"].items()
            for consumer, values in consumers.items()
            if values["count"]
        ),
        # By consumer; the sort keeps the order of the phases.
        key=lambda row: row[0][0],
    )
    if not rows:
        return ""
    (consumer, phase), _ = max(rows, key=lambda row: row[1]["p99"] or 0)
    text = (
        "Simulated time from guest_memfd's question to a consumer's answer. Consumers work side "
        "by side, so these do not add up. "
        f"The longest p99 is that of {consumer} in {phase}."
    )
    title = "Phases by consumer"
    c = summary["conversions"]
    bars = phase_plots.of_consumers(summary["phases"], c["completed"] + c["failed"])
    shares = (
        "What an answered request took of each consumer's simulated time, phase by phase: the sum "
        f"over all its tries. The most is {longest(bars)}."
    )
    return section(
        title,
        figure(phase_plots.stacked(bars, "stacked", "Phases, stacked", shares), shares),
        figure(plots.phases(summary["phases"], title, text), text),
        percentile_table("Time to answer, simulated", ("consumer", "phase"), rows),
    )


def longest(bars: Sequence[phase_plots.Bar]) -> str:
    """Whose bar is longest, in words."""
    name, parts = max(bars, key=lambda bar: sum(bar[1].values()))
    phase = max(parts, key=lambda one: parts[one])
    return f"that of {name}, {duration(sum(parts.values()))}, most of it in {phase}"
