"""The report's figures: latency distribution, timeline, phases."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import msgspec

from workloads.outcome.figures import TIMES, rate
from workloads.outcome.files import LatencyRow, TimelineRow
from workloads.outcome.svg import INK, SERIES, figure, svg

BINS_MAX = 240
LABELS_MOST = 6  # decades with a label, as there is room for where names stand on the left
DIRECTIONS = {"private_to_shared": "to shared", "shared_to_private": "to private"}
NOTHING = {"count": 0}
LINES = ("solid", "dashed", "dotted")


def latency(rows: Sequence[LatencyRow], title: str, text: str) -> str:
    """Share of the requests that took longer, on logarithmic axes."""
    answered = sum(row.count for row in rows)
    with figure(3.0) as (drawn, axes_of):
        axes = axes_of(1, True)[0]
        for number, (name, counts) in enumerate(slower(rows).items()):
            edges, total = sorted(counts), sum(counts.values())
            reached = list(accumulate(counts[edge] for edge in edges))
            # The last one falls to nothing, which has no place on a logarithmic axis.
            shares = [1.0, *((total - n) / total for n in reached[:-1]), 0.1 / answered]
            axes.plot(
                [max(edge, 1e-9) for edge in (edges[0], *edges)],
                shares,
                drawstyle="steps-post",
                label=name,
                color=SERIES[number],
                linestyle=LINES[number],
            )
        by_decades(axes, [row.upper_edge_seconds for row in rows])
        axes.set(yscale="log", ylim=(0.5 / answered, 1.3))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:g}%")
        axes.yaxis.set_minor_formatter(lambda *_: "")
        axes.set(xlabel="latency, simulated", ylabel="requests that took longer")
        drawn.legend(loc="outside upper right", ncols=2)
        return svg(drawn, "latency", title, text)


def slower(rows: Sequence[LatencyRow]) -> dict[str, Counter[float]]:
    """Line -> edge -> requests: a line for each direction, and one for what failed."""
    lines: dict[str, Counter[float]] = {}
    for row in rows:
        name = DIRECTIONS.get(row.direction, row.direction)
        lines.setdefault(name, Counter())[row.upper_edge_seconds] += row.count
    failed = [row for row in rows if row.outcome == "failed"]
    if failed:
        lines["failed, either way"] = Counter()
        for row in failed:
            lines["failed, either way"][row.upper_edge_seconds] += row.count
    return dict(list(lines.items())[: len(SERIES)])


def timeline(rows: Sequence[TimelineRow], title: str, text: str) -> str:
    """Throughput and requests in flight over simulated time."""
    width, bins = rebinned(rows)
    unit, factor = next((u for u in reversed(TIMES) if width * len(bins) >= 2 * u[1]), TIMES[0])
    start = rows[0].start_seconds
    edges = [(start + width * n) / factor for n in range(len(bins) + 1)]
    with figure(3.6) as (drawn, axes_of):
        above, below = axes_of(2, True)
        done = [b.completed / width if b else 0.0 for b in bins]
        lost = [b.failed / width if b else 0.0 for b in bins]
        above.stairs(done, edges, fill=True, alpha=0.3, color=SERIES[0])
        above.stairs(done, edges, color=SERIES[0], label="completed")
        if any(lost):
            above.stairs(
                lost,
                edges,
                hatch="////",
                fill=True,
                facecolor="none",
                edgecolor=SERIES[1],
                label="failed",
            )
            drawn.legend(loc="outside upper right", ncols=2)
        below.stairs([*flying(bins)], edges, baseline=None, color=SERIES[0])
        above.set(ylabel="answered per second", ylim=(0, None))
        above.yaxis.set_major_formatter(lambda value, _: rate(value) if value else "0")
        below.set(ylabel="most in flight", xlabel=f"simulated time, {unit}", ylim=(0, None))
        return svg(drawn, "timeline", title, text)


def flying(bins: Iterable[TimelineRow | None]) -> Iterator[float]:
    """Most in flight. In a bin without an event nobody comes or goes; NaN where nobody knows how many there were."""
    standing: int | None = 0
    for found in bins:
        yield found.in_flight_peak if found else math.nan if standing is None else standing
        standing = found.in_flight_end if found else standing


def rebinned(rows: Sequence[TimelineRow]) -> tuple[float, list[TimelineRow | None]]:
    """(width in seconds, equal bins without a gap): no more than can be told apart."""
    start, width = rows[0].start_seconds, rows[0].width_seconds or 1.0
    span = max(1, round((rows[-1].start_seconds - start) / width) + 1)
    width *= -(-span // BINS_MAX)
    bins: list[TimelineRow | None] = [None] * (
        int((rows[-1].start_seconds - start) / width + 1e-6) + 1
    )
    for row in rows:
        place = min(int((row.start_seconds - start) / width + 1e-6), len(bins) - 1)
        known = bins[place]
        bins[place] = _both(known, row) if known else row
    return width, bins


def _both(one: TimelineRow, other: TimelineRow) -> TimelineRow:
    """Of both spans; the other is the later one."""
    return msgspec.structs.replace(
        one,
        completed=one.completed + other.completed,
        failed=one.failed + other.failed,
        in_flight_peak=max(one.in_flight_peak, other.in_flight_peak),
        in_flight_end=other.in_flight_end,
    )


def phases(found: Mapping[str, Mapping[str, Any]], title: str, text: str) -> str:
    """Who takes how long to answer what: a bar from p50 to p99, a mark at the maximum."""
    rows = [
        (f"{consumer} {phase}", SERIES[number % len(SERIES)], found[phase][consumer])
        for consumer in sorted({name for consumers in found.values() for name in consumers})
        for number, phase in enumerate(found)
        if found[phase].get(consumer, NOTHING)["count"]
    ]
    with figure(0.9 + 0.24 * len(rows)) as (drawn, axes_of):
        axes = axes_of(1, True)[0]
        for place, (_, color, values) in enumerate(rows):
            axes.barh(place, values["p99"] - values["p50"], 0.5, values["p50"], color=color)
            axes.plot([values["p50"]], [place], "o", color=color, markersize=5)
            axes.plot([values["max"]], [place], "|", color=INK, markersize=9)
        by_decades(axes, [row[2][key] for row in rows for key in ("p50", "max")])
        # Below the whole figure: names on the left can leave the axes less room than the words need.
        drawn.supxlabel("simulated time to answer: p50 to p99, | is the maximum", fontsize=10)
        axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        return svg(drawn, "phases", title, text)


def by_decades(axes: Any, values: Sequence[float]) -> None:
    """A logarithmic x-axis for times in seconds; of many decades not each has a label."""
    low, high = decades(values)
    first, last = round(math.log10(low)), round(math.log10(high))
    step = -(-(last - first) // LABELS_MOST)
    axes.set(xscale="log", xlim=(low, high))
    axes.set_xticks([10.0**power for power in range(first, last + 1, step)])
    axes.xaxis.set_major_formatter(lambda value, _: tick(value))
    axes.xaxis.set_minor_formatter(lambda *_: "")


def decades(values: Sequence[float]) -> tuple[float, float]:
    """Whole powers of ten around the values, so that an axis has at least two labels."""
    some = [value for value in values if value > 0] or [1e-6]
    low, high = math.floor(math.log10(min(some) * 0.999)), math.ceil(math.log10(max(some) * 1.001))
    return 10.0**low, 10.0**high


def tick(seconds: float) -> str:
    """A power of ten as a label."""
    unit, factor = next((u for u in reversed(TIMES[:4]) if seconds >= u[1] * 0.999), TIMES[0])
    return f"{seconds / factor:.4g} {unit}"
