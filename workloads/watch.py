"""When the runs of a command are to end early, and who is told how each of them is getting on."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from types import FrameType
from typing import TYPE_CHECKING

import msgspec

from cluster.drive import Totals
from cluster.openmetrics import History
from workloads import simulate
from workloads.outcome.live import Live
from workloads.outcome.progress import Progress
from workloads.outcome.readings import readings
from workloads.scenario import Scenario

if TYPE_CHECKING:
    from cluster.exporter import Exporter


class Stop:
    """A wall-clock limit in seconds over everything that follows, and the signals; `why` once it is to end."""

    def __init__(self, limit: float | None) -> None:
        self.deadline = time.monotonic() + limit if limit is not None else None
        self.why = ""

    def asked(self) -> bool:
        """Is it to end?"""
        if not self.why and self.deadline is not None and time.monotonic() > self.deadline:
            self.why = "the time limit was reached"
        return bool(self.why)

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end it with what there is; a second one ends it at once."""

        def stop(number: int, _: FrameType | None) -> None:
            if self.why:
                raise KeyboardInterrupt
            self.why = f"stopped by {signal.Signals(number).name}"

        with handled(stop, signal.SIGINT, signal.SIGTERM):
            yield


@contextmanager
def handled(handler: Callable[[int, FrameType | None], object], *signals: int) -> Iterator[None]:
    """Meanwhile these signals are the handler's; only the main thread can have it so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, before in old.items():
            signal.signal(number, before)


def interruptible() -> AbstractContextManager[None]:
    """Meanwhile SIGTERM is what Ctrl-C is."""
    return handled(signal.default_int_handler, signal.SIGTERM)


class Watch:
    """The driver's listener in one run: hands progress on, and ends the run when it is to end."""

    def __init__(
        self,
        scenario: Scenario,
        stop: Stop,
        progress: Progress | Live,
        exporter: "Exporter | None",
        run_id: str,
        history: History,
    ) -> None:
        self.scenario = scenario
        self.stop = stop
        self.progress_bar = progress
        self.exporter = exporter
        self.run_id = run_id
        self.history = history

    @property
    def tell_every(self) -> float:
        """See cluster.drive.Listener."""
        return self.progress_bar.tell_every

    def progress(self, totals: Totals, watched: Sequence[bytes]) -> None:
        """See cluster.drive.Listener."""
        words = [simulate.unpack(word) for word in watched if word]
        now = time.time()
        latest = cache(partial(readings, self.scenario, words, snapshot(totals), self.run_id))
        if self.exporter:
            self.exporter.show(latest)
        if self.history.due(now):
            self.history.add(now, latest())
        self.progress_bar.update(totals, words)

    def should_stop(self) -> bool:
        """See cluster.drive.Listener."""
        return self.stop.asked()


def snapshot(totals: Totals) -> Totals:
    """The driver goes on with its own."""
    return msgspec.structs.replace(totals, busy=[*totals.busy], wait=[*totals.wait])
