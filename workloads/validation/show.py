"""Rows for people: a line for each as it comes, and the table with its notes at the end."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from workloads.outcome import figures
from workloads.validation.costs import Changed
from workloads.validation.rows import Row, Unit

WIDTH = 100
HEADINGS = ("", "kind", "what", "published", "simulated", "ratio", "tolerance", "")
LEFT = (True, True, True, False, False, False, True, True)
VERDICTS = {True: "ok", False: "MISSED", None: "not judged"}
FITTED = "A `fit` gave the cost table its figure: that it agrees shows that the engine adds up, and no more."


class Left(NamedTuple):
    """Why it was stopped before its end, and which rows were not run."""

    stopped: str = ""
    ids: Sequence[str] = ()


WHOLE = Left()


def verdict_of(rows: Sequence[Row], stopped: str = "") -> str:
    """A figure out of its tolerance is a miss, explained or not, whatever was still to come."""
    if any(row.ok is False for row in rows):
        return "violated"
    return "unknown" if stopped else "valid"


def line(row: Row) -> str:
    """One row while others are still to come."""
    held = f"{VERDICTS[row.ok]} ({row.tolerance})" if row.tolerance else VERDICTS[row.ok]
    parts = (row.id, row.kind, row.what, shown(row.simulated, row.unit), held)
    return "  ".join(part for part in parts if part)


def page(rows: Sequence[Row], verdict: str, costs: Sequence[Changed], left: Left = WHOLE) -> str:
    """Verdict, table, notes."""
    notes = list(dict.fromkeys(row.reason for row in rows if row.reason))
    body = ["", *_table(rows, notes), "", *_notes(notes)] if rows else []
    return "\n".join([*_head(rows, verdict, costs, left), *body])


def shown(value: float | None, unit: Unit) -> str:
    """Three digits, in the row's unit."""
    if value is None:
        return "-"
    if unit == "bytes":
        return figures.size(value)
    if unit:
        return figures.duration(value / (1 if unit == "s" else 1e6))
    return (
        figures.number(round(value)) if value == round(value) or value >= 1000 else f"{value:.3g}"
    )


def published(row: Row) -> str:
    """The figure, or the band that it lies in."""
    if row.band:
        return f"{row.band[0]:g}..{row.band[1]:g} {row.unit}"
    return shown(row.published, row.unit)


def _head(rows: Sequence[Row], verdict: str, costs: Sequence[Changed], left: Left) -> Iterator[str]:
    judged = [row for row in rows if row.ok is not None]
    near = sum(row.ok is True for row in judged)
    yield (
        f"{verdict.upper()}  {near} of {len(judged)} figures within their tolerance, "
        f"{len(rows) - len(judged)} not judged"
    )
    if left.stopped:
        yield f"  ended early: {left.stopped}; not run: {', '.join(left.ids)}"
    for cost in costs:
        yield f"  with {cost.name} = {cost.value} instead of {cost.was}"


def _table(rows: Sequence[Row], notes: Sequence[str]) -> Iterator[str]:
    cells = [HEADINGS]
    for row in rows:
        mark = f" [{notes.index(row.reason) + 1}]" if row.reason else ""
        ratio = "-" if row.ratio is None else f"{row.ratio:.3g}"
        found = (published(row), shown(row.simulated, row.unit), ratio, row.tolerance or "-")
        cells.append((row.id, row.kind, row.what, *found, VERDICTS[row.ok] + mark))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line_cells in cells:
        aligned = (
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(line_cells, widths, LEFT, strict=True)
        )
        yield "  ".join(aligned).rstrip()


def _notes(notes: Sequence[str]) -> Iterator[str]:
    for number, note in enumerate(notes, start=1):
        yield from textwrap.wrap(
            f"[{number}] {note}", WIDTH, subsequent_indent=" " * len(f"[{number}] ")
        )
    yield FITTED
