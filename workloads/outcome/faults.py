"""How often each rule of the fault plan struck: what a person reads of `faults` in summary.json."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workloads.outcome.figures import number

Row = Mapping[str, Any]
"""workloads.outcome.shape.FaultCount; over several seeds with intervals for counts."""


def in_short(rows: Sequence[Row]) -> str:
    """One text: who struck how often, then who never did."""
    points = Counter(row["point"] for row in rows)
    struck = [
        f"{row['point'] if points[row['point']] == 1 else both(row)} {share(row)}"
        for row in rows
        if row["struck"]
    ]
    never = [
        f"{rule_name(row)} ({row['point']}, {share(row)})" for row in rows if not row["struck"]
    ]
    parts = [", ".join(struck), f"never struck: {', '.join(never)}" if never else ""]
    return "; ".join(filter(None, parts))


def rule_name(row: Row) -> str:
    """fault.0 as in `--set`; fault.0.1 at the first point of its `also`."""
    return f"fault.{row['rule']}" + (f".{row['place']}" if row["place"] else "")


def both(row: Row) -> str:
    """fault.0 gmem.tree."""
    return f"{rule_name(row)} {row['point']}"


def share(row: Row) -> str:
    """51 of 510."""
    return f"{number(row['struck'])} of {number(row['opportunities'])}"


def by_name(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Counts as a table, which can be merged over seeds."""
    return {both(row): {key: row[key] for key in ("opportunities", "struck")} for row in rows}


def with_counts(rows: Sequence[Row], found: Mapping[str, Mapping[str, Any]]) -> Iterator[Row]:
    """The rows with what was found in place of their own counts."""
    return ({**row, **found.get(both(row), {})} for row in rows)
