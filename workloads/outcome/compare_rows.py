"""The comparison's figures: a row for each, a cell for each protocol; the terminal and the report show the same."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from workloads.outcome.comparison import protocol_summaries, verdict_of
from workloads.outcome.faults import rule_name
from workloads.outcome.figures import duration, number, size
from workloads.outcome.interval import Interval
from workloads.outcome.seeds import over_seeds
from workloads.outcome.tally import CHECKS, admitted, meaning

Summary = Mapping[str, Any]
EXCLUDED = "! "
STRUCK = "faults struck"
BY = "latency_seconds_by_direction"
WAYS = {"private_to_shared": "to shared", "shared_to_private": "to private"}


def count(value: int | Interval | None) -> str:
    """A number; over seeds that rarely have it, in how many."""
    if isinstance(value, Interval) and value.rare:
        return f"{value.seen} of {value.runs}"
    return number(value)


class Cell(NamedTuple):
    """`style` is a verdict's word, or empty."""

    text: str
    style: str = ""


class Row(NamedTuple):
    """A figure's name and a cell for each protocol; what an id means is told beside it."""

    label: str
    cells: list[Cell]
    meaning: str = ""


class Figure(NamedTuple):
    """One figure of a summary. `rare` ones are shown only where some protocol has it."""

    label: str
    show: Callable[[Any], str]
    path: tuple[str, ...]
    rare: bool = False


FIGURES = (
    Figure("asked", number, ("conversions", "asked")),
    Figure("  cut short", number, ("conversions", "cut_short"), rare=True),
    Figure("  on top", number, ("conversions", "on_top"), rare=True),
    Figure("requested", number, ("conversions", "requested")),
    Figure("completed", number, ("conversions", "completed")),
    Figure("failed", number, ("conversions", "failed")),
    Figure("  at dead VMs", count, ("conversions", "at_dead_vms")),
    Figure("unfinished", count, ("conversions", "unfinished"), rare=True),
    Figure("retries", number, ("conversions", "retries")),
    Figure("latency p50", duration, ("latency_seconds", "p50")),
    *(
        Figure(f"  p50 {words}", duration, (BY, way, "p50"), rare=True)
        for way, words in WAYS.items()
    ),
    Figure("latency p99", duration, ("latency_seconds", "p99")),
    *(
        Figure(f"  p99 {words}", duration, (BY, way, "p99"), rare=True)
        for way, words in WAYS.items()
    ),
    Figure("huge maps lost", number, ("memory", "huge_mappings_lost")),
    Figure("leaked", size, ("memory", "leaked_bytes")),
    Figure("poisoned", size, ("memory", "poisoned_bytes")),
    Figure("guests killed", count, ("vms_lost",)),
    Figure("faults retried", number, ("page_faults_retried",), rare=True),
    Figure("no-fail failed", count, ("no_fail_failures",)),
    Figure("VMs placed", number, ("arrivals", "placed"), rare=True),
    Figure("  after, p99", duration, ("arrivals", "placement_seconds", "p99"), rare=True),
    Figure("VMs pending", number, ("arrivals", "pending"), rare=True),
    Figure("VMs moved", number, ("moves", "moved"), rare=True),
    Figure("  still for, p99", duration, ("moves", "downtime_seconds", "p99"), rare=True),
    Figure("imports failed", number, ("moves", "import_failed"), rare=True),
)
LEGEND = {
    "seeds": "so many were run to their end, and no other is in the figures",
    "asked": "what the load wanted converted, in requests of 2 MiB at most",
    "cut short": "of these, what a MapGPA did not come to: it failed, or its VM died, before",
    "on top": "what guests asked for again or took back, and memory faults that convert",
    "requested": "of the VMM: asked, less cut short, and on top",
    "at dead VMs": "failed because the VM was dead or died",
    "huge maps lost": "2 MiB mappings split for a conversion, refused or not; nothing promotes them again",
    "guests killed": "VMs that a failure has ended",
    "faults retried": "page faults that KVM sent back: a conversion had outdated what they had looked up",
    "no-fail failed": "callers that cannot tolerate failure and met it",
    "VMs placed": "requests for a VM that a host has taken; after so long, as the controller learns",
    "VMs pending": "requests for a VM that found no host until the end",
    "VMs moved": "to another host; they and those whose move failed stood still for so long",
    "imports failed": "moves that ended because the target could not convert or accept what came",
}


