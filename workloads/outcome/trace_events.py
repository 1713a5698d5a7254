"""Timelines as trace-event JSON, which Perfetto and Chrome open; and read back, for the report.

Times are simulated, in microseconds. A timeline is a process, a track of it a thread. Spans of a thread nest: what
would overlap another one half way is on a further thread of the same track.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from workloads.checkers.tracks import MARK, NOT_OVER, OPEN, TRACKS, Row
from workloads.outcome.read import damaged, read_bytes

US = 1000  # ns
PLACE = {track: number for number, track in enumerate(TRACKS)}
FIRST_THREAD = 100  # a thread with the number of its process is taken for the main one
Micros = Annotated[float, msgspec.Meta(ge=0, le=2e15)]  # as far as a simulation can go


class Timeline(NamedTuple):
    """Rows of a VM under a title; `note` says what else there is to know of it."""

    title: str
    rows: Sequence[Row]
    note: str = ""


class Event(msgspec.Struct, frozen=True):
    """What the report needs of an event of the format."""

    ph: str
    pid: int
    tid: int
    name: str
    ts: Micros = 0.0
    dur: Micros = 0.0
    args: dict[str, Any] = {}


class File(msgspec.Struct, frozen=True):
    """A file of ours in that format."""

    traceEvents: list[Event]


def text_of(timelines: Iterable[Timeline]) -> str:
    """The file: one event on each line, the same bytes for the same rows."""
    events = [event for n, found in enumerate(timelines, 1) for event in process(n, found)]
    lines = ",\n".join(json.dumps(event, ensure_ascii=False) for event in events)
    return f'{{"displayTimeUnit": "ns", "traceEvents": [\n{lines}\n]}}\n'


def process(number: int, found: Timeline) -> Iterator[dict[str, Any]]:
    """One timeline's events, names first."""
    yield named("process_name", number, 0, {"name": found.title})
    yield named("process_sort_index", number, 0, {"sort_index": number})
    if found.note:
        yield named("process_labels", number, 0, {"labels": found.note})
    last = max((max(row[:2]) for row in found.rows), default=0)
    for thread, (track, rows) in enumerate(lanes(found.rows, last), FIRST_THREAD):
        yield named("thread_name", number, thread, {"name": track})
        yield named("thread_sort_index", number, thread, {"sort_index": thread})
        for begin, end, _, text in rows:
            yield event(number, thread, begin, end, text, last)


def named(what: str, pid: int, tid: int, args: dict[str, Any]) -> dict[str, Any]:
    """Metadata of a process or thread."""
    return {"name": what, "ph": "M", "pid": pid, "tid": tid, "args": args}


def event(pid: int, tid: int, begin: int, end: int, text: str, last: int) -> dict[str, Any]:
    """A span with its duration, or an instant."""
    base = {"name": text, "cat": "simulated", "pid": pid, "tid": tid, "ts": begin / US}
    if end == MARK:
        return {**base, "ph": "i", "s": "t"}
    if end == OPEN:
        return {**base, "name": f"{text} {NOT_OVER}", "ph": "X", "dur": (last - begin) / US}
    return {**base, "ph": "X", "dur": (end - begin) / US}


def lanes(rows: Iterable[Row], last: int) -> Iterator[tuple[str, list[Row]]]:
    """Tracks in their order, each as many times as its spans need, so that those of one lane nest."""
    tracks: dict[str, list[Row]] = {}
    for row in rows:
        tracks.setdefault(row[2], []).append(row)
    for track in sorted(tracks, key=lambda name: (PLACE.get(name, len(PLACE)), name)):
        found: list[list[Row]] = []
        inner: list[list[int]] = []  # ends of the spans that are open, by lane
        for row in sorted(tracks[track], key=lambda row: (row[0], -ended(row, last), row[3])):
            put(row, ended(row, last), found, inner)
        for number, lane in enumerate(found, 1):
            yield (f"{track} {number}" if number > 1 else track), lane


def ended(row: Row, last: int) -> int:
    """When a row is over."""
    return {MARK: row[0], OPEN: last}.get(row[1], row[1])


def put(row: Row, end: int, found: list[list[Row]], inner: list[list[int]]) -> None:
    """Into the first lane where it follows all that is there, or lies within what is open."""
    for lane, ends in zip(found, inner, strict=True):
        while ends and ends[-1] <= row[0]:
            ends.pop()
        if not ends or end <= ends[-1]:
            lane.append(row)
            ends.append(end)
            return
    found.append([row])
    inner.append([end])


def read_stories(path: Path) -> list[Timeline]:
    """What `text_of` has written, but for notes; a damaged file is a UsageError, results of before have none."""
    if not path.exists():
        return []
    try:
        events = msgspec.json.decode(read_bytes(path), type=File).traceEvents
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise damaged(path, error) from None
    titles: dict[int, str] = {}
    threads: dict[tuple[int, int], str] = {}
    rows: dict[int, list[Row]] = {}
    for each in events:
        name = str(each.args.get("name", ""))
        if each.name == "process_name":
            titles[each.pid] = name
        elif each.name == "thread_name":
            threads[each.pid, each.tid] = name
        elif each.ph in "iX":
            begin = round(each.ts * US)
            end = MARK if each.ph == "i" else begin + round(each.dur * US)
            track = threads.get((each.pid, each.tid), "")
            rows.setdefault(each.pid, []).append((begin, end, track, each.name))
    return [Timeline(title, rows.get(pid, [])) for pid, title in titles.items()]
