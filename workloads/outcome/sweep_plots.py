"""A sweep's figures: a measure over an axis, and what searches found."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from workloads.outcome.figures import UNITS
from workloads.outcome.seeds import from_json
from workloads.outcome.svg import INK, SERIES, figure, svg
from workloads.outcome.sweep_table import at, places

Found = Mapping[str, Any]
LONG = 24  # letters of a line's name, of which two no longer stand beside each other
LINES = ("solid", "dashed", "dotted", "dashdot")
MARKS = ("o", "s", "^", "D")
# Lines are told apart by their colour, and where these are used up by how they are drawn.
LOOKS: list[dict[str, Any]] = [
    {"color": color, "linestyle": line, "marker": mark, "markersize": 4}
    for (line, mark), color in itertools.product(zip(LINES, MARKS, strict=True), SERIES)
]
Series = dict[str, list[tuple[Any, Any]]]
"""Name of a line -> its points (x, interval), growing."""


def series(found: Found, x: str, y: str) -> Series:
    """A line for each combination of what is not x."""
    lines: Series = {}
    for row in found["rows"]:
        value = from_json(row["values"][y])
        if value is None or x not in row["place"]:
            continue
        others = [at(row["place"][name]) for name in places(found) if name != x]
        name = " ".join([*others, *([f"{row['relieved']} relieved"] if row["relieved"] else [])])
        lines.setdefault(name, []).append((row["place"][x], value))
    if numeric(lines):
        return {name: sorted(points, key=lambda one: one[0]) for name, points in lines.items()}
    return lines


def numeric(lines: Series) -> bool:
    """Can the axis be drawn to scale?"""
    return all(
        isinstance(place, int | float) and not isinstance(place, bool)
        for points in lines.values()
        for place, _ in points
    )


def over_axis(found: Found, plot: Mapping[str, str], ident: str, title: str, text: str) -> str:
    """A measure over an axis, with 95% intervals where there are several seeds."""
    lines = series(found, plot["x"], plot["y"])
    show = UNITS[next(m["unit"] for m in found["measures"] if m["name"] == plot["y"])]
    names = list(dict.fromkeys(place for points in lines.values() for place, _ in points))
    columns = 1 if max(map(len, lines)) > LONG else 2
    height = 3.0 + (0.2 * -(-len(lines) // columns) if len(lines) > 1 else 0)
    with figure(height) as (drawn, axes_of):
        axes = axes_of(1, True)[0]
        for (name, points), look in zip(lines.items(), itertools.cycle(LOOKS)):
            xs = [place if numeric(lines) else names.index(place) for place, _ in points]
            means = [value.mean for _, value in points]
            below = [value.mean - value.low for _, value in points]
            above = [value.high - value.mean for _, value in points]
            axes.errorbar(
                xs, means, yerr=[below, above], label=name, capsize=2, linewidth=1.2, **look
            )
        axes.set(xlabel=plot["x"], ylabel=plot["y"])
        if numeric(lines):
            scale(
                axes.set_xscale, plot["xscale"], [place for p in lines.values() for place, _ in p]
            )
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        else:
            axes.set_xticks(range(len(names)), [at(name) for name in names])
        scale(axes.set_yscale, plot["yscale"], [v.mean for p in lines.values() for _, v in p])
        axes.yaxis.set_major_formatter(lambda value, _: label(show, value))
        if len(lines) > 1:
            drawn.legend(loc="outside upper left", ncols=columns)
        return svg(drawn, ident, title, text)


def label(show: Any, value: float) -> str:
    """Of a tick; an axis may have some below 0."""
    return "0" if not value else show(value) if value > 0 else ""


def scale(choose: Any, name: str, values: Sequence[float]) -> None:
    """Logarithmic where that is wanted and can be: beside 0 it is linear up to the smallest of the rest."""
    least = min((value for value in values if value > 0), default=None)
    if name == "log" and least:
        if min(values) <= 0:
            choose("symlog", linthresh=least)
        else:
            choose("log")


def answers(found: Found, title: str, text: str) -> str:
    """What each search came to, as it is, with its limit relieved and with what limits least, one below the other."""
    rows = [
        (" ".join(at(value) for value in one["place"].values()) or "all", one)
        for one in found["found"]
    ]
    with figure(1.2 + 0.26 * len(rows)) as (drawn, axes_of):
        axes = axes_of(1, True)[0]
        for place, (_, one) in enumerate(rows):
            before = one["answer"]["value"] or 0
            after = one["relieved"] and one["relieved"]["answer"]["value"]
            if after:
                axes.plot([before, after], [place, place], color=INK, linewidth=1)
                axes.plot([after], [place], "s", markerfacecolor="none", color=SERIES[1])
            control = one["control"] and one["control"]["answer"]["value"]
            if control:
                axes.plot([control], [place], "D", markerfacecolor="none", color=SERIES[2])
            axes.plot([before], [place], "o", color=SERIES[0])
        axes.plot([], [], "o", color=SERIES[0], label="as it is")
        if any(one["relieved"] for _, one in rows):
            axes.plot([], [], "s", markerfacecolor="none", color=SERIES[1], label="limit relieved")
        if any(one["control"] for _, one in rows):
            axes.plot(
                [],
                [],
                "D",
                markerfacecolor="none",
                color=SERIES[2],
                label="control relieved",
            )
        unit = found["search"]["unit"]
        axes.set(xlabel=found["search"]["name"] + (f", {unit}" if unit else ""), xlim=(0, None))
        if all(isinstance(one["answer"]["value"] or 0, int) for _, one in rows):
            axes.locator_params(axis="x", integer=True)  # half a VM is none
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        drawn.legend(loc="outside upper right", ncols=3)
        return svg(drawn, "answers", title, text)