def rows(found: Mapping[str, Any]) -> list[Row]:
    """Every row, over all protocols that ran."""
    told = {name: over_seeds(one) for name, one in protocol_summaries(found).items()}
    verdicts = [verdict_of(summary) for summary in told.values()]
    return [
        Row("verdict", [Cell(word, word) for word in verdicts]),
        *_seeds(list(told.values())),
        *_figures(list(told.values())),
        *_faults(list(told.values())),
        *_findings("invariants", "invariant_violations", told),
        *_findings("anomalies", "anomalies", told),
    ]


def _seeds(told: Sequence[Summary]) -> Iterator[Row]:
    """How many were run to their end, where some were not."""
    seeds = [summary["seeds"] for summary in told if "seeds" in summary]
    if any(one["count"] < one["wanted"] for one in seeds):
        yield Row("seeds", [Cell(f"{one['count']} of {one['wanted']}") for one in seeds])


def _figures(told: Sequence[Summary]) -> Iterator[Row]:
    for figure in FIGURES:
        values = [value_at(summary, figure.path) for summary in told]
        if not figure.rare or any(values):
            yield Row(figure.label, [Cell(figure.show(value)) for value in values])


def value_at(summary: Summary, path: Sequence[str]) -> Any:
    """What stands there; None where a summary of an older version lacks it."""
    value: Any = summary
    for key in path:
        value = None if value is None else value.get(key)
    return value


def _faults(told: Sequence[Summary]) -> Iterator[Row]:
    """How often each rule of the fault plan struck. All protocols have the same rules."""
    rules = [summary.get("faults", ()) for summary in told]
    for place, row in enumerate(rules[0]):
        cells = [_struck(found[place]) for found in rules]
        if not place:
            yield Row(STRUCK, [Cell("") for _ in told])
        yield Row(f"  {rule_name(row)}", cells)


def _struck(row: Mapping[str, Any]) -> Cell:
    return Cell(count(row["struck"]) if row["opportunities"] else "-")


def _findings(title: str, table: str, told: Mapping[str, Summary]) -> Iterator[Row]:
    """A row for each id that any protocol shows; what a protocol's own definition excludes is marked."""
    ids = seen(told.values(), table)
    if not ids:
        yield Row(title, [Cell("none") for _ in told])
        return
    yield Row(title, [Cell("") for _ in told])
    for name in ids:
        cells = [_finding(name, protocol, one[table].get(name)) for protocol, one in told.items()]
        yield Row(f"  {name}", cells, meaning(name))


def _finding(name: str, protocol: str, found: int | Interval | None) -> Cell:
    if not found:
        return Cell("-")
    allowed = admitted(name, protocol)
    return Cell(count(found)) if allowed else Cell(EXCLUDED + count(found), "violated")


def seen(told: Any, table: str) -> list[str]:
    """Ids in the order of the checkers' own table."""
    found = {name for summary in told for name, count in summary[table].items() if count}
    order = {name: place for place, name in enumerate(CHECKS)}
    return sorted(found, key=lambda name: (order.get(name, len(order)), name))


def _when(rule: Mapping[str, Any], parameters: Iterable[Mapping[str, str]]) -> Iterator[str]:
    """What else the scenario says of a rule of the fault plan: several can be of one point."""
    for row in parameters:
        section, _, key = row["key"].rpartition(".")
        if (
            section == f"fault.{rule['rule']}"
            and key not in ("point", "also")
            and not rule["place"]
        ):
            yield f"{key} = {row['value']}"


def legend(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the short labels mean, and which point a rule of the fault plan is about."""
    told = [over_seeds(one) for one in protocol_summaries(found).values()]
    rules = told[0].get("faults", ()) if told else ()
    parameters = told[0].get("parameters", ()) if told else ()
    points = [(rule_name(row), ", ".join([row["point"], *_when(row, parameters)])) for row in rules]
    if points:
        points.insert(
            0, (STRUCK, "how often, by rule of the fault plan; - where it met no opportunity")
        )
    shown = {row.label.strip() for row in rows(found)}
    labels = [(name, text) for name, text in LEGEND.items() if name in shown]
    return [*labels, *points]
