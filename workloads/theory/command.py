"""`gmemsim theory`: every model on the engine, a line for each as it comes, then the table or JSON."""

import json
import sys
from collections.abc import Iterator, Sequence

import msgspec

from workloads import __version__
from workloads.reader import to_reader
from workloads.theory.models import MODELS
from workloads.theory.rows import CONFIDENCE, ERROR, Row, judged

LEVELS = {
    1: "1. Identities: integers, equal or wrong",
    2: "2. The same draws through a recursion that knows no engine: equal to the nanosecond",
    3: f"3. Theory of the long run: within the {CONFIDENCE:.1%} interval, which tells an error of {ERROR:.0%}",
}


def theory(seed: int, as_json: bool, quiet: bool) -> int:
    """All rows of all models; 0 when each is ok, else 1."""
    rows: list[Row] = []
    for model in MODELS:
        found = list(judged(model, seed))
        rows += found
        if not quiet:
            missed = [row.id for row in found if not row.ok]
            word = f"MISSED {', '.join(missed)}" if missed else f"{len(found)} rows ok"
            print(f"{model.what}: {word}", file=sys.stderr, flush=True)
    with to_reader():
        print(document(rows, seed) if as_json else "\n".join(page(rows, seed)))
    return 0 if all(row.ok for row in rows) else 1


def document(rows: Sequence[Row], seed: int) -> str:
    """What --json prints."""
    found = {
        "verdict": "valid" if all(row.ok for row in rows) else "violated",
        "seed": seed,
        "rows": msgspec.to_builtins(rows),
        "versions": {"gmemsim": __version__},
    }
    return json.dumps(found, indent=2)


def page(rows: Sequence[Row], seed: int) -> Iterator[str]:
    """For people."""
    good = sum(row.ok for row in rows)
    word = "VALID" if good == len(rows) else "VIOLATED"
    yield f"{word}  {good} of {len(rows)} rows as theory has them, seed {seed}"
    for level, title in LEVELS.items():
        yield from ("", title)
        yield from table([row for row in rows if row.level == level])


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Rows of one level."""
    cells = [("", "exact", "measured", "", "power", "", "what")]
    cells += [
        (row.id, shown(row.exact, row.unit), shown(row.measured, row.unit),
         f"+-{row.half_width / row.exact:.2%}" if row.half_width else "",
         f"{row.power:.4f}" if row.power is not None else "",
         "ok" if row.ok else "MISSED", row.what)
        for row in rows
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = (
            cell.rjust(width) if 0 < place < 5 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        yield ("  " + "  ".join(padded)).rstrip()


def shown(value: float, unit: str) -> str:
    """Whole numbers in full: they are equal or not."""
    return f"{value:,.0f} {unit}" if unit else f"{value:.5f}"
