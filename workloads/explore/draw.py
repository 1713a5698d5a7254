"""The graph of states as SVG: a column for each depth, so that every arrow of a shortest way points to the right."""

from collections import Counter
from collections.abc import Iterator
from html import escape

from actors.address import name_of
from cluster.explore import Search
from cluster.explore.system import POOL
from workloads.errors import UsageError

STATES_MAX = 400
COLUMN, ROW, RADIUS, MARGIN = 46, 22, 6, 24
STYLE = (
    "path{stroke:#888;fill:none}path.back{stroke:#36c;stroke-dasharray:3 2}path.fault{stroke:#c33}"
    "circle{fill:#fff;stroke:#333}circle.end{fill:#333}circle.shown{fill:#e99;stroke:#c33}"
    "text{font:11px sans-serif;fill:#333}"
)
Place = tuple[int, int]


def picture(search: Search, title: str) -> str:
    """Circles are states (full: nothing more can happen; red: before a move that shows a breach), red arrows faults."""
    if len(search.states) > STATES_MAX:
        found = f"found {len(search.states):,} states, expected {STATES_MAX} at most"
        raise UsageError(f"--draw: {found}; fewer faults or a shorter script leave fewer")
    places, width, height = laid_out(search)
    body = [*arrows(search, places), *circles(search, places)]
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{STYLE}</style>'
    return "\n".join([head, f'<text x="8" y="14">{escape(title)}</text>', *body, "</svg>\n"])


def laid_out(search: Search) -> tuple[list[Place], int, int]:
    """Where each state is, and how large all of it."""
    rows = Counter[int]()
    places: list[Place] = []
    tallest = max(Counter(search.depths).values())
    columns = Counter(search.depths)
    for depth in search.depths:
        above = (tallest - columns[depth]) * ROW // 2
        places.append((MARGIN + depth * COLUMN, MARGIN + 12 + above + rows[depth] * ROW))
        rows[depth] += 1
    return places, 2 * MARGIN + search.depth * COLUMN, 2 * MARGIN + 12 + tallest * ROW


def arrows(search: Search, places: list[Place]) -> Iterator[str]:
    """One for each pair of states, with what may lead from one to the other."""
    edges = search.edges
    for source, target, struck in dict.fromkeys(
        zip(edges.source, edges.target, map(bool, edges.struck), strict=True)
    ):
        (x, y), (u, v) = places[source], places[target]
        kind = "fault" if struck else "" if u > x else "back"
        bend = "" if u > x else f" Q{(x + u) // 2} {min(y, v) - 3 * RADIUS}"
        path = f"M{x} {y}{bend or ' L'}{'' if not bend else ' '}{u} {v}"
        yield f'<path class="{kind}" d="{path}"/>'


def circles(search: Search, places: list[Place]) -> Iterator[str]:
    """A tip says by which message the state is reached first."""
    shown = {
        where.state
        for name, where in search.shown.items()
        if name[:1] in "AIL" and name[-1].isdigit()
    }
    ends = set(search.ends)
    for number, (x, y) in enumerate(places):
        kind = "shown" if number in shown else "end" if number in ends else ""
        tip = escape(reached(search, number))
        yield f'<circle class="{kind}" cx="{x}" cy="{y}" r="{RADIUS}"><title>{tip}</title></circle>'


def reached(search: Search, number: int) -> str:
    """The message that led to the state, and to whom."""
    parent = search.parents[number]
    if parent < 0:
        return "0: the beginning"
    system = search.system
    turn = system.turns[search.states[parent][POOL]][search.turns[number]]
    message = type(system.locals.messages.known[turn.message]).__name__
    return f"{number}: {message} to {name_of(turn.target)}, from state {parent}"
