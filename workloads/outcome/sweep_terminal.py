"""What a sweep prints for people: the verdict first, the answer, one table, then where the results are."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from rich.console import Group
from rich.table import Table
from rich.text import Text

from workloads.outcome.figures import number, some
from workloads.outcome.seeds import ANECDOTE
from workloads.outcome.sweep_table import answer_head, answer_rows, notes, point_head, point_rows
from workloads.outcome.terminal import headline, results_line, write
from workloads.wording import printable

COLUMNS_MAX = 140
ROWS_MAX = 60
Found = Mapping[str, Any]


def show_sweep(found: Found, folder: Path, stream: TextIO | None = None) -> None:
    """Print it."""
    about = (
        f"{found['experiment']}, {number(found['done'])} of {some(found['points'], 'point')}, "
        f"{number(found['reused'])} from before, {some(found['seeds'], 'seed')} each"
    )
    head, rows = (
        (answer_head(found), list(answer_rows(found)))
        if found["found"]
        else (point_head(found), list(point_rows(found)))
    )
    more = len(rows) - ROWS_MAX
    body = Group(
        *headline(found["verdict"], about, found["reasons"], whole=False),
        Text(),
        *(
            Text(printable(" ".join(part.split())))
            for part in found["conclusion"]["text"].split("\n\n")
        ),
        Text(),
        table(head, rows[:ROWS_MAX]),
        *([Text(f"and {number(more)} more, in points.csv")] if more > 0 else []),
        Text(),
        *(Text(printable(line)) for line in notes(found)),
        *([Text(ANECDOTE)] if found["seeds"] == 1 else []),
        Text(),
        results_line(folder),
    )
    write(body, stream or sys.stdout, COLUMNS_MAX)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Texts to the left, what is below them in order."""
    found = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in head:
        found.add_column(Text(printable(name)), overflow="fold")
    for row in rows:
        found.add_row(*(Text(printable(cell)) for cell in row))
    return found
