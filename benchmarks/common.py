"""What all benchmarks share: flags, rounds, medians, tables, what the machine is."""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workloads.scenario import Scenario, decode

Row = Mapping[str, object]


def flags(description: str | None) -> argparse.ArgumentParser:
    """A parser that knows --json."""
    text = (description or "").splitlines()[0]
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--json", action="store_true", help="plain JSON on standard output")
    return parser


def scenario(*overrides: str) -> Scenario:
    """The default scenario with `--set` texts applied."""
    return decode("", "benchmark.toml", overrides)


def interleaved(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """A B C A B C ...: what slows the machine for a while slows every side."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, measure in sides.items():
            found[name].append(measure())
        say(f"round {number + 1} of {rounds}")
    return found


def one_line_log(folder: str, size: int) -> str:
    """The path of a QEMU log that converts so many bytes to shared in one request."""
    path = Path(folder, "one.log")
    path.write_text(f"kvm_convert_memory start 0x0 size {size:#x} private_to_shared\n")
    return str(path)


def traced(*logs: str) -> tuple[str, str]:
    """Overrides: replay these logs, one VM each, as fast as answers come."""
    names = ", ".join(f"'{log}'" for log in logs)
    return f"workload.0={{kind = 'trace', pace = 'back-to-back', log = [{names}]}}", "fleet.hosts=1"


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """(median, lowest, highest)."""
    return statistics.median(values), min(values), max(values)


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Median of the ratios within each round: both sides of one round met the same machine."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def say(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)


def machine() -> dict[str, str | int]:
    """As much of the machine as a reader needs to judge the figures."""
    return {
        "cpus": os.cpu_count() or 1,
        "python": platform.python_version(),
        "system": platform.system(),
    }


def publish(result: Mapping[str, Any], rows: Sequence[Row], as_json: bool) -> None:
    """JSON with everything, or the rows as a table."""
    if as_json:
        print(json.dumps({"machine": machine(), **result}, indent=2))
    else:
        print(table(rows))


def table(rows: Sequence[Row]) -> str:
    """Rows of the same keys, aligned; numbers to the right."""
    if not rows:
        return ""
    keys = list(rows[0])
    cells = [keys, *([shown(row[key]) for key in keys] for row in rows)]
    widths = [max(len(line[n]) for line in cells) for n in range(len(keys))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def shown(value: object) -> str:
    """A figure for people: no more digits than mean something."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
