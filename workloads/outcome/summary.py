"""What a run came to, as one plain record: summary.json (layout: workloads.outcome.shape)."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from cluster.histogram import Histogram
from cluster.label_sets import DMA_OUTCOMES
from workloads import __version__, checks
from workloads.census import ASKED, WAITING
from workloads.checkers import ANOMALIES, INVARIANTS
from workloads.code_version import code_version
from workloads.inside import KEYS as INSIDE
from workloads.meter import DIRECTION
from workloads.outcome import little, warm_up
from workloads.outcome.arrivals import arrivals
from workloads.outcome.bottleneck import bottleneck
from workloads.outcome.drain import drain
from workloads.outcome.moves import moves
from workloads.outcome.settings import of_scenario
from workloads.outcome.shape import SCHEMA, Conversions, FailedAttempts, FaultCount, Input
from workloads.outcome.tally import NS, Tally, tally
from workloads.outcome.verdict import exit_status, judge
from workloads.scenario import Scenario, explain
from workloads.simulate import Outcome
from workloads.trace.spool import TraceLog

__all__ = ["exit_status", "findings", "percentiles", "summarise"]

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
PHASES = ("prepare", "commit", "abort", "invalidate", "remap")
PACKAGES = ("ray", "msgspec")


def summarise(
    scenario: Scenario,
    outcome: Outcome,
    logs: Sequence[TraceLog] = (),
    stopped: str = "",
    expect_digest: str | None = None,
) -> dict[str, Any]:
    """summary.json. `stopped` says why the run ended early, if it did."""
    protocol = scenario.protocol.name
    seen = tally(outcome.watched, protocol, outcome.finished, of_scenario(scenario))
    memory = dict(outcome.census)
    here = {key: memory.pop(key, 0) for key in INSIDE}
    seen.findings.extend(little.findings(seen.queues, here, outcome.totals.now))
    found = findings(seen, outcome.finished)
    requests = with_load(
        conversions(seen), memory.pop(ASKED), memory.pop(WAITING), seen.count("on_top")
    )
    summary: dict[str, Any] = {
        "schema": SCHEMA,
        "verdict": "unknown",
        "reasons": [],
        "finished": outcome.finished,
        "digest": outcome.digest,
        "scenario": scenario.scenario.name,
        "seed": scenario.scenario.seed,
        "protocol": protocol,
        "simulated_seconds": outcome.totals.now / NS,
        "last_answer_seconds": seen.last_answer / NS,
        "answered_per_simulated_second": answer_rate(requests, seen.last_answer / NS),
        **drain(scenario, seen, outcome.totals.now),
        "conversions": requests,
        **latencies(seen),
        "boot_seconds": percentiles(seen.histogram("boot")),
        "vms_bugged": seen.count("vms_bugged"),
        "guest_faults": seen.count("guest_faults"),
        "vms_lost": seen.count("vms_lost"),
        **admitted(scenario, seen),
        **arrivals(
            scenario,
            seen,
            {
                "placement_seconds": percentiles(seen.histogram("vm_placement")),
                "up_seconds": percentiles(seen.until_up),
            },
        ),
        **moves(scenario, seen, percentiles),
        "page_faults_retried": seen.count("page_faults_retried"),
        **notifiers(seen),
        **dma(seen),
        "tdx": tdx(seen),
        "phases": phases(seen),
        "resources": little.resources(seen.queues),
        **failures(seen),
        "faults": faults(scenario, seen),
        "memory": {**memory, "huge_mappings_lost": seen.count("huge_lost")},
        "anomalies": {c.id: found[c.id] for c in ANOMALIES if found[c.id]},
        "invariant_violations": {c.id: found[c.id] for c in INVARIANTS if found[c.id]},
        "checks": [],
        "parameters": parameters(scenario),
        **({"input": inputs(logs)} if logs else {}),
        "engine": engine(scenario, outcome, seen),
        "versions": versions() | {"sources": code_version()},
    }
    summary["checks"] = checks.evaluate(scenario.checks, summary)
    summary["verdict"], summary["reasons"] = judge(summary, seen.findings, stopped, expect_digest)
    first = next((finding for finding in seen.findings if not finding["admitted"]), None)
    if first:
        summary["counterexample"] = first
    return summary


def percentiles(histogram: Histogram) -> dict[str, Any]:
    """Of durations in ns, as seconds (summary_shape.Percentiles); of none, only their number."""
    if not histogram.count:
        return {"count": 0, **dict.fromkeys(("mean", *QUANTILES, "max"))}
    return {
        "count": histogram.count,
        "mean": histogram.total / histogram.count / NS,
        **{name: histogram.quantile(share) / NS for name, share in QUANTILES.items()},
        "max": histogram.most / NS,
    }


def findings(seen: Tally, finished: bool) -> Counter[str]:
    """How often each check found something. What is still under way has broken no promise yet."""
    found = seen.found + seen.open
    found["L12"] += sum(finding["id"] == "L12" for finding in seen.findings)
    if finished:
        # A conversion may hang before it takes its lock, or after.
        found["L1"] += max(conversions(seen)["unfinished"] - seen.open["L1"], 0)
    return found


def conversions(seen: Tally) -> Conversions:
    """Requests by what became of them."""
    outcomes: Counter[str] = Counter()
    for (family, *labels), count in seen.counters.items():
        if family == "conversions":
            outcomes[labels[-1]] += count
    requested = seen.count("requested")
    return Conversions(
        requested=requested,
        completed=outcomes["completed"],
        failed=outcomes["failed"],
        unfinished=requested - outcomes["completed"] - outcomes["failed"],
        redundant=seen.count("redundant"),
        retries=seen.count("retries"),
        at_dead_vms=seen.count("at_dead_vms"),
        in_flight_peak=max((row[3] for row in seen.timeline), default=0),
    )


def with_load(requests: Conversions, asked: int, waiting: int, on_top: int) -> Conversions:
    """With what the load asked for. What of it no vCPU has come to is unfinished as well."""
    requests["requested"] += waiting
    # Of a run that was lost nobody knows what was asked for, only what came.
    asked = max(asked, requests["requested"] - on_top)
    requests["asked"], requests["on_top"] = asked, on_top
    requests["cut_short"] = asked + on_top - requests["requested"]
    requests["unfinished"] += waiting
    return requests


def answer_rate(requests: Conversions, seconds: float) -> float | None:
    """Answers a second of simulated time up to the last one, if there is any; but for those of VMs that had died."""
    answered = requests["completed"] + requests["failed"] - requests["at_dead_vms"]
    return answered / seconds if seconds else None


def latencies(seen: Tally) -> dict[str, Any]:
    """Of all answered requests: were failures left out, failing would improve the percentiles."""
    return {
        "latency_seconds": percentiles(seen.latency()),
        "latency_seconds_by_direction": {
            direction: percentiles(seen.latency(direction)) for direction in DIRECTION.values()
        },
        **warm_up.warm_up(seen),
    }


def phases(seen: Tally) -> dict[str, dict[str, Any]]:
    """Phase -> consumer -> how long it took to answer; consumers by name."""
    result: dict[str, dict[str, Any]] = {phase: {} for phase in PHASES}
    for (family, *labels), histogram in sorted(seen.histograms.items(), key=lambda item: item[0]):
        if family == "phase_latency":
            phase, consumer = labels
            result.setdefault(phase, {})[consumer] = percentiles(histogram)
    return result


def failures(seen: Tally) -> dict[str, Any]:
    """Failed attempts: by reason, by consumer and reason, and in full; the most frequent first."""
    rows = [
        FailedAttempts(phase=key[2], consumer=key[3], reason=key[4], count=count)
        for key, count in sorted(seen.counters.items(), key=lambda item: (-item[1], item[0]))
        if key[0] == "failures"
    ]
    reasons: Counter[str] = Counter()
    consumers: dict[str, Counter[str]] = {}
    for row in rows:
        reasons[row["reason"]] += row["count"]
        consumers.setdefault(row["consumer"], Counter())[row["reason"]] += row["count"]
    return {
        "failures": dict(reasons.most_common()),
        "failures_by_consumer": {name: dict(found) for name, found in consumers.items()},
        "failed_attempts": rows,
    }


def faults(scenario: Scenario, seen: Tally) -> list[FaultCount]:
    """Every rule of the fault plan at each of its points, also where it never struck."""
    return [
        FaultCount(
            rule=rule,
            place=place,
            point=point,
            opportunities=seen.opportunities[rule, place],
            struck=seen.struck[rule, place],
        )
        for rule, fault in enumerate(scenario.fault)
        for place, point in enumerate((fault.point, *fault.also))
    ]


def admitted(scenario: Scenario, seen: Tally) -> dict[str, int]:
    """VMs in the place of others, where there can be any."""
    readmits = scenario.fleet.reuse == "readmit" and scenario.arrivals.kind == "none"
    return {"vms_admitted": seen.count("vms_admitted")} if readmits else {}


def notifiers(seen: Tally) -> dict[str, Any]:
    """Callers of mmu_notifiers, and those that cannot bear an error and got one, by site."""
    failed = {key[1]: n for key, n in sorted(seen.counters.items()) if key[0] == "no_fail_failed"}
    return {
        "notifier_calls": seen.count("notifier_calls"),
        "no_fail_failures": sum(failed.values()),
        "no_fail_callers_failed": failed,
    }


def tdx(seen: Tally) -> dict[str, Any]:
    """What the TDX module refused as BUSY, by call, and how often vCPUs were in its way."""
    busy = {key[1]: n for key, n in sorted(seen.counters.items()) if key[0] == "tdx_busy"}
    return {
        "busy": busy,
        "zero_step_entries": seen.count("zero_step_entries"),
        "vcpu_kicks": seen.count("kicks"),
    }


def dma(seen: Tally) -> dict[str, Any]:
    """What became of the DMA of streams, where there were any."""
    outcomes = {name: seen.count("dma", name) for name in DMA_OUTCOMES}
    if not any(outcomes.values()):
        return {}
    return {"dma": {**outcomes, "held_seconds": percentiles(seen.histogram("dma_held"))}}


def parameters(scenario: Scenario) -> list[Mapping[str, str]]:
    """The keys that are not at their defaults."""
    return [
        {"key": row.key, "value": row.value, "default": row.default}
        for row in explain(scenario)
        if row.value not in (row.default, "-") and row.key != "checks"
    ]


def inputs(logs: Sequence[TraceLog]) -> Input:
    """What the logs of a replay held."""
    return Input(
        files=len(logs),
        lines=sum(log.lines for log in logs),
        conversions=sum(log.conversions for log in logs),
        ignored=sum(log.ignored for log in logs),
        damaged=sum(log.damaged for log in logs),
        damaged_lines=[sample._asdict() for log in logs for sample in log.samples],
    )


def engine(scenario: Scenario, outcome: Outcome, seen: Tally) -> dict[str, Any]:
    """Wall-clock figures, and what executed the run."""
    totals, wall = outcome.totals, outcome.wall_seconds
    return {
        "executor": scenario.engine.executor,
        "placement": scenario.engine.placement,
        "partitions": outcome.partitions,
        "nodes": outcome.nodes,
        "events": totals.events,
        "windows": totals.windows,
        "lookahead_seconds": None if outcome.lookahead is None else outcome.lookahead / NS,
        "cross_messages": totals.cross_messages,
        "wall_seconds": wall,
        "behind_pace_seconds": totals.behind if scenario.engine.pace else None,
        "events_per_second": totals.events / wall if wall else 0.0,
        "conversions_per_second": seen.count("conversions") / wall if wall else 0.0,
        "recoveries": totals.recoveries,
        "events_redone": totals.events_redone,
        "checkpoints": totals.checkpoints,
        "checkpoint_seconds": totals.checkpoint_seconds,
        "checkpoint_bytes": totals.checkpoint_bytes,
        "checkpoint_error": totals.checkpoint_error,
        "peak_rss_bytes": outcome.peak_rss_bytes,
        "busy_seconds": totals.busy,
        "wait_seconds": totals.wait,
        "driver_seconds": totals.driver,
        "bottleneck": bottleneck(
            totals.seconds,
            wall,
            totals.busy,
            totals.windows,
            totals.recoveries,
            totals.driver,
            paced=bool(scenario.engine.pace),
        ),
    }


def versions() -> dict[str, str | None]:
    """Of what took part; None is not installed, as gmemsim in a Ray job that came as a folder."""
    found: dict[str, str | None] = {
        "gmemsim": __version__,
        "python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found
