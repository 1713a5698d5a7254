"""docs/claims.md, from the table of claims and runs of their scenarios; run as a module it prints the page."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from actors.protocols import PROTOCOLS
from cluster.drive import Unwatched
from cluster.fault_points import FAULT_POINTS
from workloads import scenario, simulate
from workloads.adjust import adjusted
from workloads.checkers import ANOMALIES
from workloads.checkers.admitted import CANNOT, NEVER, ROWS, WINDOWS
from workloads.claims import CLAIMS, NOT_SHOWN, OVERALL, Claim
from workloads.markdown import table
from workloads.outcome.readings import readings
from workloads.outcome.summary import summarise
from workloads.scenario import Fault
from workloads.scenario.keys import entries
from workloads.scenario.values import literal

HEAD = """\
# Claims

Generated from `workloads/claims.py` and from runs of its scenarios by
`python -m workloads.claims_page`; do not edit.

The mail that this simulator starts from, and what was said and found later, claim that conversion
protocols leave this or that behind. Each claim has a scenario of its own, with a schedule instead
of dice, and a table of what every protocol shows in it; `-` is none. Every load is an open loop:
all protocols are asked for the same. A claim is about its scenario's first fault; the others are
there so that whom the first cannot strike fails as well. The figures are counts of one
run with seed 1. Runs are deterministic, and a test holds this page against them. What the
anomalies are: `gmemsim list anomalies` and [docs/domain.md](domain.md) section 5.
"""
OVERALL_HEAD = """\
## All at once

