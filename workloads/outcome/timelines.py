"""Which timelines a run's folder has: of the VMs that were asked for, of the slowest conversion and of findings."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from actors.address import host_of, vm_of
from workloads.checkers.inspector import place
from workloads.checkers.tracks import MARK, TRACKS, Row
from workloads.checkers.words import asked
from workloads.outcome import files, timeline_plots
from workloads.outcome.figures import duration, number, some
from workloads.outcome.html import figure, folded, paragraph, section
from workloads.outcome.tally import NS, Tally, kept, meaning
from workloads.outcome.trace_events import Timeline
from workloads.recorder import ROWS_MAX, rows

STORIES_MAX = 20  # of findings: the first of each kind, those that are excluded before others
Words = Sequence[Mapping[str, Any]]
"""What the watchers of each partition have to say."""


def file_name(vm: int) -> str:
    """Of the timeline of a VM (its base address)."""
    return f"timeline-h{host_of(vm)}-v{vm_of(vm)}.json"


def recorded(watched: Words, seen: Tally) -> Iterator[tuple[str, Timeline]]:
    """File and timeline of every VM that was recorded, with what was found there."""
    parts: dict[int, list[tuple[int, list[Row]]]] = {}
    for word in watched:
        for vm, *packed in word.get("recorder", ()):
            parts.setdefault(vm, []).append(rows(packed))
    for vm, found in parts.items():
        marks = [
            (round(line["time_seconds"] * NS), MARK, "found", f"{line['id']}: {line['text']}")
            for line in seen.findings
            if line["vm"] == place(vm)
        ]
        cut = max(at for at, _ in found)
        all_rows = [*marks, *(row for _, part in found for row in part)]
        yield file_name(vm), Timeline(place(vm), all_rows, cut_at(cut))


def cut_at(cut: int) -> str:
    """Where a timeline ends before its VM's story does."""
    return f"the first {number(ROWS_MAX)} events, up to {duration(cut / NS)}" if cut >= 0 else ""


def stories(watched: Words, seen: Tally, finished: bool) -> list[Timeline]:
    """The slowest conversion first, then findings; what came about in one way is there once."""
    found: dict[tuple[int, tuple[Row, ...]], list[str]] = {}
    admitted = {line["id"]: line["admitted"] for line in seen.findings}
    first: dict[str, list[Any]] = {}
    for finding in kept(watched, finished):
        first.setdefault(finding[1], finding)
    for now, name, vm, _, _, *rest in sorted(first.values(), key=lambda f: (admitted[f[1]], f)):
        drawn = tuple(tuple(row) for row in rest[1]) if len(rest) > 1 else ()
        if drawn:
            title = f"{name}, {meaning(name)}: {place(vm)} at {duration(now / NS)}"
            found.setdefault((vm, drawn), []).append(title)
    told = [Timeline("; ".join(names), drawn) for (_, drawn), names in found.items()]
    return [*slowest(watched), *told[:STORIES_MAX]]


def slowest(watched: Words) -> Iterator[Timeline]:
    """Of all partitions."""
    found = [word["inspector"]["slowest"] for word in watched if word["inspector"].get("slowest")]
    if found:
        latency, now, vm, request, drawn = max(found, key=lambda one: (one[0], -one[1], -one[2]))
        what = f"{place(vm)}, {asked(request)}, answered at {duration(now / NS)}"
        title = f"The slowest conversion took {duration(latency / NS)}: {what}"
        yield Timeline(title, [tuple(row) for row in drawn])


# --- in the report -------------------------------------------------------------------------------


def section_of(found: Sequence[Timeline]) -> str:
    """A figure for each, with all its rows as text."""
    text = (
        "What is kept of how they went: the last facts of the VM, as far as they bear on the conversion. "
        f"{files.STORIES} in this folder opens in Perfetto."
    )
    return (
        section("Timelines", paragraph(text), *map(one, range(len(found)), found)) if found else ""
    )


def one(number: int, found: Timeline) -> str:
    """A figure and what it is drawn from."""
    shown = [row for row in found.rows if row[2] in TRACKS]
    if not shown:
        return ""
    drawing = timeline_plots.timeline(shown, f"timeline-{number}", found.title, in_short(shown))
    return figure(drawing, f"{found.title}.") + folded("The same as text", lines(shown))


def in_short(shown: Sequence[Row]) -> str:
    """For who cannot see the figure; all of it stands below as text."""
    marks = sum(row[1] == MARK for row in shown)
    tracks = ", ".join(dict.fromkeys(row[2] for row in shown))
    first, last = timeline_plots.extent(shown)
    return (
        f"{some(len(shown) - marks, 'span')} and {some(marks, 'mark')} over {duration((last - first) / NS)}, "
        f"on the tracks {tracks}. They are listed below."
    )


def lines(shown: Sequence[Row]) -> Iterator[str]:
    """By time."""
    for begin, end, track, text in sorted(shown):
        took = f" [{duration((end - begin) / NS)}]" if end > begin else ""
        yield f"{begin / 1e6:12.4f} ms  {track}: {text}{took}"
