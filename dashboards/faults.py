"""Faults and anomalies: what was injected or went wrong, and what it left."""

from dashboards.board import Board, Row
from dashboards.findings import ANOMALY_SEEN, BROKEN, INVARIANT_BROKEN, SEEN, violated
from dashboards.overview import FAILED
from dashboards.panels import RED, YELLOW, Query, bars, lines, number
from dashboards.promql import per_second, total

FIGURES = Row(
    "What is lost?",
    [
        violated(),
        number(
            "VMs bugged",
            "KVM_BUG_ONs and pages that nobody could unmap after the decision. Good is 0 without "
            "a bug in the scenario's faults.",
            Query(total("gmemsim_vms_bugged_total"), "bugs"),
            "none",
            (1, RED),
        ),
        number(
            "Poisoned",
            "Memory that guest_memfd knows to be bad and will never use again: the cost of a bug "
            "that was reported.",
            Query(total("gmemsim_poisoned_bytes"), "bytes"),
            "bytes",
            (1, YELLOW),
        ),
        number(
            "Leaked",
            "Memory that is neither free nor poisoned after its file is gone, counted at the end. "
            "Good is 0.",
            Query(total("gmemsim_leaked_bytes"), "bytes"),
            "bytes",
            (1, RED),
        ),
        number(
            "Huge mappings lost",
            "2 MiB mappings split for a conversion and never mapped huge again. It grows with "
            "partial conversions; the guest pays with TLB misses.",
            Query(total("gmemsim_huge_mappings_lost_total"), "2 MiB"),
            "none",
        ),
        number(
            "Retries",
            "Attempts that VMMs made again. Fine while they succeed; a run of them on one range "
            "is a livelock (AN12).",
            Query(total("gmemsim_retries_total"), "retries"),
            "none",
        ),
    ],
)
ATTEMPTS = Row(
    "Which attempts fail?",
    [
        lines(
            "By reason",
            "By wall clock. Bursts are what a fault rule with a duration looks like.",
            [Query(per_second(FAILED, "reason"), "{{reason}}")],
            "ops",
            stacked=True,
        ),
        lines(
            "By phase",
            "preparing is the cheap place to fail. committing is the one that two-phase does not "
            "have, bugs aside.",
            [Query(per_second(FAILED, "phase"), "{{phase}}")],
            "ops",
            stacked=True,
        ),
    ],
)
FOUND = Row(
    "What was found?",
    [
        bars(
            "Anomalies by kind",
            "`gmemsim list anomalies` has their meaning, and which protocol admits which.",
            Query(f"{total(SEEN, 'anomaly')} > 0 or {total(SEEN)}", "{{anomaly}}"),
            "none",
            (1, YELLOW),
        ),
        bars(
            "Invariants by id",
            "`gmemsim list invariants` has their meaning. Every bar above 0 is a bug.",
            Query(f"{total(BROKEN, 'invariant')} > 0 or {total(BROKEN)}", "{{invariant}}"),
            "none",
            (1, RED),
        ),
    ],
)
BOARD = Board(
    "gmemsim-faults",
    "gmemsim: faults and anomalies",
    "What failed, by which class, and what the failures left behind.",
    (FIGURES, ATTEMPTS, FOUND),
    (ANOMALY_SEEN, INVARIANT_BROKEN),
)
