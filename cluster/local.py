"""The local executor: every host in one partition, in this process."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from cluster.drive import Handle
from cluster.lasting import bug_of
from cluster.memory import peak_rss_bytes
from cluster.partition import Order, Partition, Report


class LocalHandle:
    """A partition in this process: an order is carried out when its report is asked for."""

    recoveries = events_redone = logged = 0

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self._order: Order | None = None

    def begin(self, order: Order) -> None:
        """See cluster.drive.Handle."""
        assert self._order is None, "one order at a time"
        self._order = order

    def finish(self) -> Report:
        """See cluster.drive.Handle."""
        order, self._order = self._order, None
        assert order is not None, "no order was given"
        found = self.partition
        with bugs_told(found.places.names[found.place], found.last_time):
            return found.advance(order)

    def watched(self) -> bytes:
        """See cluster.drive.Handle."""
        return self.partition.watched()

    def checkpoint(self) -> bytes:
        """See cluster.drive.Handle."""
        return self.partition.checkpoint()

    def resume(self, state: bytes) -> int:
        """See cluster.drive.Handle."""
        return self.partition.resume(state)

    def digests(self) -> dict[int, bytes]:
        """See cluster.drive.Handle."""
        return self.partition.digests()

    def census(self) -> dict[str, int]:
        """See cluster.drive.Handle."""
        return self.partition.census()

    def balance(self) -> int:
        """See cluster.drive.Handle."""
        return self.partition.balance()

    def peak_rss_bytes(self) -> int:
        """See cluster.drive.Handle."""
        return peak_rss_bytes()


@contextmanager
def bugs_told(name: str, now: Callable[[], int]) -> Iterator[None]:
    """Whatever the partition of this name raises ends the run as it does on Ray."""
    try:
        yield
    except Exception as error:
        line = traceback.format_exception_only(error)[-1].strip().splitlines()[0]
        trace = "".join(traceback.format_exception(error))
        raise bug_of(name, now(), line, trace) from error


def first_of(_: Sequence[Handle]) -> int:
    """Local work is done on request: any handle will do."""
    return 0
