"""How fast QEMU's trace logs are read, and how fast they are replayed.

The reader gets each shipped log again and again, up to so many lines, decompressed and in one file:
conversions of the second round on are redundant, which costs the reader the same. The replay
gets the shipped logs of a TD's boot as they are, one VM each, back to back.
"""

import gzip
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.drive import simulate
from workloads.trace.spool import SHIPPED, TraceLog, read_logs, shipped


def lines_of(name: str) -> list[str]:
    """A shipped log's lines."""
    data = (SHIPPED / name).read_bytes()
    text = gzip.decompress(data) if name.endswith(".gz") else data
    return text.decode("utf-8", "surrogateescape").splitlines(keepends=True)


def repeated(folder: str, name: str, count: int) -> str:
    """The path of a log of `count` lines."""
    path = Path(folder, name.removesuffix(".gz"))
    with path.open("w", encoding="utf-8", errors="surrogateescape") as stream:
        stream.writelines(islice(cycle(lines_of(name)), count))
    return str(path)


def read(path: str, found: dict[str, TraceLog]) -> float:
    """Seconds to read one log."""
    began = time.perf_counter()
    (found[path],) = read_logs((path,), max_damaged=1_000_000)
    return time.perf_counter() - began


def reading(folder: str, lines: int, rounds: int) -> list[dict[str, Any]]:
    """One row for each shipped log."""
    paths = {name: repeated(folder, name, lines) for name in shipped()}
    found: dict[str, TraceLog] = {}

    def reader(path: str) -> Callable[[], float]:
        return lambda: read(path, found)

    seconds = common.interleaved({name: reader(path) for name, path in paths.items()}, rounds)
    return [row(name, seconds[name], found[paths[name]]) for name in paths]


def row(name: str, seconds: list[float], log: TraceLog) -> dict[str, Any]:
    """The reader's figures for one log."""
    middle, low, high = common.spread([log.lines / taken for taken in seconds])
    return {
        "read": name,
        "lines": log.lines,
        "conversions": log.conversions,
        "damaged": log.damaged,
        "lines/s": middle,
        "lowest": low,
        "highest": high,
    }


def replaying(rounds: int) -> dict[str, Any]:
    """A whole replay, reading included."""
    names = [name for name in shipped() if name.startswith("td-boot")]
    scenario = common.scenario(
        *common.traced(*names), f"fleet.vms_per_host={len(names)}", "scenario.duration=1000s"
    )
    rates, lines = [], sum(len(lines_of(name)) for name in names)
    for _ in range(rounds):
        began = time.perf_counter()
        driven = simulate(scenario)
        rates.append(lines / (time.perf_counter() - began))
    middle, low, high = common.spread(rates)
    conversions = driven.counter("conversions")
    return {
        "replayed": f"{len(names)} logs",
        "lines": lines,
        "conversions": conversions,
        "events": driven.totals.events,
        "lines/s": middle,
        "lowest": low,
        "highest": high,
        "conversions/s": middle * conversions / lines,
    }


def main() -> None:
    parser = common.flags(__doc__)
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = reading(folder, options.lines, options.rounds)
    replay = replaying(options.rounds)
    common.publish({"reader": rows, "replay": replay}, rows, options.json)
    if not options.json:
        print(f"\n{common.table([replay])}")


if __name__ == "__main__":
    main()
