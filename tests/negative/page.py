"""docs/planted-bugs.md, from the catalogue of planted bugs; run as a module it prints the page."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from tests.negative import swarm_runs
from tests.negative.catalogue import Planted, catalogue
from tests.negative.engine_cases import SLIPS, Slip
from tests.negative.engine_checks import CHECKS
from tests.negative.subjects import SUBJECTS, names_of
from tests.negative.swarm_runs import FAILS, Measured, Tried
from tests.negative.test_planted_bugs import SHOWN
from tests.workloads.theory.test_theory import SLIPS as THEORY
from workloads.checkers import ANOMALIES, INVARIANTS
from workloads.markdown import codes, table

HEAD = """\
# Planted bugs

Generated from the catalogue in `tests/negative` by `python -m tests.negative.page`; do not edit.

Each bug of an actor is one plausible slip in it, or in what it tells of itself. The tests plant it in the world or
scenario named here, and want these checks to find it; without the bug the same run is clean. `gmemsim list invariants`
and `gmemsim list anomalies` say what a check is. Whole scenarios are shortened in the tests. Each slip of the engine is
a line or two of it that are otherwise; what finds those is [below](#the-engine).
"""
SWARM = """\
The last column is the first run of `gmemsim swarm --seed 1` that fails with the bug and not without it, measured by
`python -m tests.negative.swarm_runs` (seeds 1 to {seeds}, version {version}; {failing}), as they were drawn
before half of them had aims ([swarm.md](swarm.md)). A run whose scenario does not come near the bug cannot find it:
what the swarm misses says what its scenarios lack.
"""
ENGINE = """\
## The engine

Most are planted under a fleet made for it (`tests/negative/engine_fleet.py`): actors whose state depends on every
message that they hear and on its turn, with timers that are taken back, chance, rules that remember, and words to other
hosts. What finds them:
"""
THEORY_HEAD = """\
### Queueing theory

Slips of a queue, in a model that theory has solved; rows of `gmemsim theory`
([theory.md](theory.md)) find them.
"""
NEVER = Tried(0)
Bugs = Mapping[str, list[Planted]]


def reference() -> str:
    """The page."""
    bugs, measured = by_name(), swarm_runs.read()
    lines = [HEAD, *summary(bugs, measured)]
    for subject in SUBJECTS:
        rows = [row(bugs[name], measured.bugs.get(name, NEVER)) for name in names_of(subject)]
        heads = ("bug", "what it is", "found by", "where", "swarm run")
        lines += [f"## {subject}", "", *table(heads, rows)]
    return "\n".join([*lines, *engine()])


def by_name() -> Bugs:
    """A bug, and every place where it is planted."""
    found: dict[str, list[Planted]] = {}
    for planted in catalogue():
        found.setdefault(planted.name, []).append(planted)
    return found


def ids_of(cases: Iterable[Planted]) -> list[str]:
    """All checks that find it."""
    return list(dict.fromkeys(name for case in cases for name in case.ids.split()))


# --- the summary ---------------------------------------------------------------------------------


def summary(bugs: Bugs, measured: Measured) -> Iterator[str]:
    """How many, by which check, and which the swarm misses."""
    count = Counter(name for cases in bugs.values() for name in ids_of(cases))
    slips = len(SLIPS) + len({slip for _, slip, _ in THEORY})
    unfound = [name for name, cases in bugs.items() if not ids_of(cases)]
    yield f"{len(bugs)} bugs of actors, {slips} slips of the engine; found by nothing: {spoken(unfound) or 'none'}."
    yield ""
    checks = INVARIANTS + ANOMALIES
    rows = [(check.id, check.name, str(count[check.id])) for check in checks if count[check.id]]
    yield from table(("check", "what holds, or the anomaly", "bugs that it finds"), rows)
    shown = {name for ids, *_ in SHOWN for name in ids.split()}
    none = [check.id for check in checks if not count[check.id]]
    yield f"Checks that find nothing planted: {', '.join(none) or 'none'}."
    if set(none) <= shown and none:
        yield "Protocols admit these, and tests show each in a run without a bug."
    yield ""
    yield from swarm(bugs, measured)


def swarm(bugs: Bugs, measured: Measured) -> Iterator[str]:
    """After how many runs, and what it misses."""
    found = [one.runs for one in measured.bugs.values() if one.found]
    missed = [name for name in bugs if not measured.bugs.get(name, NEVER).found]
    fail = [f"{seed}" for seed, digest in enumerate(measured.clean, start=1) if digest == FAILS]
    failing = (
        f"seeds that fail without a bug: {', '.join(fail)}"
        if fail
        else "no seed fails without a bug"
    )
    yield SWARM.format(seeds=measured.seeds, version=measured.version, failing=failing)
    limits = [limit for limit in (1, 3, 10, 30) if limit < measured.seeds]
    rows = [
        (str(limit), str(sum(run <= limit for run in found))) for limit in (*limits, measured.seeds)
    ]
    yield from table(("runs", f"bugs found, of {len(bugs)}"), rows)
    yield f"More than {measured.seeds} runs: {spoken(missed) or 'none'}."
    yield ""


def spoken(names: Iterable[str]) -> str:
    """Names of functions, as the tables have them."""
    return codes(name.replace("_", " ") for name in names)


# --- tables --------------------------------------------------------------------------------------


def row(cases: list[Planted], tried: Tried) -> tuple[str, str, str, str, str]:
    """One bug: what it is, in its own words, every check that finds it, every place, and the swarm's run."""
    bug = cases[0].bug
    places = dict.fromkeys(case.where for case in cases)
    run = str(tried.runs) if tried.found else f"more than {tried.runs}"
    return (
        spoken([bug.__name__]),
        said(bug.__doc__),
        ", ".join(ids_of(cases)),
        "; ".join(places),
        run,
    )


def said(text: str | None) -> str:
    """A docstring in one line of a table."""
    return " ".join((text or "").split()).replace("|", "\\|")


def engine() -> Iterator[str]:
    """What finds slips of the engine, and the slips."""
    yield ENGINE
    count = Counter(name for slip in SLIPS for name in slip.ids.split())
    rows = [(name, said(check.__doc__), str(count[name])) for name, check in CHECKS.items()]
    yield from table(("check", "what holds", "slips that it finds"), rows)
    for subject in dict.fromkeys(slip.subject for slip in SLIPS):
        slips = [engine_row(slip) for slip in SLIPS if slip.subject == subject]
        yield f"### {subject[0].upper()}{subject[1:]}"
        yield ""
        yield from table(("slip", "in", "found by"), slips)
    yield THEORY_HEAD
    yield from table(("slip", "models", "rows"), theory_rows())


def theory_rows() -> Iterator[tuple[str, str, str]]:
    """Each slip, where it is planted, and what is found in all of these."""
    for slip in dict.fromkeys(slip for _, slip, _ in THEORY):
        models = [model for model, planted, _ in THEORY if planted is slip]
        rows = set.intersection(*(found for _, planted, found in THEORY if planted is slip))
        yield said(slip.__doc__), ", ".join(models), ", ".join(sorted(rows))


def engine_row(slip: Slip) -> tuple[str, str, str]:
    """One slip."""
    places = dict.fromkeys(f"{f.__module__}.{f.__qualname__}" for f, *_ in slip.edits)
    return said(slip.what), codes(places), ", ".join(slip.ids.split())


if __name__ == "__main__":
    print(reference(), end="")
