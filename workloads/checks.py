"""[checks]: limits on a run's results, such as "conversion.latency.p99" = "< 5ms". Pure."""

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from workloads.errors import UsageError
from workloads.units import parse_duration, parse_size
from workloads.wording import quote, suggestion

EXAMPLE = 'a limit such as "< 5ms", "<= 0.1%", ">= 1000", "== 0"'

Unit = Literal["duration", "count", "ratio", "size", "number"]
Summary = Mapping[str, Any]

OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


class Metric(msgspec.Struct, frozen=True):
    """Something that a limit can be set on: its unit, and where a summary has it."""

    unit: Unit
    value: Callable[[Summary], float | None]


class Check(msgspec.Struct, frozen=True):
    """One limit; the bound in the summary's unit: seconds, bytes, a fraction or a number."""

    name: str
    limit: str
    operator: str
    bound: float


def parse(name: str, limit: str) -> Check:
    """The check that a line of [checks] asks for."""
    if name not in METRICS:
        # A name may be anything: quoted, it stays on one line.
        known = suggestion(name, METRICS)
        raise UsageError(f"checks.{quote(name)[1:-1]}: unknown check; {known}")
    try:
        sign, bound = limit_of(limit, METRICS[name].unit)
    except ValueError as error:
        raise UsageError(f"checks.{name}: {error}") from None
    return Check(name, limit, sign, bound)


def evaluate(checks: Mapping[str, str], summary: Summary) -> list[dict[str, Any]]:
    """The rows of summary.json; `ok` is None of what has no data."""
    return [_row(parse(name, limit), summary) for name, limit in checks.items()]


def _row(check: Check, summary: Summary) -> dict[str, Any]:
    value = METRICS[check.name].value(summary)
    ok = None if value is None else OPERATORS[check.operator](value, check.bound)
    return {"name": check.name, "limit": check.limit, "value": value, "ok": ok}


def limit_of(limit: str, unit: Unit) -> tuple[str, float]:
    """(operator, bound in the unit of results); ValueError tells what was found and what is allowed."""
    text = limit.strip()
    if text == "none" and unit in ("count", "size"):
        return "==", 0
    match = re.fullmatch(r"(<=|>=|==|!=|<|>)\s*(\S+)", text)
    if match is None:
        none = ', "none"' if unit in ("count", "size") else ""
        raise ValueError(f"found {quote(limit)}, expected {EXAMPLES[unit]}{none}")
    return match[1], PARSERS[unit](match[2])


def _seconds(text: str) -> float:
    # The summary divides nanoseconds in the same way, so that "== 5ms" can hold.
    return parse_duration(text) / 1e9


def _whole(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise ValueError(f"found {quote(text)}, expected a whole number that is not negative")
    return int(text)


def _ratio(text: str) -> float:
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)(%?)", text)
    ratio = float(match[1]) / (100 if match[2] else 1) if match else math.inf
    if ratio > 1:
        raise ValueError(f'found {quote(text)}, expected a share from "0%" to "100%", or 0 to 1')
    return ratio


def _number(text: str) -> float:
    if not re.fullmatch(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?", text):
        raise ValueError(f"found {quote(text)}, expected a number such as 1.5")
    return float(text)


PARSERS: Mapping[Unit, Callable[[str], float]] = {
    "duration": _seconds,
    "count": _whole,
    "ratio": _ratio,
    "size": parse_size,
    "number": _number,
}
EXAMPLES: Mapping[Unit, str] = {
    "duration": 'a limit such as "< 5ms"',
    "count": 'a limit such as ">= 1000", "== 0"',
    "ratio": 'a limit such as "<= 0.1%"',
    "size": 'a limit such as "< 2MiB"',
    "number": 'a limit such as ">= 1.5"',
}


def _figure(summary: Summary, section: str, key: str) -> float | None:
    table = summary.get(section)
    value = table.get(key) if isinstance(table, Mapping) else None
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def _at(section: str, key: str) -> Callable[[Summary], float | None]:
    return lambda summary: _figure(summary, section, key)


def _times(section: str, key: str) -> Callable[[Summary], float | None]:
    # Percentiles of nothing may be written as zeros, which would meet any "<".
    return lambda summary: (
        _figure(summary, section, key) if _figure(summary, section, "count") else None
    )


def _failure_ratio(summary: Summary) -> float | None:
    """Of those answered: what is unfinished has not failed, and nothing answered says nothing."""
    completed = _figure(summary, "conversions", "completed")
    failed = _figure(summary, "conversions", "failed")
    if completed is None or failed is None or not completed + failed:
        return None
    return failed / (completed + failed)


def _anomalies(summary: Summary) -> float | None:
    counts = summary.get("anomalies")
    return sum(counts.values()) if isinstance(counts, Mapping) else None


METRICS: Mapping[str, Metric] = {
    **{
        f"{name}.{key}": Metric("duration", _times(section, key))
        for name, section in (("conversion.latency", "latency_seconds"), ("boot", "boot_seconds"))
        for key in ("mean", "p50", "p90", "p99", "p999", "max")
    },
    **{
        f"conversions.{key}": Metric("count", _at("conversions", key))
        for key in ("requested", "completed", "failed", "redundant", "retries", "in_flight_peak")
    },
    "page_faults.retried": Metric("count", lambda summary: summary.get("page_faults_retried")),
    "conversion.failure_ratio": Metric("ratio", _failure_ratio),
    "anomalies": Metric("count", _anomalies),
    "memory.poisoned_bytes": Metric("size", _at("memory", "poisoned_bytes")),
    "memory.leaked_bytes": Metric("size", _at("memory", "leaked_bytes")),
    "memory.huge_mappings_lost": Metric("count", _at("memory", "huge_mappings_lost")),
}
