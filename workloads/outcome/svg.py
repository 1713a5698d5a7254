"""Figures as inline SVG: the page's own colours, no font files, the same bytes every time.

matplotlib is imported when a figure is drawn, so that nothing else waits for it.
"""

import io
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Stand-ins that nothing else uses; the page's style sheet has the colours, for light and for dark.
INK, GRID, PAPER = "#010203", "#040506", "#070809"
SERIES = ("#0a0b01", "#0a0b02", "#0a0b03")
IN_PAGE = {
    INK: "currentColor",
    GRID: "var(--grid)",
    PAPER: "var(--paper)",
    **{stand_in: f"var(--series-{n})" for n, stand_in in enumerate(SERIES, 1)},
}
# Pattern -> what stands in the page instead: no head, no names of the outside, no fixed size.
IN_FILE = {
    r"^.*?(?=<svg)": "",
    r"<metadata>.*?</metadata>\s*": "",
    r' xmlns(:\w+)?="[^"]*"': "",
    "xlink:href": "href",
    r'^(<svg[^>]*?) width="[^"]*"': r"\1",
    r'^(<svg[^>]*?) height="[^"]*"': r"\1",
    **IN_PAGE,
}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gmemsim",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "hatch.linewidth": 0.8,
    "legend.frameon": False,
}
WIDTH = 5.0  # inches; a phone shows it at nearly this size


AxesOf = Callable[[int, bool], "list[Axes]"]
"""So many axes, one below the other; with one x-axis for all, or not."""


@contextmanager
def figure(height: float) -> Iterator[tuple["Figure", "AxesOf"]]:
    """A figure, and a function that gives it so many axes, one below the other."""
    # About fonts and caches; none of it concerns who waits for a report.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        drawn = Figure(figsize=(WIDTH, height), layout="constrained")
        drawn.patch.set_visible(False)

        def axes_of(count: int, shared: bool) -> list["Axes"]:
            found = list(drawn.subplots(count, 1, sharex=shared, squeeze=False)[:, 0])
            for axes in found:
                axes.patch.set_visible(False)
            return found

        yield drawn, axes_of


def svg(drawn: "Figure", ident: str, title: str, text: str) -> str:
    """Fit to stand in a page beside others: own ids, the page's colours, a text alternative."""
    file = io.StringIO()
    # Of these the date alone would make every file another one.
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    drawn.savefig(file, format="svg", metadata=nothing)
    found = file.getvalue()
    for pattern, instead in IN_FILE.items():
        found = re.sub(pattern, instead, found, flags=re.DOTALL)
    found = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{ident}-", found)
    head, body = found.split(">", 1)
    named = f'role="img" aria-labelledby="{ident}-title {ident}-text"'
    words = (
        f'<title id="{ident}-title">{escape(title)}</title>'
        f'<desc id="{ident}-text">{escape(text)}</desc>'
    )
    return f"{head} {named}>{words}{body}"
