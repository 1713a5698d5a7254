"""Protocols: side by side, as `gmemsim compare` runs them one after the other."""

from dashboards.board import Board, Row
from dashboards.findings import ANOMALY_SEEN, SEEN
from dashboards.overview import DONE, FAILED, LATENCY
from dashboards.panels import RED, YELLOW, Query, bars, lines
from dashboards.promql import quantile, ratio, total

COUNTS = Row(
    "What came of the same load and faults?",
    [
        bars(
            "Completed",
            "Answered with success. Under an open loop all protocols were asked for the same "
            "number.",
            Query(total(DONE, "protocol", 'outcome="completed"'), "{{protocol}}"),
            "none",
        ),
        bars(
            "Share that failed for good",
            "After all retries. Lower is better, but not at the price of what is left behind "
            "below.",
            Query(
                ratio(total(DONE, "protocol", 'outcome="failed"'), total(DONE, "protocol")),
                "{{protocol}}",
            ),
            "percentunit",
            (0.01, YELLOW),
        ),
    ],
)
LATENCIES = Row(
    "How long did conversions take? (simulated time)",
    [
        lines(
            "p50",
            "Lower is better; protocols run one after the other, so lines follow each other in "
            "time.",
            [Query(quantile(0.5, LATENCY, "protocol"), "{{protocol}}")],
            "s",
        ),
        lines(
            "p99",
            "What two phases cost shows here: more questions, longer holds of locks.",
            [Query(quantile(0.99, LATENCY, "protocol"), "{{protocol}}")],
            "s",
        ),
    ],
)
LEFT_BEHIND = Row(
    "What was left behind?",
    [
        bars(
            "Anomalies",
            "By protocol and kind; `gmemsim list anomalies` has their meaning. None is good; AN15 "
            "is the price of splitting before asking, AN1, AN3 and AN11 are what kills guests or "
            "lets memory out.",
            Query(f"{total(SEEN, 'protocol, anomaly')} > 0", "{{protocol}} {{anomaly}}"),
            "none",
            (1, RED),
        ),
        bars(
            "Failed attempts",
            "Including those that a retry made good. Open loops meet the same faults under every "
            "protocol.",
            Query(total(FAILED, "protocol"), "{{protocol}}"),
            "none",
            (1, YELLOW),
        ),
    ],
)
BOARD = Board(
    "gmemsim-protocols",
    "gmemsim: protocols",
    "Conversion protocols on the same seed, load and faults.",
    (COUNTS, LATENCIES, LEFT_BEHIND),
    (ANOMALY_SEEN,),
)
