"""The comparison's figures: how long requests took under each protocol, and what became of them."""

from collections.abc import Mapping
from typing import Any

from workloads.outcome.figures import rate
from workloads.outcome.interval import Interval
from workloads.outcome.plots import DIRECTIONS, by_decades
from workloads.outcome.stacked import Look, stack
from workloads.outcome.svg import INK, SERIES, figure, svg

Told = Mapping[str, Mapping[str, Any]]
"""Protocol -> its summary; of several seeds with intervals in the places of figures."""
LOOKS: Mapping[str, Look] = {
    "completed": {"facecolor": SERIES[0], "edgecolor": SERIES[0]},
    "failed": {"facecolor": "none", "edgecolor": SERIES[1], "hatch": "////"},
    "failed at a dead VM": {"facecolor": "none", "edgecolor": SERIES[2], "hatch": "xxxx"},
}


def latency(told: Told, title: str, text: str) -> str:
    """A bar from p50 to p99 for each protocol and direction; a line for the interval of the p99."""
    bars = [
        (name, way, values)
        for name, summary in told.items()
        for way, values in summary["latency_seconds_by_direction"].items()
        if mean(values["p50"]) and mean(values["p99"])
    ]
    with figure(0.9 + 0.26 * len(bars)) as (drawn, axes_of):
        axes = axes_of(1, True)[0]
        colors = dict(zip(DIRECTIONS, SERIES, strict=False))
        for place, (_, way, values) in enumerate(bars):
            low, high, color = mean(values["p50"]), mean(values["p99"]), colors.get(way, INK)
            axes.barh(place, high - low, 0.5, low, color=color)
            axes.plot([low], [place], "o", color=color, markersize=5)
            axes.plot(
                [max(high - half(values["p99"]), low), high + half(values["p99"])],
                [place, place],
                color=INK,
            )
        ends = [mean(values[rank]) for _, _, values in bars for rank in ("p50", "p99")]
        by_decades(axes, ends)
        drawn.supxlabel("latency, simulated: p50 to p99", fontsize=10)
        axes.set_yticks(
            range(len(bars)), [f"{name} {DIRECTIONS.get(way, way)}" for name, way, _ in bars]
        )
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        return svg(drawn, "latency", title, text)


def outcomes(told: Told, title: str, text: str) -> str:
    """Completed, failed, and failed because the VM was dead, side by side in one bar."""
    with figure(1.0 + 0.3 * len(told)) as (drawn, axes_of):
        axes = axes_of(1, True)[0]
        rows = [parts(summary["conversions"]) for summary in told.values()]
        counts = {label: [row[label] for row in rows] for label in LOOKS}
        stack(axes, list(told), counts, LOOKS)
        axes.set(xlabel="requests")
        axes.xaxis.set_major_formatter(lambda value, _: rate(value) if value else "0")
        drawn.legend(loc="outside upper right", ncols=len(LOOKS))
        return svg(drawn, "outcomes", title, text)


def parts(requests: Mapping[str, Any]) -> dict[str, float]:
    """What became of the requests, each counted once, by the labels of LOOKS."""
    failed, dead = mean(requests["failed"]), mean(requests.get("at_dead_vms", 0))
    counts = (mean(requests["completed"]), failed - dead, dead)
    return dict(zip(LOOKS, counts, strict=True))


def mean(value: float | Interval | None) -> float:
    """Of one run, its own value."""
    return value.mean if isinstance(value, Interval) else value or 0.0


def half(value: float | Interval | None) -> float:
    """Half of the interval's width, if there is one."""
    return (value.half or 0.0) if isinstance(value, Interval) else 0.0
