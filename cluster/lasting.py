"""A partition that outlives its worker: started anew from its last checkpoint, it is told again what it was told since.

Orders are carried out alike whenever they are given, so what a lost worker has said stands.
"""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from cluster.drive import Handle
from cluster.partition import Order, Report

T = TypeVar("T")
TRIES = 3  # workers lost one after the other over the same orders
ORDER_BYTES = 300  # that an order takes in memory beside what it brings
WHY_COLUMNS = 200
GUESSES = "There are some potential root causes"  # Ray's, whatever it was


class WorkerLost(Exception):
    """The process that held a partition is gone."""


class LossError(Exception):
    """A run cannot go on: workers are lost again and again, or one met a bug; the text says where, in one line.

    `trace` is the bug's traceback.
    """

    def __init__(self, text: str, trace: str = "") -> None:
        super().__init__(text)
        self.trace = trace


class WorkerBugError(Exception):
    """What a partition's own code raised: (its last line, its traceback). Another worker would raise it as well."""


class Worker(Handle, Protocol):
    """What holds a partition, until it is lost: any call may raise WorkerLost."""


W = TypeVar("W", bound=Worker)


class Lasting(Generic[W]):
    """See cluster.drive.Handle. `start` makes a worker that stands at the beginning; `name` is for people."""

    def __init__(self, name: str, worker: W, start: Callable[[], W]) -> None:
        self.name = name
        self.worker = worker
        self.start = start
        self.state = b""  # at the last checkpoint
        self.log: list[Order] = []  # given since
        self.logged = 0
        self.kept = self.handled = self.now = (
            0  # events at the checkpoint and at the last report, its time
        )
        self.recoveries = self.events_redone = 0
        self.why = "it was lost"  # in the words of whom it was lost to
        self.error: LossError | None = None  # once it is given up

    def begin(self, order: Order) -> None:
        """See cluster.drive.Handle."""
        self.log.append(order)
        self.logged += ORDER_BYTES + len_of(order)
        self.worker.begin(order)

    def finish(self) -> Report:
        """See cluster.drive.Handle."""
        try:
            report = self.worker.finish()
        except WorkerBugError as bug:
            raise self._bug(bug) from None
        except WorkerLost:
            again = self._recover()
            assert again is not None, "an order was under way"
            report = again
        self.handled, self.now = report.handled, report.now
        return report

    def checkpoint(self) -> bytes:
        """See cluster.drive.Handle."""
        self.state = self.ask(lambda worker: worker.checkpoint())
        self.log, self.logged, self.kept = [], 0, self.handled
        return self.state

    def resume(self, state: bytes) -> int:
        """See cluster.drive.Handle."""
        self.state = state
        self.kept = self.handled = self.ask(lambda worker: worker.resume(state))
        return self.kept

    def watched(self) -> bytes:
        """See cluster.drive.Handle."""
        return self.ask(lambda worker: worker.watched())

    def digests(self) -> dict[int, bytes]:
        """See cluster.drive.Handle."""
        return self.ask(lambda worker: worker.digests())

    def census(self) -> dict[str, int]:
        """See cluster.drive.Handle."""
        return self.ask(lambda worker: worker.census())

    def balance(self) -> int:
        """See cluster.drive.Handle."""
        return self.ask(lambda worker: worker.balance())

    def peak_rss_bytes(self) -> int:
        """See cluster.drive.Handle."""
        return self.ask(lambda worker: worker.peak_rss_bytes())

    def ask(self, question: Callable[[W], T]) -> T:
        """What a worker answers, this one or its successor."""
        if self.error:
            raise self.error
        for _ in range(TRIES):
            try:
                return question(self.worker)
            except WorkerBugError as bug:
                raise self._bug(bug) from None
            except WorkerLost as lost:
                self.why = str(lost)
                self._recover()
        raise self._loss()

    def _recover(self) -> Report | None:
        """Another worker, at the point where the last one was lost; the report on the last order."""
        for _ in range(TRIES):
            try:
                self.worker = self.start()
                if self.state:
                    self.worker.resume(self.state)
                report = None
                for order in self.log:
                    self.worker.begin(order)
                    report = self.worker.finish()
            except WorkerBugError as bug:
                raise self._bug(bug) from None
            except WorkerLost as lost:
                self.why = str(lost)
                continue
            self.recoveries += 1
            self.events_redone += self.handled - self.kept
            return report
        raise self._loss()

    def _loss(self) -> LossError:
        self.error = LossError(
            f"partition {self.name} lost {TRIES + 1} workers one after the other, "
            f"each after {self.now} ns of simulated time or soon after: {in_short(self.why)}"
        )
        return self.error

    def _bug(self, bug: WorkerBugError) -> LossError:
        self.error = bug_of(self.name, self.now, *bug.args)
        return self.error


def bug_of(name: str, now: int, line: str, trace: str) -> LossError:
    """What a partition's own code raised: its last line, and its traceback."""
    return LossError(
        f"partition {name} met a bug of gmemsim after {now} ns of simulated time or soon after: "
        f"{line}",
        trace,
    )


def len_of(order: Order) -> int:
    """Bytes of what it brings."""
    return sum(map(len, order.inbound)) + sum(len(records) for _, _, records in order.pages)


def in_short(why: str) -> str:
    """The end of what Ray says of a loss, which has the reason; before that come names and numbers."""
    (*_, last) = why.strip().splitlines() or ["it was lost"]
    text = last.partition(GUESSES)[0].strip()
    if len(text) <= WHY_COLUMNS:
        return text
    sentences, stop, _ = text[:WHY_COLUMNS].rpartition(". ")
    return sentences + stop.strip() if stop else text[:WHY_COLUMNS]
