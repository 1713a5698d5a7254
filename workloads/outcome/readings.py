"""From what a run has told so far to metric values: the words of all partitions, joined."""

import platform
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from actors.contract import PAGE_BYTES
from cluster.drive import Totals
from cluster.fault_points import CLASSES
from cluster.histogram import NS, Histogram
from cluster.label_sets import ANOMALIES, INVARIANTS, Labels, Run, partition_label
from cluster.metrics import Readings
from cluster.placement import runs
from workloads import __version__
from workloads.outcome.host_groups import host_groups
from workloads.outcome.summary import findings
from workloads.outcome.tally import Tally, tally
from workloads.scenario import Scenario

Words = Sequence[dict[str, Any]]
"""Partition -> watcher -> its result; partitions that have not spoken yet may be missing."""
Series = tuple[str, Labels, float]
"""Family, label values, value."""

# workloads.meter's counters and histograms -> families. Other counters serve the summary alone.
COUNTERS = {
    "conversions": "gmemsim_conversions_total",
    "failures": "gmemsim_conversion_failures_total",
    "retries": "gmemsim_retries_total",
    "kicks": "gmemsim_vcpu_kicks_total",
    "vms_bugged": "gmemsim_vms_bugged_total",
    "vms_lost": "gmemsim_vms_lost_total",
    "tdx_busy": "gmemsim_tdx_busy_total",
    "huge_lost": "gmemsim_huge_mappings_lost_total",
    "page_faults_retried": "gmemsim_page_faults_retried_total",
    "dma": "gmemsim_dma_total",
    "vm_requests": "gmemsim_vm_requests_total",
    "vm_moves": "gmemsim_vm_moves_total",
}
HISTOGRAMS = {
    "conversion_latency": "gmemsim_conversion_latency_seconds",
    "phase_latency": "gmemsim_phase_latency_seconds",
    "lock_wait": "gmemsim_lock_wait_seconds",
    "boot": "gmemsim_boot_seconds",
    "dma_held": "gmemsim_dma_held_seconds",
    "vm_placement": "gmemsim_vm_placement_seconds",
    "move_downtime": "gmemsim_vm_move_downtime_seconds",
    "evacuation": "gmemsim_host_evacuation_seconds",
}


def at_start(scenario: Scenario, run_id: str) -> Readings:
    """Before anything has happened: every label set with 0."""
    idle = [0.0] * partitions_of(scenario)
    return readings(scenario, (), Totals(busy=idle, wait=idle), run_id)


def partitions_of(scenario: Scenario) -> int:
    """How many partitions the run will have, if hosts stay whole; pieces of hosts are counted once they are built."""
    engine = scenario.engine
    if engine.executor == "local":
        return 1
    return runs(engine.placement, scenario.fleet.hosts, engine.partitions)


def readings(
    scenario: Scenario,
    words: Words,
    totals: Totals,
    run_id: str,
    *,
    census: Mapping[str, int] | None = None,
    finished: bool = False,
) -> Readings:
    """The values now. `census` is known at the end.

    What a run that is not `finished` has not answered, it may still answer: no breach of L1.
    """
    engine, protocol = scenario.engine, scenario.protocol.name
    about = (
        run_id,
        scenario.scenario.name,
        str(scenario.scenario.seed),
        protocol,
        engine.executor,
        engine.placement,
    )
    seen = tally(words, protocol, finished)
    series = [
        *_counters(seen),
        *_gauges(words, seen, census or {}),
        *_groups(words, scenario.fleet.hosts),
        *_findings(findings(seen, finished), protocol),
        *_engine(totals),
    ]
    values: dict[str, dict[Labels, float]] = defaultdict(lambda: defaultdict(float))
    for family, labels, value in series:
        values[family][labels] += value
    injected = dict.fromkeys(CLASSES[f.reason] for f in scenario.fault if f.reason in CLASSES)
    hosts = scenario.fleet.hosts
    run = Run(protocol, len(totals.busy), about, build(), tuple(injected), hosts)
    return Readings.of(run, values, _histograms(seen))


@cache
def build() -> Labels:
    """Versions of gmemsim and Python."""
    return __version__, platform.python_version()


def _counters(seen: Tally) -> Iterable[Series]:
    for (name, *labels), count in seen.counters.items():
        if name in COUNTERS:
            yield COUNTERS[name], tuple(labels), count


def _histograms(seen: Tally) -> Mapping[str, Mapping[Labels, Histogram]]:
    found: dict[str, dict[Labels, Histogram]] = defaultdict(dict)
    for (name, *labels), histogram in seen.histograms.items():
        found[HISTOGRAMS[name]][tuple(labels)] = histogram
    return found


def _gauges(words: Words, seen: Tally, census: Mapping[str, int]) -> Iterable[Series]:
    meters = [word["meter"] for word in words]
    in_flight = sum(timeline[1] for meter in meters for timeline in meter["timelines"])
    deepest = max((meter["depth_max"] for meter in meters), default=0)
    mean = seen.count("iommu_depth") / max(seen.count("iommu_queued"), 1)
    yield "gmemsim_conversions_in_flight", (), in_flight
    yield "gmemsim_vm_moves_in_flight", (), seen.count("moves_begun") - seen.count("vm_moves")
    yield "gmemsim_poisoned_bytes", (), seen.count("poisoned_pages") * PAGE_BYTES
    yield "gmemsim_leaked_bytes", (), census.get("leaked_bytes", 0)
    yield "gmemsim_iommu_queue_depth", ("mean",), mean
    yield "gmemsim_iommu_queue_depth", ("max",), deepest


def _groups(words: Words, hosts: int) -> Iterable[Series]:
    for label, group in host_groups(words, hosts).items():
        answered = "gmemsim_host_group_conversions_total"
        yield answered, (label, "completed"), group.answered - group.failed
        yield answered, (label, "failed"), group.failed
        yield "gmemsim_host_group_conversions_in_flight", (label,), group.in_flight


def _findings(found: Mapping[str, int], protocol: str) -> Iterable[Series]:
    for name, count in found.items():
        yield _finding(name, protocol, count)


def _finding(name: str, protocol: str, count: int) -> Series:
    if name in ANOMALIES:
        return "gmemsim_anomalies_total", (protocol, name), count
    assert name in INVARIANTS, f"{name} is neither an anomaly nor an invariant of label_sets"
    return "gmemsim_invariant_violations_total", (name,), count


def _engine(totals: Totals) -> Iterable[Series]:
    yield "gmemsim_engine_events_total", (), totals.events
    yield "gmemsim_engine_simulated_seconds", (), totals.now / NS
    yield "gmemsim_engine_windows_total", (), totals.windows
    yield "gmemsim_engine_recoveries_total", (), totals.recoveries
    for name, spent in (("busy", totals.busy), ("wait", totals.wait)):
        for partition, seconds in enumerate(spent):
            labels = (partition_label(partition),)
            yield f"gmemsim_engine_partition_{name}_seconds_total", labels, seconds
