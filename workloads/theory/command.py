"""`gmemsim theory`: every model on the engine, a line for each as it comes, then the table or JSON."""

import json
import sys
from collections.abc import Iterator, Sequence

import msgspec

from workloads import __version__
from workloads.outcome.verdict import exit_status, worst
from workloads.reader import to_reader
from workloads.theory.models import MODELS
from workloads.theory.rows import CONFIDENCE, Row, judged

LEVELS = {
    1: "1. Identities: integers, equal or wrong",
    2: "2. The same draws through a recursion that knows no engine: equal to the nanosecond",
    3: f"3. Theory of the long run: within the {CONFIDENCE:.1%} interval, which tells an error of this size",
}
VERDICTS = {"ok": "valid", "BLIND": "unknown", "MISSED": "violated"}


def theory(seed: int, as_json: bool, quiet: bool) -> int:
    """All rows of all models; the verdict's exit status."""
    rows: list[Row] = []
    for model in MODELS:
        found = list(judged(model, seed))
        rows += found
        if not quiet:
            missed = [f"{word_of(row)} {row.id}" for row in found if not row.ok]
            word = ", ".join(missed) or f"{len(found)} rows ok"
            print(f"{model.what}: {word}", file=sys.stderr, flush=True)
    with to_reader():
        print(document(rows, seed) if as_json else "\n".join(page(rows, seed)))
    return exit_status(verdict(rows))


def verdict(rows: Sequence[Row]) -> str:
    """One row that is missed decides; one that is blind leaves it open."""
    return worst(VERDICTS[word_of(row)] for row in rows)


def word_of(row: Row) -> str:
    """What is to be said of it."""
    return "ok" if row.ok else "BLIND" if row.blind else "MISSED"


def document(rows: Sequence[Row], seed: int) -> str:
    """What --json prints."""
    found = {
        "verdict": verdict(rows),
        "seed": seed,
        "rows": msgspec.to_builtins(rows),
        "versions": {"gmemsim": __version__},
    }
    return json.dumps(found, indent=2)


def page(rows: Sequence[Row], seed: int) -> Iterator[str]:
    """For people."""
    good = sum(row.ok for row in rows)
    yield f"{verdict(rows).upper()}  {good} of {len(rows)} rows as theory has them, seed {seed}"
    for level, title in LEVELS.items():
        yield from ("", title)
        yield from table([row for row in rows if row.level == level])


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Rows of one level."""
    cells = [("", "exact", "measured", "", "error", "power", "", "what")]
    cells += [
        (row.id, shown(row.exact, row.unit), shown(row.measured, row.unit),
         f"+-{row.half_width / row.exact:.2%}" if row.half_width else "",
         f"{row.error:.1%}" if row.error is not None else "",
         f"{row.power:.4f}" if row.power is not None else "",
         word_of(row), row.what)
        for row in rows
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = (
            cell.rjust(width) if 0 < place < 6 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        yield ("  " + "  ".join(padded)).rstrip()


def shown(value: float, unit: str) -> str:
    """Whole numbers in full: they are equal or not."""
    return f"{value:,.0f} {unit}" if unit else f"{value:.5f}"
