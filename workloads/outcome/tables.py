"""The report's sections that are text and tables."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from workloads.outcome import drain, warm_up
from workloads.outcome.bottleneck import by_partition, kept
from workloads.outcome.compare_rows import FIGURES, value_at
from workloads.outcome.faults import both, rule_name, share
from workloads.outcome.figures import NONE, duration, lost, number, rate, size, some
from workloads.outcome.files import FindingLine
from workloads.outcome.html import command, on_request, paragraph, section, table
from workloads.outcome.html import verdict as verdict_box
from workloads.outcome.moves import MOVE_COUNTS
from workloads.outcome.seeds import over_seeds, seed_reasons, spread
from workloads.outcome.settings import of_summary
from workloads.outcome.stories import stories
from workloads.outcome.tally import admitted, meaning
from workloads.outcome.verdict import CHECKED, check_value, where

Summary = Mapping[str, Any]
RANKS = {"mean": "mean", "p50": "p50", "p90": "p90", "p99": "p99", "p999": "p99.9", "max": "max"}
VERDICTS = {
    "valid": "Nothing was found but what the protocol's own definition admits, and every check passed.",
    "violated": "A promise was broken, or a check failed:",
    "unknown": "The run did not finish. All figures are of the part that was simulated.",
}


def verdict(summary: Summary) -> str:
    """The name of the run and what became of it."""
    seeds = summary.get("seeds")
    if seeds:
        word = seeds["verdict"]
        text = f"{VERDICTS[word]} The worst of {some(seeds['wanted'], 'seed')}."
        return verdict_box(summary["scenario"], word, text, seed_reasons(seeds))
    word = summary["verdict"]
    return verdict_box(summary["scenario"], word, VERDICTS[word], summary["reasons"])


def over_all_seeds(summary: Summary) -> str:
    """Means and intervals, where several seeds were run; everything else is of the first one."""
    seeds = summary.get("seeds")
    if not seeds or not seeds["figures"]:
        return ""
    found = over_seeds(summary)
    rows = [(figure.label.strip(), figure.show(value_at(found, figure.path))) for figure in FIGURES]
    rows += [(both(row), share(row)) for row in found["faults"]]
    rows += [(f"{n} {meaning(n)}", number(count)) for n, count in found["anomalies"].items()]
    runs = [(str(run["seed"]), run["verdict"], run["digest"]) for run in seeds["runs"]]
    text = "The rest of this page is the first seed's; each of the others has a folder with a page of its own."
    return section(
        "Over all seeds",
        *map(paragraph, spread(seeds["count"])),
        paragraph(text),
        table("Means", ("", ""), rows, texts=(1,), heads=False),
        table("Seeds", ("seed", "verdict", "digest"), runs, texts=(1, 2)),
    )


def facts(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """A section of names and texts."""
    return section(title, table(title, ("", ""), rows, texts=(1,), heads=False))


def percentile_table(
    caption: str,
    names: tuple[str, ...],
    rows: Iterable[tuple[tuple[str, ...], Mapping[str, Any]]],
) -> str:
    """A line of percentiles for each name."""
    cells = [
        (*name, number(values["count"]), *(duration(values[rank]) for rank in RANKS))
        for name, values in rows
    ]
    texts = range(1, len(names))
    return table(caption, (*names, "count", *RANKS.values()), cells, texts)


def overview(summary: Summary) -> str:
    """What was run and how much of it."""
    c = {key: number(value) for key, value in summary["conversions"].items()}
    return facts(
        "What was simulated",
        [
            ("protocol", summary["protocol"]),
            ("seed", str(summary["seed"])),
            ("simulated time", duration(summary["simulated_seconds"])),
            *([("drained", drain.in_words(summary))] if "drain" in summary else []),
            *([("warm-up", warm_up.in_words(summary))] if "warm_up" in summary else []),
            ("requested", f"{c['requested']} conversions"),
            ("completed", f"{c['completed']}, of which {c['redundant']} were redundant"),
            ("failed", c["failed"]),
            ("unfinished", c["unfinished"]),
            ("retries", c["retries"]),
            ("in flight", f"{c['in_flight_peak']} at most"),
            ("VMs lost", lost(summary.get("vms_lost", 0), summary.get("guest_faults", 0))),
            *callbacks(summary),
        ],
    )


def callbacks(summary: Summary) -> Iterable[tuple[str, str]]:
    """Callers of mmu_notifiers, where there were any."""
    if not summary.get("notifier_calls"):
        return
    failed = summary["no_fail_callers_failed"]
    sites = ", ".join(f"{site} {number(count)}" for site, count in failed.items())
    yield "mmu_notifiers", f"{number(summary['notifier_calls'])} calls"
    yield (
        "no-fail callers",
        f"{number(summary['no_fail_failures'])} got an error{': ' if sites else ''}{sites}",
    )


def parameters(summary: Summary) -> str:
    """What differs from the defaults."""
    rows = [(p["key"], p["value"], p["default"]) for p in summary["parameters"]]
    plan = [row for row in rows if row[0].startswith("fault.")]
    head = ("key", "value", "default")
    return section(
        "Parameters",
        table(
            "Keys that are not at their defaults",
            head,
            [row for row in rows if row not in plan],
            (1, 2),
        ),
        on_request(
            f"The fault plan: {some(len(plan), 'key')}",
            table("Keys of the fault plan", head, plan, (1, 2)),
        ),
    )


def checks(summary: Summary) -> str:
    """Limits of the scenario."""
    rows = [
        (
            row["name"],
            row["limit"],
            check_value(row),
            CHECKED[row["ok"]],
        )
        for row in summary["checks"]
    ]
    head = ("metric", "limit", "value", "outcome")
    return section("Checks", table("Limits that the scenario sets", head, rows, (1, 3)))


def failures(summary: Summary) -> str:
    """Failed attempts by where and why."""
    rows = [
        (row["reason"], row["consumer"], row["phase"], number(row["count"]))
        for row in summary["failed_attempts"]
    ]
    text = (
        "Attempts, not requests: one that is retried can fail several times and complete, and one "
        "that is refused because its VM is dead was no attempt."
    )
    head = ("reason", "consumer", "phase", "attempts")
    return section(
        "Failures",
        paragraph(text if rows else "No attempt failed."),
        table("Failed attempts", head, rows, (1, 2)),
    )


def faults(summary: Summary) -> str:
    """How often each rule of the fault plan struck."""
    found = summary.get("faults", ())
    rows = [
        (rule_name(row), row["point"], number(row["struck"]), number(row["opportunities"]))
        for row in found
    ]
    if not rows:
        return ""
    never = ", ".join(both(row) for row in found if not row["struck"])
    return section(
        "Faults",
        paragraph(f"Never struck: {never}." if never else "Every rule struck."),
        table("Rules of the fault plan", ("rule", "point", "struck", "of"), rows, (1,)),
    )


def anomalies(summary: Summary, findings: Sequence[FindingLine]) -> str:
    """What was found, what it means, and the first cases."""
    counts = {**summary["invariant_violations"], **summary["anomalies"]}
    protocol, settings = summary["protocol"], of_summary(summary)
    rows = [
        (
            name,
            meaning(name),
            number(count),
            "admitted" if admitted(name, protocol, settings) else "EXCLUDED",
        )
        for name, count in counts.items()
    ]
    cases = [
        (f.id, where(msgspec.structs.asdict(f)), f"{meaning(f.id)}: {f.text}") for f in findings
    ]
    about = f"Admitted or excluded by the definition of {protocol} with these parameters"
    return section(
        "Anomalies and invariants",
        "" if rows else paragraph("No anomaly was seen, and no invariant was broken."),
        table(about, ("id", "meaning", "count", "protocol"), rows, (1, 3)),
        table("The first of each kind", ("id", "when and where", "what"), cases, (1, 2)),
        *stories(findings),
    )


def dma(summary: Summary) -> str:
    """What became of the DMA of streams."""
    found = summary.get("dma")
    if not found:
        return ""
    rows = [
        ("done", number(found["done"])),
        ("by a stale translation", number(found["stale"])),
        ("DMAR faults", number(found["fault"])),
    ]
    held = [(("held for a window",), found["held_seconds"])]
    return section(
        "DMA",
        table("DMAs of the devices' streams", ("", ""), rows, heads=False),
        percentile_table("Streams that stood still", ("",), held),
    )


def moves(summary: Summary) -> str:
    """What became of VMs that were to move to other hosts."""
    made = summary.get("moves")
    if not made:
        return ""
    counts: Mapping[str, Any] = {**made}
    rows = [(name.replace("_", " "), number(counts[name])) for name in MOVE_COUNTS]
    times = [
        (("VMs stood still",), made["downtime_seconds"]),
        (("hosts were emptied",), made["evacuation_seconds"]),
    ]
    return section(
        "Moves",
        table("VMs that were to move to another host", ("", ""), rows, heads=False),
        percentile_table("How long it took (simulated)", ("",), times),
    )


def memory(summary: Summary) -> str:
    """Where memory ended up."""
    found = summary["memory"]
    return facts(
        "Memory at the end",
        [
            ("private", size(found["private_bytes"])),
            ("shared", size(found["shared_bytes"])),
            ("fragments", f"{number(found['fragments'])} runs of private or shared memory"),
            ("poisoned", size(found["poisoned_bytes"])),
            ("leaked", size(found["leaked_bytes"])),
            (
                "huge mappings lost",
                f"{number(found['huge_mappings_lost'])} split for conversions, for good",
            ),
        ],
    )


def replayed(summary: Summary) -> str:
    """What the logs of a replay held."""
    found = summary.get("input")
    if not found:
        return ""
    keys = ("files", "lines", "conversions", "ignored", "damaged")
    rows = [(key, number(found[key])) for key in keys]
    damaged = [
        (str(line.get("file")), str(line.get("line")), str(line.get("reason")))
        for line in found["damaged_lines"]
    ]
    return section(
        "Input",
        table("What the logs held", ("", ""), rows, heads=False),
        table("The first damaged lines", ("file", "line", "reason"), damaged, (2,)),
    )


def engine(summary: Summary) -> str:
    """What it took to compute this; no simulated time among it."""
    found = summary["engine"]
    versions = ", ".join(f"{name} {text or NONE}" for name, text in summary["versions"].items())
    return facts(
        "Engine (wall clock)",
        [
            ("executor", f"{found['executor']}, placement {found['placement']}"),
            ("partitions", f"{number(found['partitions'])} on {some(found['nodes'], 'node')}"),
            ("wall time", duration(found["wall_seconds"])),
            ("time of partitions", by_partition(found)),
            ("bottleneck", found["bottleneck"]),
            ("events", f"{number(found['events'])}, {rate(found['events_per_second'])} a second"),
            ("conversions", f"{rate(found['conversions_per_second'])} a second"),
            ("windows", number(found["windows"])),
            ("messages across", number(found["cross_messages"])),
            (
                "recoveries",
                f"{number(found['recoveries'])}, {number(found['events_redone'])} events redone",
            ),
            ("checkpoints", kept(found)),
            ("memory", f"{size(found['peak_rss_bytes'])} resident at the peak"),
            ("versions", versions),
        ],
    )


def reproduce(summary: Summary) -> str:
    """The command that runs it again, and holds it against this run's digest."""
    digest = summary["digest"]
    if summary["finished"]:
        text = "In the folder of this report. It fails unless every event is the same again:"
        line = f"gmemsim run scenario.toml --expect-digest {digest}"
    else:
        text = (
            "In the folder of this report. How far a run came that was stopped is not repeatable:"
        )
        line = "gmemsim run scenario.toml"
    return section("How to reproduce it", paragraph(text), command(line))
