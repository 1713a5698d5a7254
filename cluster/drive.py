"""The driver: advances partitions in conservative windows, or each on its own where hosts do not talk."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import msgspec

from cluster.keeping import Keeper, Saved
from cluster.pace import Pace
from cluster.partition import FOREVER, Order, Report
from cluster.telling import Retold


class Handle(Protocol):
    """A partition, wherever it lives. One order at a time.

    `recoveries` counts the workers that it has outlived, `events_redone` what that took; `logged` are the bytes that
    it would have to be told again.
    """

    recoveries: int
    events_redone: int
    logged: int

    def begin(self, order: Order) -> None:
        """Start to work on an order."""

    def finish(self) -> Report:
        """Wait for its report."""

    def checkpoint(self) -> bytes:
        """Its state between two orders."""

    def resume(self, state: bytes) -> int:
        """Go on from a checkpoint; returns how many events had been handled by then."""

    def watched(self) -> bytes:
        """What its watchers have seen so far."""

    def digests(self) -> dict[int, bytes]:
        """See cluster.partition.Partition."""

    def census(self) -> dict[str, int]:
        """The world's own count over its actors' states."""

    def balance(self) -> int:
        """Its messages sent less those that have come to their end; 0 over all partitions once a run is over."""

    def peak_rss_bytes(self) -> int:
        """Peak resident memory of the process that holds it."""


class Totals(msgspec.Struct):
    """What the engine did, in wall-clock terms; `busy` and `wait` are seconds by partition, of `seconds` in all.

    `driver` are those in which the driver waited for nobody. `behind` is by how many seconds it cannot keep the pace
    that was asked for.
    """

    events: int = 0
    windows: int = 0
    calls: int = 0  # of partitions
    cross_messages: int = 0
    recoveries: int = 0
    events_redone: int = 0
    checkpoints: int = 0
    checkpoint_seconds: float = 0.0  # in all
    checkpoint_bytes: int = 0  # of the last
    checkpoint_error: str = ""  # why the last could not be written
    now: int = 0
    earliest: int = 0  # no host has anything left to do before
    seconds: float = 0.0
    driver: float = 0.0
    behind: float = 0.0
    busy: list[float] = []
    wait: list[float] = []


class Listener(Protocol):
    """Who wants to know how the run is getting on: every so many wall seconds, math.inf for never."""

    @property
    def tell_every(self) -> float:
        """Partitions are asked for a word so often."""

    def progress(self, totals: Totals, watched: Sequence[bytes]) -> None:
        """Called with the latest word of every partition."""

    def should_stop(self) -> bool:
        """True when the run is to end early, with what there is."""


class Unwatched:
    """Nobody wants to know how the run is getting on; `stop` says when it is to end early."""

    tell_every = math.inf

    def __init__(self, stop: Callable[[], bool] = lambda: False) -> None:
        self.should_stop = stop

    def progress(self, totals: Totals, watched: Sequence[bytes]) -> None:
        """See Listener."""


Pages = Callable[[int, int], bytes]
"""(source, page) -> records of a feed."""
WaitAny = Callable[[Sequence[Handle]], int]
"""Index of a handle whose report is there."""


class Driver:
    """Runs partitions to their end. `lookahead` (ns) is None when no message crosses hosts."""

    def __init__(
        self,
        handles: Sequence[Handle],
        lookahead: int | None,
        pages: Pages,
        wait_any: WaitAny,
        listener: Listener,
        pace: Pace,
        retold: Retold | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self.handles = handles
        self.lookahead = lookahead
        self.pages = pages
        self.wait_any = wait_any
        self.listener = listener
        self.pace = pace
        self.retold = retold
        self.keeper = keeper
        self.totals = Totals(busy=[0.0] * len(handles), wait=[0.0] * len(handles))
        self.watched: list[bytes] = [b""] * len(handles)
        self._began = [0.0] * len(handles)
        self._handled = [0] * len(handles)
        self._next = [0] * len(handles)
        self._told = time.perf_counter()
        self._waited = 0.0

    def run(self, saved: Saved | None = None) -> bool:
        """True when every event was handled, False when the listener stopped it. `saved` is where it goes on."""
        began = time.perf_counter()
        for handle, state in zip(self.handles, saved.states if saved else (), strict=False):
            if state:
                handle.resume(state)
        if saved and self.pace.rate:
            self._everywhere({place: Order(0, 0.0) for place in range(len(self.handles))})
        self.pace.begin(self.totals.now)
        try:
            if self.lookahead is None:
                finished = self._alone()
            else:
                finished = self._windows(self.lookahead, self._first(saved))
            if finished:
                self.totals.behind = self.pace.behind(self.totals.now)
        finally:
            self._count()
            self.totals.seconds = time.perf_counter() - began
            self.totals.driver = max(0.0, self.totals.seconds - self._waited)
        return finished

    # --- hosts that do not talk: no barrier ------------------------------------------------------

    def _alone(self) -> bool:
        working = list(range(len(self.handles)))
        for place in working:
            self._begin(place, Order(self.pace.horizon(), self.pace.yield_after))
        stopped = False
        parts = Parts(self.handles, self.keeper)
        while working:
            with self._waiting():
                place = working[self.wait_any([self.handles[place] for place in working])]
            report = self._finish(place)
            parts.at_rest(place, working)
            if report.watched:
                self._tell()
            stopped = stopped or self.listener.should_stop()
            if stopped or (report.next_time is None and not report.wanted):
                working.remove(place)
                if working:  # who watches the others sees what this one came to
                    self.watched[place] = self.handles[place].watched()
                self._tell()
            else:
                self._keep_pace(place, report)
                self._begin(place, self._following(report))
        if stopped:
            parts.all()
        return not stopped

    def _following(self, report: Report) -> Order:
        """The order after a report. One that ends when who watches is to be told again brings the words for it."""
        left = max(0.0, self._told + self.listener.tell_every - time.perf_counter())
        watch = left < self.pace.order_seconds
        order = self._order(self.pace.horizon(), watch, [], report.wanted)
        return msgspec.structs.replace(order, wall=left) if watch else order

    def _keep_pace(self, place: int, report: Report) -> None:
        """What has handled everything due gets its next order a tick after the last one."""
        if report.next_time is not None:
            self.totals.behind = self.pace.behind(report.next_time)
        if report.finished:
            with self._waiting():
                self.pace.rest(self._began[place])

    # --- hosts that talk: windows ----------------------------------------------------------------

    def _first(self, saved: Saved | None) -> dict[int, Report]:
        """Where partitions stand at the beginning, with the messages that were on their way when it was saved."""
        reports = self._everywhere({place: Order(0, 0.0) for place in range(len(self.handles))})
        if saved:
            self.totals.windows = saved.windows
            for place, report in reports.items():
                report.posted, report.outbound = saved.posted[place], saved.outbound[place]
        return reports

    def _windows(self, lookahead: int, reports: dict[int, Report]) -> bool:
        """A window ends one lookahead after the earliest event: nothing sent in it can arrive before its end."""
        while True:
            times = [
                at
                for report in reports.values()
                for at in (report.next_time, report.posted)
                if at is not None
            ]
            if not times:
                return True
            horizon = min(times) + lookahead
            self._wait_for(horizon)
            stop = self.listener.should_stop()
            if self.keeper and (self.keeper.path if stop else self.keeper.due(most(self.handles))):
                self._keep(self.keeper, reports)
            if stop:
                return False
            reports = self._window(horizon, reports)
            self.totals.windows += 1
            self._tell()

    def _wait_for(self, horizon: int) -> None:
        """The time of a whole window comes; who watches is told meanwhile, too."""
        self.totals.behind = self.pace.behind(horizon)
        while self.pace.horizon() < horizon and not self.listener.should_stop():
            with self._waiting():
                self.pace.rest(time.perf_counter())
            if self._due_to_watch():
                words = (handle.watched() for handle in self.handles)
                self.watched = [self.retold.so_far()] if self.retold else list(words)
                self._tell()

    def _keep(self, keeper: Keeper, reports: dict[int, Report]) -> None:
        """All partitions stand at the end of one window."""
        began = time.perf_counter()
        states = [handle.checkpoint() for handle in self.handles]
        retold = self.retold.checkpoint() if self.retold else b""
        places = range(len(self.handles))
        keeper.keep(
            time.perf_counter() - began,
            states,
            posted=[reports[place].posted for place in places],
            outbound=[reports[place].outbound for place in places],
            retold=retold,
            windows=self.totals.windows,
        )

    def _window(self, horizon: int, before: dict[int, Report]) -> dict[int, Report]:
        """Partitions with something to do go to the horizon; the others are not called."""
        watch = self._due_to_watch()
        inbound: dict[int, list[bytes]] = {place: [] for place in before}
        for report in before.values():
            for place, batch in report.outbound:
                inbound[place].append(batch)
        busy = {
            place: self._order(horizon, watch, inbound[place], report.wanted)
            for place, report in before.items()
            if inbound[place] or (report.next_time is not None and report.next_time < horizon)
        }
        reports = self._everywhere(busy)
        reports = {place: self._rest(place, horizon, r) for place, r in reports.items()}
        if self.retold:
            self.retold.take(told for report in reports.values() for told in report.told)
            if watch:
                self.watched = [self.retold.so_far()]
        idle = {
            place: msgspec.structs.replace(report, outbound=[], posted=None)
            for place, report in before.items()
            if place not in busy
        }
        return idle | reports

    def _rest(self, place: int, horizon: int, report: Report) -> Report:
        """Send a partition on that came back early, for pages."""
        while not report.finished:
            self._begin(place, self._order(horizon, False, [], report.wanted))
            more = self._finish(place)
            posted = [at for at in (report.posted, more.posted) if at is not None]
            report = msgspec.structs.replace(
                more,
                outbound=[*report.outbound, *more.outbound],
                told=[*report.told, *more.told],
                posted=min(posted, default=None),
            )
        return report

    def _everywhere(self, orders: dict[int, Order]) -> dict[int, Report]:
        for place, order in orders.items():
            self._begin(place, order)
        return {place: self._finish(place) for place in orders}

    # --- both ------------------------------------------------------------------------------------

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """For somebody else, or doing a local partition's work."""
        began = time.perf_counter()
        yield
        self._waited += time.perf_counter() - began

    def _order(
        self, horizon: int, watch: bool, inbound: list[bytes], wanted: Sequence[tuple[int, int]]
    ) -> Order:
        """Only without windows does wall time end an order: with them, it has to end alike if it is given again."""
        pages = [(source, page, self.pages(source, page)) for source, page in wanted]
        wall = self.pace.yield_after if self.lookahead is None else math.inf
        return Order(horizon, wall, watch, inbound, pages)

    def _begin(self, place: int, order: Order) -> None:
        self._began[place] = time.perf_counter()
        self.totals.calls += 1
        self.handles[place].begin(order)

    def _finish(self, place: int) -> Report:
        with self._waiting():
            report = self.handles[place].finish()
        totals = self.totals
        totals.events += report.handled - self._handled[place]
        self._handled[place] = report.handled
        totals.cross_messages += report.crossed
        totals.now = max(totals.now, report.now)
        due = (at for at in (report.next_time, report.posted) if at is not None)
        self._next[place] = min(due, default=FOREVER)
        if min(self._next) < FOREVER:
            totals.earliest = min(self._next)
        totals.busy[place] += report.busy
        passed = time.perf_counter() - self._began[place]
        totals.wait[place] += max(0.0, passed - report.busy)
        if report.watched:
            self.watched[place] = report.watched
        return report

    def _due_to_watch(self) -> bool:
        return time.perf_counter() - self._told > self.listener.tell_every

    def _tell(self) -> None:
        if self._due_to_watch():
            self._told = time.perf_counter()
            self._count()
            self.listener.progress(self.totals, self.watched)

    def _count(self) -> None:
        """What others have counted."""
        totals, keeper = self.totals, self.keeper
        totals.recoveries = sum(handle.recoveries for handle in self.handles)
        totals.events_redone = sum(handle.events_redone for handle in self.handles)
        if keeper:
            totals.checkpoints, totals.checkpoint_seconds = keeper.count, keeper.seconds
            totals.checkpoint_bytes, totals.checkpoint_error = keeper.size, keeper.error


