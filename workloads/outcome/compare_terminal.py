"""What a comparison prints for people: the worst verdict, one table with a column for each protocol, what it means."""

import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from workloads.outcome.compare_rows import EXCLUDED, Row, legend, rows
from workloads.outcome.comparison import adjustment_lines, loop_lines, marked, reasons
from workloads.outcome.figures import some
from workloads.outcome.seeds import ANECDOTE, RARE, spread
from workloads.outcome.tally import CHECKS
from workloads.outcome.terminal import STYLES, headline, results_line, write
from workloads.wording import printable

COLUMNS_MAX = 120
HEAD_MAX = 11
GAP = 2
LABEL_MAX = 16  # with it eight protocols have room in 120 columns
Found = Mapping[str, Any]


def show_comparison(found: Found, folder: Path, stream: TextIO | None = None) -> None:
    """Print it."""
    names, missing = list(found["protocols"]), found["not_run"]
    seeds = found.get("seeds")
    of = (
        f"{some(seeds['wanted'], 'seed')} from {found['seed']}"
        if seeds
        else f"seed {found['seed']}"
    )
    some_of = f"{len(names)} of " if missing else ""
    about = f"{found['scenario']}, {some_of}{some(len(names) + len(missing), 'protocol')}, {of}"
    body = Group(
        *headline(found["verdict"], about, reasons(found), whole=False),
        Text(),
        Folded(heads(found), rows(found)),
        Text(),
        *notes(found),
        Text(),
        results_line(folder),
    )
    write(body, stream or sys.stdout, COLUMNS_MAX)


def heads(found: Found) -> list[list[str]]:
    """Protocols' names, in lines that are no wider than a column; a star for who ran with an adjustment."""
    return [broken(marked(found, name)) for name in found["protocols"]]


def broken(name: str) -> list[str]:
    """A name in lines, after hyphens."""
    lines = [""]
    for part in name.replace("-", "-\n").split("\n"):
        if lines[-1] and len(lines[-1] + part) > HEAD_MAX:
            lines.append("")
        lines[-1] += part
    return lines


class Folded:
    """The table; where it is wider than the terminal, in parts one below the other with the same rows."""

    def __init__(self, names: Sequence[Sequence[str]], found: Sequence[Row]) -> None:
        self.names = names
        self.rows = found
        self.labels = [label_of(row) for row in found]
        self.label = max(len(line) for label in self.labels for line in label.split("\n"))
        self.widths = [
            max(*map(len, lines), *(len(row.cells[place].text) for row in found))
            for place, lines in enumerate(names)
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for number, part in enumerate(self.parts(options.max_width)):
            if number:
                yield Text()
            yield self.table(part)

    def parts(self, width: int) -> list[range]:
        """As few as fit, as equal as they can be."""
        room = max(1, (width - self.label) // (max(self.widths) + GAP))
        count = -(-len(self.widths) // room)
        each = -(-len(self.widths) // count)
        return [
            range(first, min(first + each, len(self.widths)))
            for first in range(0, len(self.widths), each)
        ]

    def table(self, part: range) -> Table:
        """These columns."""
        found = Table(box=None, padding=(0, 0, 0, GAP), pad_edge=False, header_style="bold")
        found.add_column(no_wrap=True, vertical="bottom")
        for place in part:
            lines = "\n".join(map(printable, self.names[place]))
            found.add_column(Text(lines, justify="right"), justify="right", no_wrap=True)
        for label, row in zip(self.labels, self.rows, strict=True):
            cells = [Text(c.text, STYLES.get(c.style, "")) for c in (row.cells[n] for n in part)]
            found.add_row(Text(label), *cells)
        return found


def label_of(row: Row) -> str:
    """In lines: what an id means takes more than one."""
    if not row.meaning:
        return row.label
    text = f"{row.label.strip()} {row.meaning}"
    return textwrap.fill(text, LABEL_MAX, initial_indent="  ", subsequent_indent="    ")


def notes(found: Found) -> Iterator[RenderableType]:
    """Everything that the table alone does not tell."""
    meanings = Table(box=None, show_header=False, padding=(0, GAP, 0, 0), pad_edge=False)
    meanings.add_column(no_wrap=True)
    meanings.add_column(overflow="fold")
    lines = legend(found)
    if any(EXCLUDED in cell.text for row in rows(found) for cell in row.cells):
        lines.append((EXCLUDED.strip(), "what the protocol's own definition excludes"))
    if any(row.label.strip() in CHECKS for row in rows(found)):
        lines.append(("", f"what has no {EXCLUDED}beside it, the protocol's own definition admits"))
    for name, meaning in lines:
        meanings.add_row(Text(name), Text(meaning))
    yield meanings
    for line in adjustment_lines(found):
        yield Text(printable(line))
    for line in loop_lines(found):
        yield Text(printable(line))
    for line in spread(found["seeds"]["wanted"]) if "seeds" in found else (ANECDOTE,):
        yield Text(line)
    if any(" of " in cell.text for row in rows(found) for cell in row.cells):
        yield Text(RARE)
