"""The verdict on a run, and the lines that say why. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from workloads import checks
from workloads.checkers import words
from workloads.outcome.figures import UNITS, duration, number
from workloads.outcome.settings import of_summary
from workloads.outcome.tally import admitted, meaning

Summary = Mapping[str, Any]
Finding = Mapping[str, Any]
# What more simulated time cannot make smaller: past an upper limit, it stays past it.
GROWING = (
    "anomalies",
    "conversion.latency.max",
    "conversions.",
    "memory.huge_mappings_lost",
    "memory.poisoned_bytes",
)
CHECKED = {True: "passed", False: "FAILED", None: "unknown"}
EXIT_STATUS = {"valid": 0, "violated": 1, "unknown": 3}


def worst(verdicts: Iterable[str]) -> str:
    """Of several runs: a violation counts whatever became of the others, and what is unknown is not valid."""
    return max(verdicts, key=("valid", "unknown", "violated").index)


def exit_status(verdict: str) -> int:
    """Of the command that ended with this verdict."""
    return EXIT_STATUS[verdict]


def judge(
    summary: Summary,
    findings: Sequence[Finding],
    stopped: str = "",
    expect_digest: str | None = None,
) -> tuple[str, list[str]]:
    """(verdict, reasons). A violation counts however the run ended."""
    broken = [
        *_found(summary, findings),
        *_failed_checks(summary),
        *_wrong_digest(summary, expect_digest),
    ]
    early = [f"ended early: {stopped or 'it was stopped'}"]
    unsure = [*_open_checks(summary)] if summary["finished"] else early
    verdict = "violated" if broken else "unknown" if unsure else "valid"
    return verdict, broken + unsure


def excluded(summary: Summary) -> dict[str, int]:
    """Broken invariants and anomalies that the protocol's own definition does not admit."""
    protocol, settings = summary["protocol"], of_summary(summary)
    return {
        name: count
        for name, count in {**summary["invariant_violations"], **summary["anomalies"]}.items()
        if not admitted(name, protocol, settings)
    }


def where(finding: Finding) -> str:
    """When and to whom a finding happened: 1.70 ms, h0/v3, task 3, piece 0, try 2."""
    op = "" if finding["op"] is None else f", {words.op(finding['op'])}"
    return f"{duration(finding['time_seconds'])}, {finding['vm']}{op}"


def _found(summary: Summary, findings: Sequence[Finding]) -> Iterator[str]:
    first = {finding["id"]: finding for finding in reversed(findings)}
    for name, count in excluded(summary).items():
        times = "once" if count == 1 else f"{number(count)} times"
        about = f"{name} ({meaning(name)}), {times}"
        example = first.get(name)
        yield f"{about}; first at {where(example)}: {example['text']}" if example else about


def _failed_checks(summary: Summary) -> Iterator[str]:
    for row in summary["checks"]:
        if row["ok"] is False and (summary["finished"] or _beyond_repair(row)):
            yield _check(row)


def _open_checks(summary: Summary) -> Iterator[str]:
    """Limits on what the run has no figure of: nothing was converted, or booted."""
    return (_check(row) for row in summary["checks"] if row["ok"] is None)


def _check(row: Mapping[str, Any]) -> str:
    return f"check {row['name']}: {check_value(row)}, wanted {row['limit']}"


def _beyond_repair(row: Mapping[str, Any]) -> bool:
    """Would the limit be missed still if the run had gone on?"""
    check = checks.parse(row["name"], row["limit"])
    upper = check.operator in ("<", "<=") or (check.operator == "==" and row["value"] > check.bound)
    return upper and check.name.startswith(GROWING)


def _wrong_digest(summary: Summary, expected: str | None) -> Iterator[str]:
    # The digest of a part says nothing about the whole.
    if expected and summary["finished"] and expected.lower() != summary["digest"]:
        yield f"digest {summary['digest']}, expected {expected}"


def check_value(row: Mapping[str, Any]) -> str:
    """What a check met."""
    return "no data" if row["value"] is None else show_value(row["name"], row["value"])


def show_value(name: str, value: float) -> str:
    """The value of a check's metric, in its unit; results may be of another version."""
    metric = checks.METRICS.get(name)
    return UNITS[metric.unit](value) if metric else str(value)