def most(handles: Iterable[Handle]) -> int:
    """See Keeper.due."""
    return max(handle.logged for handle in handles)


class Parts:
    """A checkpoint of partitions that do not talk: each at rest at a time of its own."""

    def __init__(self, handles: Sequence[Handle], keeper: Keeper | None) -> None:
        self.handles = handles
        self.keeper = keeper
        self.states: dict[int, bytes] = {}
        self.seconds = 0.0

    def at_rest(self, place: int, working: Sequence[int]) -> None:
        """This partition has no order in hand, nor have those that do not work any more."""
        if not self.keeper or not (self.states or self.keeper.due(most(self.handles))):
            return
        resting = [place, *(n for n in range(len(self.handles)) if n not in working)]
        self._take(n for n in resting if n not in self.states)

    def all(self) -> None:
        """None has."""
        if self.keeper and self.keeper.path:
            self.states = {}
            self._take(range(len(self.handles)))

    def _take(self, places: Iterable[int]) -> None:
        assert self.keeper is not None
        began = time.perf_counter()
        for place in places:
            self.states[place] = self.handles[place].checkpoint()
        self.seconds += time.perf_counter() - began
        if len(self.states) == len(self.handles):
            self.keeper.keep(self.seconds, [self.states[n] for n in range(len(self.handles))])
            self.states, self.seconds = {}, 0.0
