"""What latencies leave out of runs' beginnings (`scenario.warm_up`), and points whose runs are too short to tell.

Of times that are stationary and have a long tail MSER-5 cannot tell in some 3% of runs of 160, by chance alone, and in
17% of 40. So one run of several makes no point unknown; half of them do.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from workloads.experiment.pursuit import Found
from workloads.experiment.records import Search
from workloads.experiment.rows import Row
from workloads.outcome.sweep_shape import WarmUpShown
from workloads.outcome.verdict import worst

ENOUGH = 1 / 2  # of a point's runs that cannot tell: it is unknown
Key = tuple[str, frozenset[tuple[str, Any]]]


def shown(rows: Sequence[Row]) -> dict[str, WarmUpShown]:
    """Of all runs, where the scenario asks for it."""
    shares = [share for row in rows for share in row.left_out]
    known = [share for share in shares if share is not None]
    least, most = (min(known), max(known)) if known else (None, None)
    found = WarmUpShown(
        runs=len(shares), cannot_tell=len(shares) - len(known), least=least, most=most
    )
    return {"warm_up": found} if shares else {}


def judged(search: Search | None, rows: Sequence[Row], searches: Sequence[Found]) -> list[Row]:
    """The rows; unknown are those that count, and whose runs are too short.

    Where something is searched that is each answer, or the least value where that did not hold. A queue that grows to
    the end of the run has no beginning either, and misses its objective whatever is left out of it.
    """
    answers = {key for one in searches for key in keys(search, one)} if search else set()
    return [
        unknown(row) if short(row) and (not search or key_of(row) in answers) else row
        for row in rows
    ]


def short(row: Row) -> bool:
    """Can the rule not tell in so many of the runs?"""
    return bool(row.left_out) and row.left_out.count(None) >= ENOUGH * len(row.left_out)


def unknown(row: Row) -> Row:
    """With the reason."""
    reason = (
        f"in {row.left_out.count(None)} of {len(row.left_out)} runs MSER-5 cannot tell the beginning from the rest: "
        "they are too short"
    )
    return msgspec.structs.replace(
        row, verdict=worst([row.verdict, "unknown"]), reasons=[*row.reasons, reason]
    )


def keys(search: Search, found: Found) -> Iterator[Key]:
    """Of the answer, and of what became of it with a resource relieved."""
    for one in filter(None, (found, found.relieved, found.control)):
        value = search.low if one.answer.value is None else one.answer.value
        yield one.point.relieved, frozenset((*one.point.place, (search.title, value)))


def key_of(row: Row) -> Key:
    """The same of a row."""
    return row.relieved, frozenset(row.place.items())
