"""Every metric family with its clock, unit and label sets, and Readings, one snapshot of them all.

Plain data: cluster.exporter alone knows the client library, and dashboards know this module alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeVar

from cluster.histogram import BOOT_BOUNDS_NS, BOUNDS_NS, NS, Histogram
from cluster.label_sets import (
    ANOMALIES,
    CALLS,
    CONSUMERS,
    DIRECTIONS,
    DMA_OUTCOMES,
    INVARIANTS,
    LOCKS,
    MOVE_OUTCOMES,
    OUTCOMES,
    PHASES,
    REQUEST_STAGES,
    Labels,
    Run,
    Sets,
    by_protocol,
    each,
    failures,
    host_groups,
    partitions,
)

Kind = Literal["counter", "gauge", "histogram", "info"]
CLOCKS = {
    "simulated": "Clock: simulated.",
    "wall": "Clock: wall.",
    "none": "Clock: none, it never changes.",
}


class Family(NamedTuple):
    """One metric family. `bounds` (ns) are a histogram's buckets."""

    name: str
    kind: Kind
    clock: Literal["simulated", "wall", "none"]
    text: str
    unit: str = ""
    labels: Labels = ()
    sets: Sets = each()
    bounds: tuple[int, ...] = BOUNDS_NS

    @property
    def help(self) -> str:
        """The HELP line: what is measured, and by which clock."""
        return f"{self.text} {CLOCKS[self.clock]}"


_CONVERSION = ("protocol", "direction", "outcome")
_BY_CONVERSION = by_protocol(DIRECTIONS, OUTCOMES)
# fmt: off
FAMILIES: dict[str, Family] = {family.name: family for family in (
    Family("gmemsim_conversion_latency_seconds", "histogram", "simulated",
           "Latency of a conversion, from when it was due to the VMM's answer, retries included.",
           "seconds", _CONVERSION, _BY_CONVERSION),
    Family("gmemsim_phase_latency_seconds", "histogram", "simulated",
           "Time from guest_memfd's question to one consumer's answer.",
           "seconds", ("phase", "consumer"), each(PHASES, CONSUMERS)),
    Family("gmemsim_conversions_total", "counter", "simulated",
           "Conversions answered; redundant ones count as completed.",
           "", _CONVERSION, _BY_CONVERSION),
    Family("gmemsim_conversion_failures_total", "counter", "simulated",
           "Failed attempts; a conversion that is retried can add several.",
           "", ("protocol", "phase", "consumer", "reason"), failures),
    Family("gmemsim_conversions_in_flight", "gauge", "simulated",
           "Conversions that a VMM has accepted and not answered, queued ones included."),
    Family("gmemsim_host_group_conversions_total", "counter", "simulated",
           "Conversions answered, by groups of hosts with numbers in a row, at most 16 groups.",
           "", ("host_group", "outcome"), host_groups(OUTCOMES)),
    Family("gmemsim_host_group_conversions_in_flight", "gauge", "simulated",
           "Conversions in flight, by groups of hosts with numbers in a row, at most 16 groups.",
           "", ("host_group",), host_groups()),
    Family("gmemsim_retries_total", "counter", "simulated", "Attempts that a VMM made again."),
    Family("gmemsim_vcpu_kicks_total", "counter", "simulated", "vCPUs forced out of the guest."),
    Family("gmemsim_vms_bugged_total", "counter", "simulated",
           "KVM_BUG_ONs, and pages that no consumer could unmap after the decision."),
    Family("gmemsim_vms_lost_total", "counter", "simulated",
           "VMs that will not run again after a failure, each once, bugged or stopped by their VMM or guest."),
    Family("gmemsim_lock_wait_seconds", "histogram", "simulated",
           "Waits for a lock or a queue; takes without a wait are not observed.",
           "seconds", ("lock",), each(LOCKS)),
    Family("gmemsim_tdx_busy_total", "counter", "simulated",
           "Batches of SEAMCALLs that the TDX module answered with BUSY.",
           "", ("operation",), each(CALLS)),
    Family("gmemsim_iommu_queue_depth", "gauge", "simulated",
           "Invalidations that an entering one finds in its unit's queue, over the run so far.",
           "", ("stat",), each(("mean", "max"))),
    Family("gmemsim_anomalies_total", "counter", "simulated",
           "Anomalies found, by their id in docs/domain.md section 5.",
           "", ("protocol", "anomaly"), by_protocol(ANOMALIES)),
    Family("gmemsim_invariant_violations_total", "counter", "simulated",
           "Broken invariants, by their id in docs/domain.md section 6.",
           "", ("invariant",), each(INVARIANTS)),
    Family("gmemsim_poisoned_bytes", "gauge", "simulated",
           "Memory that guest_memfd will never use again.", "bytes"),
    Family("gmemsim_leaked_bytes", "gauge", "simulated",
           "Memory of released files that is neither free nor poisoned, counted at the run's end.",
           "bytes"),
    Family("gmemsim_huge_mappings_lost_total", "counter", "simulated",
           "2 MiB mappings lost: split for a conversion, refused or not; nothing promotes them again."),
    Family("gmemsim_page_faults_retried_total", "counter", "simulated",
           "Guests' faults that KVM sent back to their start: what they had looked up was outdated under mmu_lock."),
    Family("gmemsim_boot_seconds", "histogram", "simulated",
           "Time from a VM's start to the end of its boot load.", "seconds", bounds=BOOT_BOUNDS_NS),
    Family("gmemsim_vm_requests_total", "counter", "simulated",
           "Requests for a VM that have come to a stage; where VMs arrive. A host's refusal is no end.",
           "", ("stage",), each(REQUEST_STAGES)),
    Family("gmemsim_vm_placement_seconds", "histogram", "simulated",
           "Time from a request for a VM until the controller knows that a host has taken it.",
           "seconds"),
    Family("gmemsim_vm_moves_total", "counter", "simulated",
           "Moves of VMs between hosts that are over, by what has become of them; in all but moved the VM goes on at "
           "its source, or is gone.", "", ("outcome",), each(MOVE_OUTCOMES)),
    Family("gmemsim_vm_moves_in_flight", "gauge", "simulated",
           "Moves that have begun and are not over."),
    Family("gmemsim_vm_move_downtime_seconds", "histogram", "simulated",
           "Time that a VM stands still for a move, until it runs at the target, or at the source again.",
           "seconds"),
    Family("gmemsim_host_evacuation_seconds", "histogram", "simulated",
           "Time from when a host takes VMs no more until none is left there.",
           "seconds", bounds=BOOT_BOUNDS_NS),
    Family("gmemsim_dma_total", "counter", "simulated",
           "DMAs of streams; stale are those that only the IOTLB still knew, faults are DMAR faults.",
           "", ("outcome",), each(DMA_OUTCOMES)),
    Family("gmemsim_dma_held_seconds", "histogram", "simulated",
           "Time that a stream of DMA stood still while the VMM unmapped and mapped its window.",
           "seconds"),
    Family("gmemsim_engine_events_total", "counter", "wall", "Events that the engine has handled."),
    Family("gmemsim_engine_simulated_seconds", "gauge", "simulated",
           "How far the simulation has come.", "seconds"),
    Family("gmemsim_engine_windows_total", "counter", "wall",
           "Windows in which partitions advanced together; none where hosts do not talk."),
    Family("gmemsim_engine_partition_busy_seconds_total", "counter", "wall",
           "Time that a partition spent on events.", "seconds", ("partition",), partitions),
    Family("gmemsim_engine_partition_wait_seconds_total", "counter", "wall",
           "Time between a partition's orders and reports that it was not busy.",
           "seconds", ("partition",), partitions),
    Family("gmemsim_engine_recoveries_total", "counter", "wall",
           "Partitions rebuilt after a loss."),
    Family("gmemsim_run_info", "info", "none", "The run that the other families are about.",
           "", ("run_id", "scenario", "seed", "protocol", "executor", "placement"),
           lambda run: (run.about,)),
    Family("gmemsim_build_info", "info", "none", "What ran it.",
           "", ("version", "python"), lambda run: (run.build,)),
)}
# Of an experiment, once it is over: no run has them. A `line` combines the axes but the last, which `at` counts.
_POINT = ("experiment", "measure", "line", "axis", "at")
EXPERIMENT: dict[str, Family] = {family.name: family for family in (
    Family("gmemsim_experiment_mean", "gauge", "simulated",
           "A measure at a point of an experiment, over its seeds, in the measure's own unit.", "", _POINT),
    Family("gmemsim_experiment_low", "gauge", "simulated",
           "The lower end of its 95% interval; nothing for a single seed.", "", _POINT),
    Family("gmemsim_experiment_high", "gauge", "simulated",
           "The upper end of its 95% interval; nothing for a single seed.", "", _POINT),
    Family("gmemsim_experiment_capacity", "gauge", "simulated",
           "What the search found: the largest value at which the objective holds.", "",
           ("experiment", "line", "answer", "limiting")),
)}
# fmt: on

