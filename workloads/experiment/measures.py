"""Figures of summaries: what a measure is of one run, and over the seeds of a point."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from workloads import checks
from workloads.experiment.records import Measure
from workloads.outcome.interval import Interval, interval
from workloads.units import format_duration

Summary = Mapping[str, Any]
MULTIPLE = re.compile(r"(<=?)\s*([0-9]{1,6}(?:\.[0-9]{1,6})?)x")
# How a limit on a figure of this unit is read (workloads.checks).
LIMITS: Mapping[str, checks.Unit] = {
    "number": "number",
    "count": "number",
    "duration": "duration",
    "size": "size",
    "ratio": "ratio",
    "rate": "number",
}


def over_seeds(measure: Measure, summaries: Sequence[Summary]) -> Interval | None:
    """Mean and 95% interval over the runs that have the figure; None if none has."""
    values = [value_of(measure, summary) for summary in summaries]
    found = [value for value in values if value is not None]
    return interval(found) if found else None


def value_of(measure: Measure, summary: Summary) -> float | None:
    """Of one run; what has no value, or is divided by nothing, is None."""
    value = at(measure.path, summary)
    if not measure.per or value is None:
        return value
    by = at(measure.per, summary)
    return value / by if by else None


def at(path: str, summary: Summary) -> float | None:
    """What stands there: a number, or the sum of a table's numbers. A counter that a run does not name is 0."""
    if path in checks.METRICS:
        return checks.METRICS[path].value(summary)
    node: Any = summary
    for part in path.split("."):
        if not isinstance(node, Mapping):
            return None
        if part not in node:
            return 0.0 if all(type(value) is int for value in node.values()) else None
        node = node[part]
    return total(node)


def total(node: Any) -> float | None:
    """A number, or all numbers below; None where there is none."""
    if isinstance(node, bool) or node is None:
        return None
    if isinstance(node, int | float):
        return float(node)
    if isinstance(node, Mapping):
        parts = [total(value) for value in node.values()]
        return sum((part for part in parts if part is not None), 0.0)
    return None


def absolute(objective: Mapping[str, str], least: Sequence[Summary]) -> dict[str, str]:
    """Multiples ("< 1.5x") as durations, from the mean of these runs; of nothing there is none, so nothing holds."""
    found = dict(objective)
    for name, limit in objective.items():
        sign, factor = multiple(limit)
        if factor:
            mean = mean_of(name, least)
            found[name] = f"{sign} {format_duration(round(factor * (mean or 0.0) * 1e9))}"
    return found


def multiple(limit: str) -> tuple[str, float]:
    """Sign and factor of "< 1.5x"; 0 of any other limit."""
    match = MULTIPLE.fullmatch(limit)
    return (match[1], float(match[2])) if match else ("", 0.0)


def mean_of(name: str, summaries: Sequence[Summary]) -> float | None:
    """Of a name of [checks]; None unless every run has the figure."""
    values = [checks.METRICS[name].value(summary) for summary in summaries]
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present and len(present) == len(values) else None


def missed(objective: Mapping[str, str], summaries: Sequence[Summary]) -> list[str]:
    """The limits that the mean over the seeds does not keep to. Runs without the figure keep to none."""
    found = []
    for name, limit in objective.items():
        check, mean = checks.parse(name, limit), mean_of(name, summaries)
        if mean is None or not checks.OPERATORS[check.operator](mean, check.bound):
            found.append(name)
    return found


class Kinds(NamedTuple):
    """What was missed: a time (`late`), or what is no time (`failing`)."""

    late: bool
    failing: bool


def kinds(names: Sequence[str], summaries: Sequence[Summary]) -> Kinds:
    """Of missed limits. A time that there is not, where nothing ended, is no time."""
    times = [
        checks.METRICS[name].unit == "duration" and mean_of(name, summaries) is not None
        for name in names
    ]
    return Kinds(any(times), not all(times))