The scenario `claims` has every class of failure, on hosts of its own. Each protocol shows what
section 5 of [docs/domain.md](domain.md) says it can, but for
[some cells](#differences-from-docsdomainmd-section-5), and nothing else; every run is `valid`. A cell is that
section's mark and the count.

    gmemsim compare claims
"""
DIFFERENCES = """\
## Differences from docs/domain.md section 5

Cells where what this model shows, or can show, is not what that table says; `-` stands for
invariants, too, which hold. Section 6 has I6 hold for all: `undo` and `undo-split-first` break it
together with AN4, when an undo fails between store and split.
"""


class Seen(NamedTuple):
    """What came of one run."""

    verdict: str
    reasons: tuple[str, ...]
    anomalies: dict[str, int]
    failed: int
    unfinished: int
    lost: int
    struck: tuple[tuple[str, int], ...]  # each fault at each of its points -> how often
    asked: int
    implicit: int  # memory faults that convert, and what guests ask for again


def seen(name: str) -> dict[str, Seen]:
    """Protocol -> what it shows in the shipped scenario of this name, adjusted as `gmemsim compare` does."""
    return {protocol: one(name, protocol) for protocol in PROTOCOLS}


@cache
def one(name: str, protocol: str) -> Seen:
    """What one protocol shows."""
    return _run(*prepared(name), protocol)


@cache
def prepared(name: str) -> tuple[simulate.Job, scenario.Scenario]:
    """The scenario, as all protocols run it."""
    found = scenario.load(name, (), FAULT_POINTS)
    return simulate.prepare(found), found


def _run(job: simulate.Job, found: scenario.Scenario, protocol: str) -> Seen:
    fit = adjusted(found, protocol).scenario
    outcome = simulate.run(simulate.again(job, fit), Unwatched())
    summary = summarise(fit, outcome, job.logs)
    readings(fit, outcome.watched, outcome.totals, protocol)  # whose labels have closed sets
    conversions = summary["conversions"]
    return Seen(
        summary["verdict"],
        tuple(summary["reasons"]),
        dict(summary["anomalies"]),
        conversions["failed"],
        conversions["unfinished"],
        summary["vms_lost"],
        tuple(
            zip(rule_names(fit.fault), (row["struck"] for row in summary["faults"]), strict=True)
        ),
        conversions["asked"],
        conversions["on_top"],
    )


def rule_names(rules: Sequence[Fault]) -> list[str]:
    """Each rule at each of its points, in the summary's order: the point, and what tells rules of one point apart."""
    places = [(point, rule) for rule in rules for point in (rule.point, *rule.also)]
    return [
        f"`{point}`" + _apart(rule, [other for at, other in places if at == point])
        for point, rule in places
    ]


def _apart(rule: Fault, alike: Sequence[Fault]) -> str:
    """The keys in which the rules are not the same, as this one has them."""
    told = [
        f"`{name} = {literal(entry.key, value)}`"
        for name, entry in entries(Fault).items()
        if name != "point"
        and (value := getattr(rule, entry.field)) != entry.default
        and any(getattr(other, entry.field) != value for other in alike)
    ]
    return f" with {', '.join(told)}" if told else ""


def reference() -> str:
    """The page."""
    lines = [HEAD, *_contents()]
    for claim in CLAIMS:
        lines += _claim(claim)
    return "\n".join([*lines, *_overall(), *_differences()])


def _contents() -> Iterator[str]:
    rows = (
        (
            f"[{_title(claim)}](#{_title(claim).replace(' ', '-')})",
            ", ".join(claim.shows) or "none",
            claim.where,
        )
        for claim in CLAIMS
    )
    yield from table(("claim", "anomalies", "where"), rows)


def _title(claim: Claim) -> str:
    return claim.scenario.removeprefix("claim-").replace("-", " ")


def _claim(claim: Claim) -> Iterator[str]:
    yield f"## {_title(claim)}\n"
    yield f"{claim.says}\n"
    yield f"Where: {claim.where}.\n"
    yield f"Under two-phase: {claim.two_phase}\n"
    for why in dict.fromkeys(claim.unmet.values()):
        names = ", ".join(f"`{name}`" for name, reason in claim.unmet.items() if reason == why)
        yield f"Its first fault does not strike {names}: {why}.\n"
    yield f"    gmemsim compare {claim.scenario} --protocol {','.join(claim.compared)}\n"
    runs = seen(claim.scenario)
    shown = [a for a in ANOMALIES if any(a.id in run.anomalies for run in runs.values())]
    rows = [
        (
            f"{a.id} {a.name}" + (", *claimed*" if a.id in claim.shows else ""),
            *(_count(run.anomalies.get(a.id, 0)) for run in runs.values()),
        )
        for a in shown
    ]
    rows += _struck(list(runs.values()))
    rows += [
        ("conversions failed", *(_count(run.failed) for run in runs.values())),
        ("without an answer", *(_count(run.unfinished) for run in runs.values())),
        ("VMs lost", *(_count(run.lost) for run in runs.values())),
    ]
    yield from table(("", *PROTOCOLS), rows)


def _struck(runs: Sequence[Seen]) -> Iterator[tuple[str, ...]]:
    """How often each fault of the scenario struck, in its order."""
    for place, (name, _) in enumerate(runs[0].struck):
        yield f"{name} struck", *(_count(run.struck[place][1]) for run in runs)


def _count(number: int) -> str:
    return str(number) if number else "-"


def _overall() -> Iterator[str]:
    yield OVERALL_HEAD
    runs = seen(OVERALL)
    rows = [
        (
            check,
            *(
                _cell(mark, run.anomalies.get(check, 0))
                for mark, run in zip(marks, runs.values(), strict=True)
            ),
        )
        for check, marks in ROWS.items()
    ]
    yield from table(("", *PROTOCOLS), rows)


def _cell(mark: str, number: int) -> str:
    return f"{'n/a' if mark == 'n' else mark} {number or ''}".strip()


def _differences() -> Iterator[str]:
    yield DIFFERENCES
    yield from table(("anomaly", "protocol", "section 5", "here", "why"), differences())


def differences() -> Iterator[tuple[str, ...]]:
    """Cells not shown, windows that nothing opens, and windows where the table says that there is none."""
    for (check, protocol), why in NOT_SHOWN.items():
        yield check, protocol, mark_of(check, protocol), "not shown", why
    for window in WINDOWS:
        for protocol in window.protocols:
            mark = mark_of(window.check, protocol)
            if window.when is NEVER:
                yield window.check, protocol, mark, "nothing opens it", window.why
            elif mark in CANNOT and window.when:
                text = f"with `{window.when.text}`" if window.when.text else "as it is"
                yield window.check, protocol, mark, text, window.why


def mark_of(check: str, protocol: str) -> str:
    """The cell's mark; an invariant has none, and holds."""
    return ROWS[check][list(PROTOCOLS).index(protocol)] if check in ROWS else "-"


if __name__ == "__main__":
    print(reference(), end="")
