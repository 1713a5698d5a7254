"""`gmemsim validate`: run the rows, tell them one by one, print the table; returns the exit status."""

import json
import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from workloads import __version__
from workloads.errors import UsageError
from workloads.reader import to_reader
from workloads.scenario import Costs
from workloads.validation import show
from workloads.validation.boot import BOOT
from workloads.validation.conversion import CONVERSION
from workloads.validation.costs import Changed, changed
from workloads.validation.engine import OutOfTimeError
from workloads.validation.exact import EXACTLY
from workloads.validation.memory import MEMORY
from workloads.validation.rows import Row
from workloads.validation.show import Left
from workloads.validation.targets import Target
from workloads.wording import quote

TARGETS: tuple[Target, ...] = (*CONVERSION, *BOOT, *MEMORY, *EXACTLY)
STATUS = {"valid": 0, "violated": 1, "unknown": 3}


def ids() -> list[str]:
    """VT1 to VT16, in the order of docs/domain.md."""
    found = {figure.id for target in TARGETS for figure in target.figures}
    return sorted(found, key=number)


def number(name: str) -> int:
    """VT16 -> 16."""
    return int(name.removeprefix("VT"))


def chosen(names: Sequence[str]) -> list[tuple[Target, set[str]]]:
    """Targets to run, each with the ids that are wanted of it; all without names."""
    known = ids()
    for name in names:
        if name.upper() not in known:
            raise UsageError(f"validate: no row {quote(name)}; there are {known[0]} to {known[-1]}")
    wanted = {name.upper() for name in names} or {*known}
    found = [(target, wanted & {f.id for f in target.figures}) for target in TARGETS]
    return sorted(
        ((t, own) for t, own in found if own), key=lambda one: number(min(one[1], key=number))
    )


def validate(
    names: Sequence[str],
    costs: Sequence[str],
    seed: int,
    as_json: bool,
    quiet: bool,
    limit: float | None = None,
) -> int:
    """Every row is an engine run. One line a row to standard error, the table or JSON to standard output.

    `limit`: wall seconds for all of them; what it ends, as Ctrl-C does, is unknown, but for a figure that has missed.
    """
    targets, changes = chosen(names), changed(costs)
    until = math.inf if limit is None else time.monotonic() + limit
    keys = [f"scenario.seed={seed}", *(cost.key for cost in changes)]
    began = time.perf_counter()
    rows: list[Row] = []
    events = 0
    stopped = ""
    try:
        for target, wanted in targets:
            for row, share in target.judged(keys, until):
                events += share
                if row.id in wanted:
                    rows.append(row)
                    if not quiet:
                        print(show.line(row), file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        stopped = "stopped by SIGINT"
    except OutOfTimeError:
        stopped = "the time limit was reached"
    rows.sort(key=lambda row: number(row.id))
    left = Left(stopped, not_run(targets, rows))
    verdict = show.verdict_of(rows, stopped)
    with to_reader():
        if as_json:
            wall = time.perf_counter() - began
            found = document(rows, verdict, changes, seed, events, wall)
            print(json.dumps({**found, "stopped": stopped, "not_run": left.ids}, indent=2))
        else:
            print(show.page(rows, verdict, changes, left))
    return STATUS[verdict]


def not_run(targets: Sequence[tuple[Target, set[str]]], rows: Sequence[Row]) -> list[str]:
    """Ids of which some wanted figure has no row."""
    had = Counter(row.id for row in rows)
    wanted = Counter(f.id for target, own in targets for f in target.figures if f.id in own)
    return sorted((name for name in wanted if had[name] < wanted[name]), key=number)


def document(
    rows: Sequence[Row],
    verdict: str,
    costs: Sequence[Changed],
    seed: int,
    events: int,
    wall_seconds: float,
) -> dict[str, Any]:
    """What --json prints."""
    return {
        "verdict": verdict,
        "rows": msgspec.to_builtins(list(rows)),
        "seed": seed,
        "costs": {"model": Costs().model, "override": {cost.name: cost.value for cost in costs}},
        "engine": {"events": events, "wall_seconds": wall_seconds},
        "versions": {"gmemsim": __version__},
    }
