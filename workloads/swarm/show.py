"""What a swarm came to, in a terminal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workloads.wording import printable

WORDS = {"fault_points": "fault points", "table_rows": "table rows", "anomalies": "anomalies"}
WIDTH = 96
FAILURES_MAX = 20
ROWS_MAX = 30


def show(found: dict[str, Any], folder: Path) -> None:
    """All of it."""
    for line in lines(found):
        print(line)
    print(f"results: {folder}", flush=True)


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The verdict, each way to fail with its command, and what was reached and what never."""
    runs = f"{found['runs']:,} runs from seed {found['first_seed']}"
    rate = found["events"] / found["wall_seconds"]
    yield f"{found['verdict'].upper()}  swarm, {runs}"
    yield from (f"  {printable(reason)}" for reason in found["reasons"])
    yield ""
    yield f"{found['violated']:,} failed, {found['checked_again']:,} were run again in two partitions"
    yield f"{found['events']:,} events in {found['wall_seconds']:.0f} s of wall time, {rate:,.0f} a second"
    yield ""
    first = [one for one in found["failures"] if not one["like"]]
    for one in first[:FAILURES_MAX]:
        alike = sum(other["like"] == one["seed"] for other in found["failures"])
        more = f", and {alike:,} more" if alike else ""
        yield f"  seed {one['seed']}{more}: {one['kind']} {', '.join(one['what'])}"
        yield f"    {printable(one['text'])}"
        yield f"    again: {one['command']}"
    if first:
        yield ""
    for kind, word in WORDS.items():
        reached = found["coverage"][kind]
        fired, never = reached["fired"], reached["never"]
        yield f"{word}: {len(fired)} of {len(fired) + len(never)} reached"
        if kind != "table_rows":
            yield from folded("in runs", [f"{name} {count:,}" for name, count in fired.items()])
            yield from folded("never", never)
            continue
        yield from (f"  never: {name}" for name in never[:ROWS_MAX])
        if len(never) > ROWS_MAX:
            yield f"  and {len(never) - ROWS_MAX:,} more never, which swarm.json has"


def folded(head: str, names: list[str]) -> Iterator[str]:
    """Names in lines of a bearable length."""
    line = f"  {head}:"
    for name in names:
        if len(line) + len(name) > WIDTH:
            yield line
            line = "   "
        line += f" {name},"
    if names:
        yield line.removesuffix(",")
