"""Several seeds of one scenario: every figure of their summaries as a mean with its interval."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workloads.outcome.faults import by_name, with_counts
from workloads.outcome.figures import number
from workloads.outcome.interval import Interval, interval
from workloads.outcome.verdict import worst

Summary = Mapping[str, Any]
# What of a summary is figures. The rest says what ran, or lists single cases.
FIGURES = (
    "simulated_seconds",
    "last_answer_seconds",
    "answered_per_simulated_second",
    "drain",
    "conversions",
    "latency_seconds",
    "latency_seconds_by_direction",
    "boot_seconds",
    "vms_bugged",
    "guest_faults",
    "vms_lost",
    "vms_admitted",
    "arrivals",
    "moves",
    "page_faults_retried",
    "no_fail_failures",
    "tdx",
    "phases",
    "failures",
    "failures_by_consumer",
    "memory",
    "anomalies",
    "invariant_violations",
)
ENGINE = ("events", "wall_seconds", "events_per_second", "conversions_per_second", "peak_rss_bytes")
ANECDOTE = "one seed: its counts are an anecdote; --seeds N gives means with 95% intervals"
SPREAD = (
    "means over the seeds; \u00b1 half the 95% interval of the mean (Student's t), "
    "or (0 to its end) where half of it is more than the mean; without it, the same in every seed"
)
SEEDS_FEW = 10  # from here on Student's t is at most a sixth above that of many
RARE = "1 of 5: seen in so many of the seeds, too rarely for an interval of the mean"
RUN = ("seed", "verdict", "reasons", "digest")
ENDS = ("mean", "low", "high")
NO_FIGURE = object()


def spread(count: int) -> Iterator[str]:
    """What to know of means over so many seeds."""
    yield SPREAD
    if 1 < count < SEEDS_FEW:
        yield f"{count} seeds are few: intervals are wide, and what is rare may not have been seen"


def seeds_record(summaries: Sequence[Summary], wanted: int) -> dict[str, Any]:
    """`seeds` of summary.json. What was stopped half way is named, and no part of any figure."""
    whole = [summary for summary in summaries if summary["finished"]]
    return {
        "wanted": wanted,
        "count": len(whole),
        "verdict": worst(
            [s["verdict"] for s in summaries] + ["unknown"] * (len(summaries) < wanted)
        ),
        "runs": [{key: summary[key] for key in RUN} for summary in summaries],
        "figures": as_json(merged(whole)) if whole else {},
    }


def merged(summaries: Sequence[Summary]) -> dict[str, Any]:
    """Figures of all. A check that nobody failed, and not everybody had data for, is not known to hold."""
    found: dict[str, Any] = merge([figures(summary) for summary in summaries])
    for summary in summaries:
        for row in summary["checks"]:
            share = found["checks"][row["name"]]
            if row["ok"] is None and held(share["ok"]):
                share["ok"] = None
    return found


def held(share: Interval | None) -> bool | None:
    """Did a check hold in every seed? `share` is of those that passed it."""
    return None if share is None else share.mean == 1


def over_seeds(summary: Summary) -> dict[str, Any]:
    """The summary with intervals for figures; of one seed it stays as it is."""
    seeds = summary.get("seeds")
    if not seeds:
        return dict(summary)
    found = from_json(seeds["figures"])
    rules = with_counts(summary.get("faults", ()), found.pop("faults", {}))
    limits = found.pop("checks", {})
    checks = [
        {**row, "value": limits[row["name"]]["value"], "ok": held(limits[row["name"]]["ok"])}
        if row["name"] in limits
        else row
        for row in summary["checks"]
    ]
    return {**overlaid(summary, found), "checks": checks, "faults": [*rules]}


def seed_reasons(seeds: Mapping[str, Any]) -> Iterator[str]:
    """The first reason of every seed that was not valid."""
    for run in seeds["runs"]:
        if run["reasons"]:
            more = len(run["reasons"]) - 1
            rest = f" (and {number(more)} more)" if more else ""
            yield f"seed {run['seed']}: {run['reasons'][0]}{rest}"


def figures(summary: Summary) -> dict[str, Any]:
    """The part that is merged. A check's `ok` is the share of seeds that passed it."""
    checks = {
        row["name"]: {"value": row["value"], "ok": None if row["ok"] is None else int(row["ok"])}
        for row in summary["checks"]
    }
    engine = {key: summary["engine"][key] for key in ENGINE}
    found = {key: summary[key] for key in FIGURES if key in summary}
    rules = by_name(summary.get("faults", ()))
    return {**found, "faults": rules, "checks": checks, "engine": engine}


def merge(parts: Sequence[Any]) -> Any:
    """Numbers to their interval, tables key by key; texts and lists are left out, and so is what no run has."""
    present = [part for part in parts if part is not None]
    if not present:
        return None
    if all(isinstance(part, Mapping) for part in present):
        keys = dict.fromkeys(key for part in present for key in part)
        merged = {key: merge(_column(present, key)) for key in keys}
        return {key: value for key, value in merged.items() if value is not NO_FIGURE}
    if all(isinstance(part, int | float) for part in present):
        return interval(present)
    return NO_FIGURE


def _column(parts: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    """One key of every part: a counter that a run does not name is 0 there, anything else is just missing."""
    found = [part[key] for part in parts if key in part]
    counted = all(isinstance(value, int) for value in found)
    return found + [0] * (len(parts) - len(found)) if counted else found


def overlaid(table: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The table with what was found in its place, at any depth."""
    return {
        **table,
        **{
            key: overlaid(table.get(key) or {}, value) if isinstance(value, dict) else value
            for key, value in found.items()
        },
    }


def as_json(merged: Any) -> Any:
    """Intervals as {mean, low, high}; None where a single run tells nothing of the spread."""
    if isinstance(merged, Interval):
        ends = (None, None) if merged.half is None else (merged.low, merged.high)
        told = dict(zip(ENDS, (merged.mean, *ends), strict=True))
        return told | ({"seen": merged.seen, "runs": merged.runs} if merged.seen else {})
    return None if merged is None else {key: as_json(value) for key, value in merged.items()}


def from_json(figures: Mapping[str, Any] | None) -> Any:
    """The way back."""
    if figures is None:
        return None
    if figures.keys() >= {*ENDS}:
        mean, high = figures["mean"], figures["high"]
        half = None if high is None else high - mean
        return Interval(mean, half, figures.get("seen", 0), figures.get("runs", 0))
    return {key: from_json(value) for key, value in figures.items()}
