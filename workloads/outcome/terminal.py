"""What a run prints for people: the verdict first, then one table, then where the results are."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from workloads.outcome import arrivals, drain, faults, moves, warm_up
from workloads.outcome.bottleneck import by_partition, kept
from workloads.outcome.figures import behind, duration, lost, number, rate, size, some
from workloads.outcome.progress import Progress
from workloads.outcome.seeds import over_seeds, seed_reasons
from workloads.outcome.settings import of_summary
from workloads.outcome.tally import admitted, meaning
from workloads.outcome.verdict import CHECKED, check_value
from workloads.wording import printable

__all__ = ["Progress", "show"]

COLUMNS_MAX = 100
STYLES = {"valid": "bold green", "violated": "bold red", "unknown": "bold yellow"}
DIRECTIONS = {"private_to_shared": "to shared", "shared_to_private": "to private"}
RANKS = ("p50", "p90", "p99", "max")
LATENCY_WIDTH = 11
Summary = Mapping[str, Any]


def show(summary: Summary, folder: Path, stream: TextIO | None = None, note: str = "") -> None:
    """Print it, with intervals where several seeds were run."""
    write(verdict_and_table(over_seeds(summary), folder, note), stream or sys.stdout, COLUMNS_MAX)


def write(found: RenderableType, stream: TextIO, widest: int) -> None:
    """Without a terminal no escape codes, whatever the environment asks for."""
    terminal = stream.isatty()
    console = Console(
        file=stream,
        force_terminal=terminal,
        width=None if terminal else widest,
        highlight=False,
        markup=False,
        emoji=False,
    )
    console.width = min(console.width, widest)
    with console.capture() as text:
        console.print(found, crop=False)
    # rich fills its tables up to the right edge.
    stream.write("".join(f"{line.rstrip()}\n" for line in text.get().splitlines()))
    stream.flush()


def verdict_and_table(summary: Summary, folder: Path, note: str) -> RenderableType:
    """For a rich console of any width."""
    notes = [Text(note)] if note else []
    how = counterexample(summary)
    return Group(
        *verdict(summary), Text(), *how, table(summary), Text(), *notes, results_line(folder)
    )


def results_line(folder: Path) -> Text:
    """Where everything is."""
    return whole(f"results: {printable(str(folder))}")


def whole(text: str) -> Text:
    """To be copied: longer than the terminal is wide if need be, but neither cut nor broken."""
    return Text(text, overflow="ignore", no_wrap=True)


def verdict(summary: Summary) -> Iterator[RenderableType]:
    """The word, what it is about, and why: of several seeds, why not the first one that is not valid."""
    name, seeds = f"{summary['scenario']}, protocol {summary['protocol']}", summary.get("seeds")
    if not seeds:
        about = f"{name}, seed {summary['seed']}"
        yield from headline(summary["verdict"], about, summary["reasons"])
        return
    about = f"{name}, {number(seeds['count'])} of {some(seeds['wanted'], 'seed')} from {summary['seed']}"
    yield from headline(seeds["verdict"], about, seed_reasons(seeds))


def counterexample(summary: Summary) -> Iterator[RenderableType]:
    """How the first finding that is excluded came about, and how to see it again."""
    found = summary.get("counterexample")
    if not found or not found["story"] or "seeds" in summary:
        return
    yield Padding(
        Text(f"How {found['id']} ({meaning(found['id'])}) came about in {found['vm']}:"),
        (0, 0, 0, 2),
    )
    for line in found["story"]:
        yield whole(f"    {printable(line)}")
    if found.get("replay"):
        yield whole(f"  again: {found['replay']}")
    yield Text()


def headline(
    word: str, about: str, reasons: Iterable[str], whole: bool = True
) -> Iterator[RenderableType]:
    """The verdict and the reasons under it; one line each unless they are to be told as a whole."""
    yield Text(word.upper(), STYLES[word]).append(f"  {printable(about)}", "default")
    for reason in reasons:
        text = Text(printable(reason), no_wrap=not whole, overflow=None if whole else "ellipsis")
        yield Padding(text, (0, 0, 0, 2))


def table(summary: Summary) -> Table:
    """What was counted, a line for each kind of figure."""
    found = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    found.add_column(no_wrap=True)
    found.add_column(overflow="fold")
    for name, text in rows(summary):
        lines = "\n".join(map(printable, text.split("\n")))
        found.add_row(Text(name), Text(lines))
    return found


def own_costs(summary: Summary) -> Iterator[tuple[str, str]]:
    """What the scenario says in place of the cost table."""
    for row in summary.get("parameters", ()):
        if row["key"] == "costs.override":
            yield "own costs", row["value"].strip("{ }").replace('"', "")


def rows(summary: Summary) -> Iterator[tuple[str, str]]:
    """(name, text) of every line."""
    c = {key: number(value) for key, value in summary["conversions"].items()}
    dead = f" ({c['at_dead_vms']} at dead VMs)" if summary["conversions"]["at_dead_vms"] else ""
    yield (
        "conversions",
        f"{c['requested']} requested: {c['completed']} completed ({c['redundant']} redundant), "
        f"{c['failed']} failed{dead}, {c['unfinished']} unfinished; "
        f"{c['retries']} {'retry' if summary['conversions']['retries'] == 1 else 'retries'}, "
        f"{c['in_flight_peak']} in flight at most",
    )
    yield from own_costs(summary)
    yield "failed attempts", counts(summary["failures"])
    if summary["faults"]:
        yield "faults", faults.in_short(summary["faults"])
    yield from latencies(summary)
    yield from speeds(summary)
    if summary["boot_seconds"]["count"]:
        boots = summary["boot_seconds"]
        cells = ", ".join(f"{rank} {duration(boots[rank])}" for rank in RANKS)
        yield "boots", f"{number(boots['count'])}: {cells}"
    if summary["vms_lost"]:
        yield "VMs lost", lost(summary["vms_lost"], summary.get("guest_faults", 0))
    if summary.get("vms_admitted"):
        yield "VMs admitted", f"{summary['vms_admitted']} in the place of others"
    if "arrivals" in summary:
        yield "arrivals", arrivals.in_words(summary["arrivals"])
    if "moves" in summary:
        yield "moves", moves.in_words(summary["moves"])
    if summary["no_fail_failures"]:
        failed = f"{number(summary['no_fail_failures'])} of {number(summary['notifier_calls'])}"
        yield (
            "no-fail callers",
            f"{failed} got an error: {counts(summary['no_fail_callers_failed'])}",
        )
    if "dma" in summary:
        yield "DMA", dma(summary["dma"])
    yield from findings(summary)
    for check in summary["checks"]:
        outcome, has = CHECKED[check["ok"]], check_value(check)
        yield "check", f"{outcome}: {check['name']} {check['limit']}: {has}"
    yield from places(summary)
    of = "" if summary["finished"] else " (of the part that ran)"
    yield "digest", summary["digest"] + (f" (seed {summary['seed']})" if "seeds" in summary else of)


def dma(found: Mapping[str, Any]) -> str:
    """What became of the DMA of streams."""
    held = found["held_seconds"]
    windows = ""
    if held["count"]:
        cells = ", ".join(f"{rank} {duration(held[rank])}" for rank in RANKS)
        windows = f"\n{number(held['count'])} windows moved, streams held: {cells}"
    return (
        f"{number(found['done'])} done, {number(found['stale'])} by a stale translation, "
        f"{number(found['fault'])} DMAR faults{windows}"
    )


def counts(found: Mapping[str, int]) -> str:
    """EAGAIN 12, ENOMEM 3."""
    return ", ".join(f"{name} {number(count)}" for name, count in found.items()) or "none"


def latencies(summary: Summary) -> Iterator[tuple[str, str]]:
    """Simulated latency by direction, in columns."""
    lines = {
        DIRECTIONS.get(direction, direction): [duration(values[rank]) for rank in RANKS]
        for direction, values in summary["latency_seconds_by_direction"].items()
    }
    width = max([LATENCY_WIDTH, *(len(cell) + 2 for cells in lines.values() for cell in cells)])
    yield "latency", "".join(rank.rjust(width) for rank in RANKS)
    for name, cells in lines.items():
        yield f"  {name}", "".join(cell.rjust(width) for cell in cells)
    if "warm_up" in summary:
        yield "warm-up", warm_up.in_words(summary)


def speeds(summary: Summary) -> Iterator[tuple[str, str]]:
    """Answers by simulated and by wall-clock time, never in one figure."""
    time, engine = duration(summary["simulated_seconds"]), summary["engine"]
    simulated, last = (
        rate(summary["answered_per_simulated_second"]),
        duration(summary["last_answer_seconds"]),
    )
    until = f" up to the last answer, at {last}" if last != time else ""
    yield "simulated", f"{time}; {simulated} conversions/s of simulated time{until}"
    if "drain" in summary:
        yield "drained", drain.in_words(summary)
    wall, speed = duration(engine["wall_seconds"]), rate(engine["conversions_per_second"])
    yield (
        "wall clock",
        f"{wall}; {speed} conversions/s, {rate(engine['events_per_second'])} events/s"
        f"{behind(engine.get('behind_pace_seconds'))}",
    )


def findings(summary: Summary) -> Iterator[tuple[str, str]]:
    """Anomalies and broken invariants by their meaning."""
    found = {**summary["invariant_violations"], **summary["anomalies"]}
    protocol, settings = summary["protocol"], of_summary(summary)
    lines = [
        f"{name} {meaning(name)}: {number(count)}"
        + (" (admitted)" if admitted(name, protocol, settings) else " (EXCLUDED)")
        for name, count in found.items()
    ]
    yield "anomalies", "\n".join(lines) or "none"


def places(summary: Summary) -> Iterator[tuple[str, str]]:
    """Memory, input and engine."""
    memory, engine = summary["memory"], summary["engine"]
    yield (
        "memory",
        f"private {size(memory['private_bytes'])}, shared {size(memory['shared_bytes'])} "
        f"in {some(memory['fragments'], 'fragment')}; poisoned {size(memory['poisoned_bytes'])}, "
        f"leaked {size(memory['leaked_bytes'])}; "
        f"{some(memory['huge_mappings_lost'], 'huge mapping')} lost",
    )
    if "input" in summary:
        found = summary["input"]
        counted = [some(found[f"{noun}s"], noun) for noun in ("file", "line", "conversion")]
        rest = [f"{number(found[key])} {key}" for key in ("ignored", "damaged")]
        yield "input", ", ".join(counted + rest)
    by = "" if engine["placement"] == "packed" else f" by {engine['placement']}"
    yield (
        "engine",
        f"{engine['executor']}, {some(engine['partitions'], 'partition')}{by} on "
        f"{some(engine['nodes'], 'node')}, {some(engine['events'], 'event')}, "
        f"{size(engine['peak_rss_bytes'])} of memory",
    )
    if engine["partitions"] > 1:
        yield "partitions", by_partition(engine)
        yield "bottleneck", engine["bottleneck"]
    if engine["lookahead_seconds"] is not None and engine["partitions"] > 1:
        yield (
            "lookahead",
            f"{duration(engine['lookahead_seconds'])} by the links between partitions, "
            f"{some(engine['windows'], 'window')}, {some(engine['cross_messages'], 'message')} between them",
        )
    if engine["recoveries"]:
        lost = some(engine["recoveries"], "worker")
        yield "losses", f"{lost} lost and replaced, {some(engine['events_redone'], 'event')} redone"
    if engine["checkpoint_error"] or (engine["executor"] == "ray" and engine["checkpoints"]):
        yield "checkpoints", kept(engine)