# --- values --------------------------------------------------------------------------------------


class Bars(NamedTuple):
    """One label set of a histogram. `below` counts values <= each bound of its family."""

    below: tuple[int, ...]
    number: int  # of all values
    seconds: float  # their sum


Value = TypeVar("Value")
Values = Mapping[str, Mapping[Labels, float]]
Histograms = Mapping[str, Mapping[Labels, Histogram]]
_NOTHING = Histogram()


@dataclass(frozen=True)
class Readings:
    """One snapshot: family -> label values -> value.

    Every label set of the run is there from the start, with 0.
    """

    values: Values
    bars: Mapping[str, Mapping[Labels, Bars]]

    @classmethod
    def of(cls, run: Run, values: Values, histograms: Histograms) -> "Readings":
        """Whatever is not given is 0. A label set outside the closed ones is a bug of gmemsim."""
        plain = {
            f.name: _complete(f, run, values.get(f.name, {}), float(f.kind == "info"))
            for f in FAMILIES.values()
            if f.kind != "histogram"
        }
        bars = {
            f.name: _complete(f, run, _drawn(f, histograms.get(f.name, {})), _bars(f))
            for f in FAMILIES.values()
            if f.kind == "histogram"
        }
        strange = {*values} - {*plain} | {*histograms} - {*bars}
        assert not strange, f"no such families: {sorted(strange)}"
        return cls(MappingProxyType(plain), MappingProxyType(bars))


def _drawn(family: Family, histograms: Mapping[Labels, Histogram]) -> Mapping[Labels, Bars]:
    return {labels: _bars(family, histogram) for labels, histogram in histograms.items()}


def _bars(family: Family, histogram: Histogram = _NOTHING) -> Bars:
    below = tuple(histogram.below(family.bounds))
    return Bars(below, histogram.count, histogram.total / NS)


def _complete(
    family: Family, run: Run, found: Mapping[Labels, Value], zero: Value
) -> Mapping[Labels, Value]:
    sets = list(family.sets(run))
    strange = found.keys() - {*sets}
    assert not strange, f"{family.name}: outside its closed label sets: {sorted(strange)}"
    return MappingProxyType({labels: found.get(labels, zero) for labels in sets})
