"""A timeline as a figure: a line for each track, bars for what took time, marks for what happened at once."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from workloads.checkers.tracks import CONVERSION, MARK, REQUEST, Row
from workloads.outcome.figures import TIMES
from workloads.outcome.svg import INK, PAPER, SERIES, figure, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NS = 1_000_000_000
DETAIL = 0.2  # a conversion that is a smaller part of its timeline is drawn once more, by itself
MARGIN = 0.04  # of what is shown, before and behind it
THIN = 0.004  # nothing is drawn narrower than this part of what is shown
LETTER = 0.02  # the width of a letter, in the same unit
FAILED = re.compile(r"\bE[A-Z]{3,}\b|not over|INJECTED|fails")


class Look(NamedTuple):
    """How a bar of a kind is drawn; no two differ in colour alone."""

    label: str
    style: dict[str, Any]


WORKS = Look("works", {"facecolor": SERIES[0], "edgecolor": SERIES[0], "alpha": 0.5})
WAITS = Look("waits, or is held up", {"facecolor": "none", "edgecolor": SERIES[2], "hatch": "----"})
FAILS = Look("refuses or fails", {"facecolor": "none", "edgecolor": SERIES[1], "hatch": "////"})


def look(row: Row) -> Look:
    """By what the row says."""
    if FAILED.search(row[3]):
        return FAILS
    return WAITS if "wait" in row[3] + row[2] else WORKS


def timeline(rows: Sequence[Row], ident: str, title: str, text: str) -> str:
    """All of it, and the last conversion once more where it would be too small to see."""
    spans = [extent(rows)]
    inner = last_conversion(rows)
    if inner and inner[1] - inner[0] < DETAIL * (spans[0][1] - spans[0][0]):
        spans.append(inner)
    tracks = list(dict.fromkeys(row[2] for row in rows))
    with figure(0.9 + (0.45 + 0.21 * len(tracks)) * len(spans)) as (drawn, axes_of):
        panels = axes_of(len(spans), False)
        for axes, span in zip(panels, spans, strict=True):
            panel(axes, rows, tracks, span)
        panels[0].set_title("all of it" if len(spans) > 1 else "", loc="left", fontsize=10)
        if len(spans) > 1:
            panels[1].set_title("the last conversion of these", loc="left", fontsize=10)
        handles = legend(rows)
        drawn.legend(handles=handles, loc="outside upper center", ncols=2, fontsize=9)
        return svg(drawn, ident, title, text)


def extent(rows: Iterable[Row]) -> tuple[int, int]:
    """From the first begin to the last end; ns."""
    ends = [(row[0], max(row[:2])) for row in rows]
    return min(begin for begin, _ in ends), max(end for _, end in ends)


def last_conversion(rows: Iterable[Row]) -> tuple[int, int] | None:
    """Where guest_memfd had it in hand."""
    return max(((r[0], r[1]) for r in rows if r[2] == CONVERSION and r[1] > r[0]), default=None)


def panel(axes: "Axes", rows: Iterable[Row], tracks: Sequence[str], span: tuple[int, int]) -> None:
    """Rows as far as they are in the span; the axis counts from its begin."""
    begin, width = span[0], max(span[1] - span[0], 1)
    low, high = span[0] - MARGIN * width, span[1] + MARGIN * width
    unit, factor = next((u for u in reversed(TIMES) if width >= u[1] * NS), TIMES[0])
    scale = factor * NS
    for row in rows:
        place = tracks.index(row[2])
        if row[1] == MARK:
            if low <= row[0] <= high:
                failed = look(row) is FAILS
                color, shape = (SERIES[1], "x") if failed else (INK, "d")
                axes.plot([(row[0] - begin) / scale], [place], shape, color=color, markersize=4)
            continue
        first, last = max(row[0], low), min(max(row[1], row[0]), high)
        if first > last:
            continue
        long = max(last - first, THIN * width)
        axes.barh(
            place, long / scale, 0.62, (first - begin) / scale, align="center", **look(row).style
        )
        label = short(row)
        if len(label) * LETTER < long / width:
            middle = (first + long / 2 - begin) / scale
            box = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.5}
            plain = {} if look(row) is WORKS else {"bbox": box}  # no text lies on a hatching
            axes.text(middle, place, label, ha="center", va="center", fontsize=8, **plain)
    axes.set_xlim((low - begin) / scale, (high - begin) / scale)
    axes.set(ylim=(len(tracks) - 0.4, -0.6), xlabel=f"simulated time, {unit} from the first event")
    axes.set_yticks(range(len(tracks)), list(tracks))
    axes.grid(axis="y", visible=False)


def short(row: Row) -> str:
    """A few words of it, for where there is room."""
    return "from when it was due to its answer" if row[2] == REQUEST else row[3].split(":")[0]


def legend(rows: Iterable[Row]) -> list[Any]:
    """Of the looks that occur."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    found = list(rows)
    seen = {look(row).label: look(row) for row in found if row[1] != MARK}
    handles: list[Any] = [Patch(label=one.label, **one.style) for one in seen.values()]
    marks = {look(row) is FAILS for row in found if row[1] == MARK}
    if False in marks:
        handles.append(Line2D([], [], color=INK, marker="d", linestyle="", label="happens"))
    if True in marks:
        handles.append(
            Line2D([], [], color=SERIES[1], marker="x", linestyle="", label="goes wrong")
        )
    return handles
