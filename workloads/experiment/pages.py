"""`python -m workloads.experiment.pages [RESULTS]`: what the sweeps there came to, into the pages of docs/experiments.

A page has a block for each of its experiments, between the comments `<!-- results of NAME -->` and `<!-- end -->`. All
else in a page is written by hand, and says little in figures.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workloads.markdown import table
from workloads.outcome.figures import duration, some
from workloads.outcome.files import POINTS
from workloads.outcome.sweep_table import (
    CODE_DIGITS,
    answer_head,
    answer_rows,
    check_rows,
    notes,
    warm_up,
)

PAGES = Path("docs/experiments")
BLOCK = re.compile(r"<!-- results of (?P<name>[\w-]+) -->\n.*?<!-- end -->", re.DOTALL)
Found = Mapping[str, Any]


def block(found: Found) -> str:
    """A page's block, from points.json."""
    name = found["experiment"]
    return "\n".join((f"<!-- results of {name} -->", *lines(found), "<!-- end -->"))


def lines(found: Found) -> Iterator[str]:
    """What was run, the answer, its checks, its tables."""
    yield (
        f"*{some(found['points'], 'point')}, {some(found['seeds'], 'seed')} each; \u00b1 is a 95% interval over seeds, "
        f"without it all came to the same. Verdict: {found['verdict']}. {made(found)}*"
    )
    for part in found["conclusion"]["text"].split("\n\n"):
        yield from ("", " ".join(part.split()))
    yield ""
    if found["found"]:
        yield from table(tuple(answer_head(found)), map(tuple, answer_rows(found)))
        for note in notes(found):
            yield from (note, "")
    elif "warm_up" in found:
        yield from (warm_up(found["warm_up"]), "")
    for one in found["conclusion"]["tables"]:
        yield from table(tuple(one["head"]), map(tuple, one["rows"]))
    yield from table(("check", "wanted", "found", ""), list(check_rows(found)))


def made(found: Found) -> str:
    """By what, when, at what cost."""
    runs = found["runs"]
    return (
        f"{some(runs['done'], 'run')} took {duration(runs['seconds'])} of one CPU each in all; gmemsim "
        f"{found['versions']['gmemsim']}, sources {found['code'][:CODE_DIGITS]}, {found['date']}."
    )


def rewritten(page: str, results: Path) -> tuple[str, list[str]]:
    """The page with the newest results of each experiment that has any, and the names of those that have none."""
    missing = []

    def new(match: re.Match[str]) -> str:
        path = results / match["name"] / "latest" / POINTS
        if path.is_file():
            return block(json.loads(path.read_text()))
        missing.append(match["name"])
        return match[0]

    return BLOCK.sub(new, page), missing


def main(results: Path) -> None:
    """All pages."""
    for path in sorted(PAGES.glob("*.md")):
        before = path.read_text()
        after, missing = rewritten(before, results)
        if after != before:
            path.write_text(after)
            print(f"{path}: rewritten")
        for name in missing:
            print(f"{path}: no results of {name} in {results}; its block stays as it is")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results"))
