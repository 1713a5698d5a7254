"""A timeline as a figure: a line for each track, bars for what took time, marks for what happened at once."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from workloads.checkers.tracks import CONVERSION, MARK, NOT_OVER, REQUEST, Row
from workloads.outcome.figures import TIMES
from workloads.outcome.svg import INK, PAPER, SERIES, figure, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NS = 1_000_000_000
DETAIL = 0.2  # a conversion that is a smaller part of its timeline is drawn once more, by itself
MARGIN = 0.04  # of what is shown, before and behind it
THIN = 0.004  # nothing is drawn narrower than this part of what is shown
LETTER = 0.019  # the width of a letter, in the same unit
FAILED = re.compile(r"\bE[A-Z]{3,}\b|INJECTED|fails")


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


class Window(NamedTuple):
    """The part of simulated time that is shown (ns), and how its axis counts: from `zero`, in units of `scale` ns."""

    low: float
    high: float
    zero: int
    scale: float

    def at(self, when: float) -> float:
        """On the axis."""
        return (when - self.zero) / self.scale

    @property
    def width(self) -> float:
        """Of all that is shown; ns."""
        return self.high - self.low


def panel(axes: "Axes", rows: Iterable[Row], tracks: Sequence[str], span: tuple[int, int]) -> None:
    """Rows as far as they are in the span."""
    width = max(span[1] - span[0], 1)
    unit, factor = next((u for u in reversed(TIMES) if width >= u[1] * NS), TIMES[0])
    shown = Window(span[0] - MARGIN * width, span[1] + MARGIN * width, span[0], factor * NS)
    for row in rows:
        (mark if row[1] == MARK else bar)(axes, row, tracks.index(row[2]), shown)
    axes.set_xlim(shown.at(shown.low), shown.at(shown.high))
    axes.set(ylim=(len(tracks) - 0.4, -0.6), xlabel=f"simulated time, {unit} from the first event")
    axes.set_yticks(range(len(tracks)), list(tracks))
    axes.grid(axis="y", visible=False)


def mark(axes: "Axes", row: Row, place: int, shown: Window) -> None:
    """What happens at once."""
    color, shape = (SERIES[1], "x") if look(row) is FAILS else (INK, "d")
    if shown.low <= row[0] <= shown.high:
        axes.plot([shown.at(row[0])], [place], shape, color=color, markersize=4)


def bar(axes: "Axes", row: Row, place: int, shown: Window) -> None:
    """What takes time, with a few words where there is room."""
    first, last = max(row[0], shown.low), min(row[1], shown.high)
    if first > last:
        return
    long, how, label = max(last - first, THIN * shown.width), look(row), short(row)
    axes.barh(place, long / shown.scale, 0.62, shown.at(first), align="center", **how.style)
    if len(label) * LETTER < long / shown.width:
        box = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.5}
        # No text lies on a hatching.
        plain: dict[str, Any] = {} if how is WORKS else {"bbox": box}
        where: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8}
        axes.text(shown.at(first + long / 2), place, label, **where, **plain)


def short(row: Row) -> str:
    """A few words of it, for where there is room."""
    if row[2] == REQUEST:
        return "from when it was due to its answer"
    return row[3].split(":")[0] + ("..." if NOT_OVER in row[3] else "")


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
