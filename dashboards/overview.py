"""Overview: is the run all right, how fast does it go, what fails?"""

from dashboards.board import Board, Row
from dashboards.findings import ANOMALY_SEEN, INVARIANT_BROKEN, violated
from dashboards.panels import RED, YELLOW, Query, bars, heatmap, lines, number
from dashboards.promql import per_second, percentiles, quantile, ratio, total

LATENCY = "gmemsim_conversion_latency_seconds"
DONE = "gmemsim_conversions_total"
FAILED = "gmemsim_conversion_failures_total"
REFUSED = ratio(total(DONE, "", 'outcome="failed"'), total(DONE))

VERDICT = Row(
    "Verdict: has anything gone wrong?",
    [
        violated(),
        number(
            "Failed for good",
            "Share of the answered conversions that failed after all retries. Without faults in "
            "the scenario good is 0; with them it is what the scenario's checks allow.",
            Query(REFUSED, "share"),
            "percentunit",
            (0.001, YELLOW),
            (0.01, RED),
        ),
        number(
            "VMs lost",
            "VMs that will not run again after a failure. Good is 0; each one is a guest that "
            "somebody has lost.",
            Query(total("gmemsim_vms_lost_total"), "VMs"),
            "none",
            (1, RED),
        ),
        number(
            "Anomalies",
            "What conversions left behind, all kinds together. Some are admitted by the "
            "protocol's definition: the board Faults and anomalies tells which.",
            Query(total("gmemsim_anomalies_total"), "found"),
            "none",
            (1, YELLOW),
        ),
        number(
            "Memory lost",
            "Poisoned and leaked memory. Good is 0; poisoned memory is known to be bad, leaked "
            "memory is known to nobody.",
            Query(f"{total('gmemsim_poisoned_bytes')} + {total('gmemsim_leaked_bytes')}", "bytes"),
            "bytes",
            (1, YELLOW),
        ),
        number(
            "Simulated",
            "How far the simulation has come, in simulated time. It must grow until the run is "
            "over.",
            Query(total("gmemsim_engine_simulated_seconds"), "time"),
            "s",
        ),
    ],
)
THROUGHPUT = Row(
    "Throughput: is it getting on?",
    [
        lines(
            "Conversions answered",
            "By wall clock, so this is the engine's speed and no property of the simulated "
            "machines. Level is good; zero before the end is a stalled run.",
            [Query(per_second(DONE, "outcome"), "{{outcome}}")],
            "ops",
            stacked=True,
        ),
        lines(
            "Conversions in flight",
            "Accepted by a VMM and not answered, queued ones included. Level is good; steady "
            "growth means that the load asks for more than its hosts can do.",
            [Query(total("gmemsim_conversions_in_flight"), "in flight")],
            "none",
        ),
    ],
)
SPEED = Row(
    "Latency: how long does a guest wait? (simulated time)",
    [
        heatmap(
            "Latency of conversions",
            "Each column is what was answered then. One narrow band is good; a second band above "
            "it is conversions that wait for something.",
            per_second(f"{LATENCY}_bucket", "le"),
            "s",
        ),
        lines(
            "Percentiles",
            "Interpolated within the histogram's buckets (1-2-5 a decade): the exact figures are "
            "in summary.json. p99 far above p50 means waiting, for locks or retries.",
            percentiles(LATENCY),
            "s",
        ),
        lines(
            "p99 by direction",
            "To private is usually dearer where hosts map the memory; to shared where the S-EPT "
            "has small pages.",
            [Query(quantile(0.99, LATENCY, "direction"), "{{direction}}")],
            "s",
        ),
        lines(
            "p99 by outcome",
            "What fails should fail fast. A failed conversion that takes as long as a retry "
            "policy allows kept its guest waiting for nothing.",
            [Query(quantile(0.99, LATENCY, "outcome"), "{{outcome}}")],
            "s",
        ),
    ],
)
FAILURES = Row(
    "Failures: who refuses, and why?",
    [
        bars(
            "Failed attempts by reason",
            "Attempts, so a conversion that was retried counts several times. EFAULT is a bug "
            "after the decision, and bad; EAGAIN and EBUSY pass by themselves.",
            Query(total(FAILED, "reason"), "{{reason}}"),
            "none",
            (1, YELLOW),
        ),
        bars(
            "Failed attempts by consumer",
            "Who refused. pins: references on the memory; kvm_mmu: no memory or BUSY while "
            "splitting; iommu: its queue.",
            Query(total(FAILED, "consumer"), "{{consumer}}"),
            "none",
            (1, YELLOW),
        ),
    ],
)
BOARD = Board(
    "gmemsim-overview",
    "gmemsim: overview",
    "A run at a glance: verdict, throughput, latency, failures. Simulated time unless a panel "
    "says otherwise.",
    (VERDICT, THROUGHPUT, SPEED, FAILURES),
    (ANOMALY_SEEN, INVARIANT_BROKEN),
)
