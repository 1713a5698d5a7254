"""docs/planted-bugs.md, from the catalogue of planted bugs; run as a module it prints the page."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from tests.negative import little_cases, move_cases, test_planted_bugs, test_whole_runs
from workloads.markdown import codes, table

HEAD = """\
# Planted bugs

Generated from the catalogue in `tests/negative` by `python -m tests.negative.page`; do not edit.

Each is one plausible slip in an actor, or in what an actor tells of itself. The tests plant it in the world or scenario
named here, and want these checks to find it; without the bug the same run is clean. `gmemsim list invariants` and
`gmemsim list anomalies` say what a check is. Whole scenarios are shortened in the tests.
"""


class Planted(NamedTuple):
    """A bug, the checks that have to find it, and where."""

    bug: Callable[..., Any]
    ids: str
    where: str


def catalogue() -> Iterator[Planted]:
    """All that the tests plant."""
    for case in test_planted_bugs.CASES:
        yield Planted(case.bug, case.ids, words(case.run))
    for run, bug, ids in test_whole_runs.CASES:
        yield Planted(bug, ids, f"scenario {run.source}")
    for ids, plant, _ in move_cases.CASES:
        yield Planted(plant, ids, "VMs move")
    for little in little_cases.CASES:
        yield Planted(little.bug, little.ids, f"the queue {little.queue}")


def words(run: Callable[..., Any]) -> str:
    """A function's name as a sentence, with what it is given."""
    name = run.func.__name__ if isinstance(run, partial) else run.__name__
    return name.replace("_", " ")


def reference() -> str:
    """The page."""
    found: dict[Callable[..., Any], list[Planted]] = {}
    for planted in catalogue():
        found.setdefault(planted.bug, []).append(planted)
    rows = [row(bug, cases) for bug, cases in found.items()]
    unfound = [name for name, _, ids, _ in rows if not ids]
    lines = [HEAD, f"{len(rows)} bugs; found by nothing: {', '.join(unfound) or 'none'}.", ""]
    return "\n".join([*lines, *table(("bug", "what it is", "found by", "where"), rows)])


def row(bug: Callable[..., Any], cases: list[Planted]) -> tuple[str, str, str, str]:
    """One bug: what it is, in its own words, every check that finds it, and every place."""
    ids = dict.fromkeys(name for case in cases for name in case.ids.split())
    places = dict.fromkeys(case.where for case in cases)
    said = " ".join((bug.__doc__ or "").split()).partition("\n")[0].replace("|", "\\|")
    return codes([bug.__name__.replace("_", " ")]), said, ", ".join(ids), "; ".join(places)


if __name__ == "__main__":
    print(reference(), end="")
