"""Consumers: where a conversion spends its time, and on whom it waits."""

from dashboards.board import Board, Row
from dashboards.panels import RED, YELLOW, Panel, Query, lines, number
from dashboards.promql import of, per_second, quantile, ratio, total

PHASE = "gmemsim_phase_latency_seconds"
WAIT = "gmemsim_lock_wait_seconds"
BUSY = "gmemsim_tdx_busy_total"
KICKS = "gmemsim_vcpu_kicks_total"
RETRIED = "gmemsim_page_faults_retried_total"
DMA = "gmemsim_dma_total"
DEEPEST = of("gmemsim_iommu_queue_depth", 'stat="max"')
QUEUE = 256  # descriptors of a VT-d invalidation queue


def phase(name: str, text: str) -> Panel:
    """p99 of one phase, by consumer."""
    asked = quantile(0.99, PHASE, "consumer", f'phase="{name}"')
    return lines(f"{name} p99", text, [Query(asked, "{{consumer}}")], "s")


PHASES = Row(
    "Phases: how long does each consumer take? (simulated time)",
    [
        phase(
            "prepare",
            "Asking and splitting. kvm_mmu leads where boundaries are split; pins where short "
            "references are waited for.",
        ),
        phase(
            "commit",
            "Unmapping, which may not fail. kvm_mmu grows with the pages and the vCPUs to kick.",
        ),
        phase("abort", "Undoing a prepare. It must stay short: everybody waits meanwhile."),
        phase(
            "invalidate",
            "Unmapping at once, under protocols without a prepare; the failures in it are what "
            "they cannot take back.",
        ),
    ],
)
LOCKS = Row(
    "Locks: who waits for whom? (simulated time)",
    [
        lines(
            "Waits p99 by lock",
            "Takes without a wait are not observed. ilock: conversions of one file; mmu_lock: "
            "walks of one VM; vmm: the VMM's own queue; iommu_queue: all VMs behind one unit.",
            [Query(quantile(0.99, WAIT, "lock"), "{{lock}}")],
            "s",
        ),
        lines(
            "Waits a second by lock",
            "By wall clock. The lock with the most and longest waits limits the host.",
            [Query(per_second(f"{WAIT}_count", "lock"), "{{lock}}")],
            "ops",
        ),
    ],
)
HARDWARE = Row(
    "TDX module and IOMMU",
    [
        number(
            "BUSY for each conversion",
            "Batches of SEAMCALLs that met a lock. Below one in a hundred is good; one in ten is "
            "a storm.",
            Query(ratio(total(BUSY), total("gmemsim_conversions_total")), "share"),
            "percentunit",
            (0.01, YELLOW),
            (0.1, RED),
        ),
        number(
            "Kicks for each conversion",
            "vCPUs forced out of the guest. It is the number of busy vCPUs times the pages or "
            "steps: batch TRACKs to lower it.",
            Query(ratio(total(KICKS), total("gmemsim_conversions_total")), "kicks"),
            "none",
        ),
        number(
            "Deepest invalidation queue",
            f"Of {QUEUE} descriptors of a unit. All VMs behind it share the queue: from three "
            "quarters on they wait for each other.",
            Query(f"max({DEEPEST})", "deepest"),
            "none",
            (QUEUE * 3 / 4, YELLOW),
            (QUEUE, RED),
        ),
        number(
            "DMA faults",
            "DMAs that met no mapping. Good is 0: a device that meets one has lost data.",
            Query(total(DMA, "", 'outcome="fault"'), "faults"),
            "none",
            (1, RED),
        ),
        lines(
            "BUSY by operation",
            "BLOCK and REMOVE meet vCPUs that step (the tree lock), TRACK meets those still in an "
            "old epoch.",
            [Query(per_second(BUSY, "operation"), "{{operation}}")],
            "ops",
        ),
        lines(
            "DMA by outcome",
            "stale: only the IOTLB still knew the page, which no conversion may leave behind.",
            [Query(per_second(DMA, "outcome"), "{{outcome}}")],
            "ops",
        ),
        lines(
            "DMA held up p99",
            "Simulated time that streams stood still while the VMM mapped their window anew.",
            [Query(quantile(0.99, "gmemsim_dma_held_seconds"), "p99")],
            "s",
        ),
        lines(
            "Kicks",
            "By wall clock: compare the shape with the conversions answered, not the height.",
            [Query(per_second(KICKS), "kicks")],
            "ops",
        ),
        lines(
            "Page faults sent back",
            "By wall clock: faults that waited for mmu_lock and found there that a conversion had "
            "outdated what they had looked up. Some are the price of a hot range; as many as "
            "conversions, and vCPUs fault again and again.",
            [Query(per_second(RETRIED), "faults")],
            "ops",
        ),
    ],
)
BOARD = Board(
    "gmemsim-consumers",
    "gmemsim: consumers",
    "KVM MMU, TDX module, IOMMU, host mappings and pins: their phases, locks and queues.",
    (PHASES, LOCKS, HARDWARE),
)
