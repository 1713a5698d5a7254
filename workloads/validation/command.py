"""`gmemsim validate`: run the rows, tell them one by one, print the table; returns the exit status."""

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from workloads import __version__
from workloads.errors import UsageError
from workloads.scenario import Costs
from workloads.validation import show
from workloads.validation.boot import BOOT
from workloads.validation.conversion import CONVERSION
from workloads.validation.costs import Changed, changed
from workloads.validation.exact import EXACTLY
from workloads.validation.memory import MEMORY
from workloads.validation.rows import Row
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
    names: Sequence[str], costs: Sequence[str], seed: int, as_json: bool, quiet: bool
) -> int:
    """Every row is an engine run. One line a row to standard error, the table or JSON to standard output."""
    targets, changes = chosen(names), changed(costs)
    keys = [f"scenario.seed={seed}", *(cost.key for cost in changes)]
    began = time.perf_counter()
    rows: list[Row] = []
    events = 0
    finished = True
    try:
        for target, wanted in targets:
            for row, share in target.judged(keys):
                events += share
                if row.id in wanted:
                    rows.append(row)
                    if not quiet:
                        print(show.line(row), file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        finished = False
    rows.sort(key=lambda row: number(row.id))
    verdict = show.verdict_of(rows) if finished else "unknown"
    if as_json:
        wall = time.perf_counter() - began
        print(json.dumps(document(rows, verdict, changes, seed, events, wall), indent=2))
    else:
        print(show.page(rows, verdict, changes))
    return STATUS[verdict]


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
