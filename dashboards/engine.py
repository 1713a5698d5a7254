"""Engine: how fast the simulator itself is, and what holds it up. Wall-clock time."""

from dashboards.board import Board, Row
from dashboards.panels import RED, YELLOW, Query, lines, number
from dashboards.promql import EVENTS, SIMULATED, per_second, ratio, total

SPENT = "gmemsim_engine_partition_busy_seconds_total"
WAITED = "gmemsim_engine_partition_wait_seconds_total"
LOSSES = "gmemsim_engine_recoveries_total"

SPEED = Row(
    "Speed",
    [
        number(
            "Events a second",
            "All partitions together. Tens of thousands for each core are normal for the whole "
            "model.",
            Query(EVENTS, "events/s"),
            "ops",
        ),
        number(
            "Simulated seconds a second",
            "Real-time factor. Far below 1 for busy fleets, which is no fault; a fall in the "
            "middle of a run is one.",
            Query(SIMULATED, "x"),
            "none",
        ),
        number(
            "Partitions lost and rebuilt",
            "Workers or nodes that died. The results are not touched, time is: 0 is good.",
            Query(total(LOSSES), "recoveries"),
            "none",
            (1, YELLOW),
            (4, RED),
        ),
        number(
            "Microseconds an event",
            "Busy time over events. It should not depend on the size of the fleet.",
            Query(f"1e6 * {ratio(per_second(SPENT), EVENTS)}", "us"),
            "none",
        ),
    ],
)
PARTITIONS = Row(
    "Partitions: who works, who waits?",
    [
        lines(
            "Busy",
            "Share of wall time spent on events. All near 1 is good; one near 1 and the others "
            "low is skew: more hosts a partition, or another placement.",
            [Query(per_second(SPENT, "partition"), "{{partition}}")],
            "percentunit",
        ),
        lines(
            "Waiting",
            "Share of wall time between orders and reports not spent on events: barriers, the "
            "network, a machine with other work.",
            [Query(per_second(WAITED, "partition"), "{{partition}}")],
            "percentunit",
        ),
        lines(
            "Events",
            "The engine's speed over time. Level is good; a fall means larger windows' barriers, "
            "or a busy machine.",
            [Query(EVENTS, "events/s")],
            "ops",
        ),
        lines(
            "Windows",
            "Rounds in which all partitions advanced together. None where hosts do not talk.",
            [Query(per_second("gmemsim_engine_windows_total"), "windows/s")],
            "ops",
        ),
    ],
)
BOARD = Board(
    "gmemsim-engine",
    "gmemsim: engine",
    "The simulator itself, by wall clock: speed, partitions, losses.",
    (SPEED, PARTITIONS),
)
