"""Experiment: the curves of a finished experiment, which is backfilled: capacity, and what rises on the way there."""

from dashboards.board import Board, Row
from dashboards.panels import Query, bars, curves
from dashboards.promql import latest, total

MEAN, LOW, HIGH = (f"gmemsim_experiment_{end}" for end in ("mean", "low", "high"))
CAPACITY = "gmemsim_experiment_capacity"
BY = "line, axis, at, measure"
LEGEND = "{{line}}, {{axis}} {{at}}: {{measure}}"
# Axes of words, such as page sizes, have no place on a number line.
NUMBERS = 'at=~"[-+.0-9e]+"'

CAPACITIES = Row(
    "Capacity: how much goes before the objective is missed?",
    [
        bars(
            "Most that holds",
            "The largest value of what was searched at which the objective still holds, for each "
            "combination of the axes, and the resource that it ran into. Longer is better. `at least`: "
            "it held as far as was looked; `one edge of several`: a larger value held, too.",
            Query(total(CAPACITY, "line, answer, limiting"), "{{line}}: {{answer}} ({{limiting}})"),
            "none",
        ),
    ],
)
CURVES = Row(
    "Contention: what rises on the way there? (each measure in its own unit)",
    [
        curves(
            "Over the axis",
            "The mean over all seeds, a line for each combination of the other axes, over the "
            "last axis. Choose one measure. A flat line is good; one that turns up steeply has met "
            "a queue. Of an axis of words, such as page sizes, the bars below tell.",
            Query(
                f'label_join({latest(MEAN, "line, measure, at", NUMBERS)}, "curve", ": ", "line", "measure")',
                "{{line}}: {{measure}}",
            ),
            "at",
            "curve",
            "none",
        ),
        bars(
            "Mean",
            "Over all seeds, a bar for each point in the order of its line: the same, with axes of "
            "words, and to be read off.",
            Query(total(MEAN, BY), LEGEND),
            "none",
        ),
        bars(
            "Lower end of the interval",
            "Of the mean, at 95% over the seeds. Two points whose intervals meet do not differ for "
            "certain. Nothing stands here for a single seed.",
            Query(total(LOW, BY), LEGEND),
            "none",
        ),
        bars(
            "Upper end of the interval",
            "The other end. Far from the lower one means that more seeds are needed before anything "
            "is concluded.",
            Query(total(HIGH, BY), LEGEND),
            "none",
        ),
    ],
)
BOARD = Board(
    "gmemsim-experiment",
    "gmemsim: experiment",
    "Capacity and contention curves of a finished experiment. Choose its run, and a time range that has its end.",
    (CAPACITIES, CURVES),
)
