"""report.html: one file for people, made from the other files of a results folder and from nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from workloads import plots
from workloads import result_files as files
from workloads.figures import NONE, duration, number, rate, size
from workloads.report_html import command, figure, page, paragraph, section, table
from workloads.report_html import verdict as verdict_box
from workloads.result_files import FindingLine, LatencyRow, TimelineRow
from workloads.tally import CHECKS
from workloads.verdict import show_value, where

Summary = Mapping[str, Any]
RANKS = ("mean", "p50", "p90", "p99", "p999", "max")
HEAD = ("count", "mean", "p50", "p90", "p99", "p99.9", "max")
MEANS = {
    "valid": "Every invariant held, nothing happened that the protocol excludes, every check passed.",
    "violated": "A check failed, or something happened that must not:",
    "unknown": "The run did not finish. The figures are those of the part that was simulated.",
}
NOTHING = "No conversion was answered."


class Files(NamedTuple):
    """What a report is made from."""

    summary: Summary
    latency: Sequence[LatencyRow]
    timeline: Sequence[TimelineRow]
    findings: Sequence[FindingLine]


def rebuild(result: str | Path) -> Path:
    """Write report.html into a results folder, from what is in it; returns its path."""
    folder = files.folder_of(result)
    summary = files.read_summary(folder)
    found = Files(
        summary,
        files.read_latency(folder / files.LATENCY),
        files.read_timeline(folder / files.TIMELINE),
        files.read_findings(folder / files.ANOMALIES),
    )
    path = folder / files.REPORT
    files.write_text(path, render(found))
    return path


def render(found: Files) -> str:
    """The page."""
    summary = found.summary
    parts = [
        verdict_box(summary["scenario"], summary["verdict"], MEANS[summary["verdict"]], summary["reasons"]),
        overview(summary),
        parameters(summary),
        checks(summary),
        latency(summary, found.latency),
        timeline(summary, found.timeline),
        phases(summary),
        failures(summary),
        anomalies(summary, found.findings),
        memory(summary),
        replayed(summary),
        engine(summary),
        reproduce(summary),
    ]
    return page(f"{summary['scenario']}: {summary['verdict']}", filter(None, parts))


def overview(summary: Summary) -> str:
    """What was run and how much of it."""
    c = summary["conversions"]
    ended = f"{number(c['completed'])} completed, {number(c['failed'])} failed"
    rows = [
        ("protocol", summary["protocol"]),
        ("seed", str(summary["seed"])),
        ("simulated time", duration(summary["simulated_seconds"])),
        ("conversions", f"{number(c['requested'])} requested: {ended}, {number(c['unfinished'])} unfinished"),
        ("redundant", f"{number(c['redundant'])} found the whole range in the wanted state"),
        ("retries", number(c["retries"])),
        ("in flight", f"{number(c['in_flight_peak'])} at most"),
        ("digest", summary["digest"]),
    ]
    return section("What was simulated", table("The run", ("", ""), rows, texts=(1,)))


def parameters(summary: Summary) -> str:
    """What differs from the defaults."""
    rows = [(p["key"], p["value"], p["default"]) for p in summary["parameters"]]
    return section("Parameters", table("Keys that are not at their default", ("key", "value", "default"), rows, (1, 2)))


def checks(summary: Summary) -> str:
    """Limits of the scenario."""
    rows = [
        (r["name"], r["limit"], NONE if r["value"] is None else shown(r), "passed" if r["ok"] else "FAILED")
        for r in summary["checks"]
    ]
    return section("Checks", table("Limits on the results", ("metric", "limit", "value", "outcome"), rows, (1, 3)))


def shown(row: Mapping[str, Any]) -> str:
    """The value of a check; one that this version does not know as it stands."""
    try:
        return show_value(row["name"], row["value"])
    except KeyError:
        return str(row["value"])


def latency(summary: Summary, rows: Sequence[LatencyRow]) -> str:
    """How long requests took, failed ones included."""
    whole = summary["latency_seconds"]
    if not rows or not whole["count"]:
        return section("Latency (simulated)", paragraph(NOTHING))
    text = (
        "Share of the answered requests, failed ones included, that took longer than a latency. "
        f"Half took longer than {duration(whole['p50'])}, one in a hundred longer than "
        f"{duration(whole['p99'])}, none longer than {duration(whole['max'])}."
    )
    lines = [("all", whole), *summary["latency_seconds_by_direction"].items()]
    ranks = table("Latency, simulated", ("direction", *HEAD), [(plots.DIRECTIONS.get(name, name), *cells(p)) for name, p in lines])
    return section("Latency (simulated)", figure(plots.latency(rows, "Latency distribution", text), text), ranks)


def cells(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Count and percentiles as a table's cells."""
    return (number(values["count"]), *(duration(values[rank]) for rank in RANKS))


def timeline(summary: Summary, rows: Sequence[TimelineRow]) -> str:
    """What happened when."""
    if not rows:
        return section("Over simulated time", paragraph("No conversion was requested."))
    answered = sum(row.completed + row.failed for row in rows)
    time = summary["simulated_seconds"]
    mean = f", {rate(answered / time)} a second on average" if time else ""
    text = (
        f"{number(answered)} requests were answered in {duration(time)} of simulated time{mean}; "
        f"at most {number(max(row.in_flight_peak for row in rows))} were in flight at once."
    )
    return section("Over simulated time", figure(plots.timeline(rows, "Timeline", text), text))


def phases(summary: Summary) -> str:
    """What each consumer takes."""
    rows = [
        (consumer, phase, *cells(values))
        for phase, consumers in summary["phases"].items()
        for consumer, values in consumers.items()
        if values["count"]
    ]
    if not rows:
        return ""
    slow = max(rows, key=lambda row: summary["phases"][row[1]][row[0]]["p99"])
    text = (
        "Simulated time from guest_memfd's question to a consumer's answer. Consumers work side by side, so these do not add up. "
        f"The longest p99 is that of {slow[0]} in {slow[1]}."
    )
    title = "Phases by consumer"
    return section(
        title,
        figure(plots.phases(summary["phases"], title, text), text),
        table("Time to answer, simulated", ("consumer", "phase", *HEAD), sorted(rows), (1,)),
    )


def failures(summary: Summary) -> str:
    """Failed attempts by where and why."""
    rows = [(f["reason"], f["consumer"], f["phase"], number(f["count"])) for f in summary["failed_attempts"]]
    note = paragraph("Attempts, not requests: a request that is retried can fail several times and complete.")
    return section("Failures", *([note] if rows else [paragraph("No attempt failed.")]), table("Failed attempts", ("reason", "consumer", "phase", "count"), rows, (1, 2)))


def anomalies(summary: Summary, findings: Sequence[FindingLine]) -> str:
    """What was found, what it means, and the first cases."""
    counts = {**summary["invariant_violations"], **summary["anomalies"]}
    admitted = {finding.id for finding in findings if finding.admitted}
    rows = [
        (name, meaning(name), number(count), "admitted" if name in admitted else "EXCLUDED")
        for name, count in counts.items()
    ]
    cases = [(f.id, where(f._asdict()), f.text) for f in findings]
    return section(
        "Anomalies and invariants",
        "" if rows else paragraph("No anomaly was seen and no invariant broken."),
        table(f"Against the definition of {summary['protocol']}", ("id", "meaning", "count", "protocol"), rows, (1, 3)),
        table("The first of each kind", ("id", "simulated time, VM", "what"), cases, (1, 2)),
    )


def meaning(name: str) -> str:
    """Of an id, also of one from another version."""
    return CHECKS[name].meaning if name in CHECKS else NONE
