"""A read-write lock that queues: write-preferring, first in first out, holding tickets instead of threads.

And the one place that tells of such locks, whatever they guard.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

import msgspec

from actors.contract import Context
from actors.locks.observations import LockAsked, LockLeft, LockWaited


class Waiter(msgspec.Struct, frozen=True, array_like=True):
    """A ticket in the queue and since when it waits (ns)."""

    ticket: int
    exclusive: bool
    since: int


class RwLock(msgspec.Struct):
    """Who holds the lock and who waits. A ticket is the caller's own name for what goes on once it is granted.

    `since` is when each holder asked for it (ns).
    """

    writer: int = -1
    readers: list[int] = []
    queue: list[Waiter] = []
    since: dict[int, int] = {}

    def take(self, ticket: int, exclusive: bool, now: int) -> bool:
        """Grant at once (True) or queue (False). A reader never overtakes a waiting writer."""
        if self.writer < 0 and not self.queue and not (exclusive and self.readers):
            self._grant(ticket, exclusive, now)
            return True
        self.queue.append(Waiter(ticket, exclusive, now))
        return False

    def drop(self, ticket: int) -> list[Waiter]:
        """Give the lock back; returns the waiters that hold it from now on, in order."""
        self.since.pop(ticket, None)
        if self.writer == ticket:
            assert not self.readers, "a writer and readers at once"
            self.writer = -1
        else:
            self.readers.remove(ticket)
        granted: list[Waiter] = []
        while self.queue and self._free_for(self.queue[0]):
            waiter = self.queue.pop(0)
            self._grant(waiter.ticket, waiter.exclusive, waiter.since)
            granted.append(waiter)
        return granted

    def _free_for(self, waiter: Waiter) -> bool:
        return self.writer < 0 and not (waiter.exclusive and self.readers)

    def _grant(self, ticket: int, exclusive: bool, since: int) -> None:
        assert self.writer < 0 and not (exclusive and self.readers), "granted while it is held"
        self.since[ticket] = since
        if exclusive:
            self.writer = ticket
        else:
            self.readers.append(ticket)

    @property
    def idle(self) -> bool:
        """Nobody holds it and nobody waits."""
        return self.writer < 0 and not self.readers and not self.queue


class Queue(Protocol):
    """An RwLock, or what is used like one."""

    since: dict[int, int]

    def take(self, ticket: int, exclusive: bool, now: int) -> bool:
        """See RwLock."""

    def drop(self, ticket: int) -> list[Waiter]:
        """See RwLock."""


class Told(NamedTuple):
    """A lock by its name, whose takes and drops are told.

    A ticket is a number, times how many kinds of holders there are, plus the kind. `marks` are what is added to the
    number for each kind, so that it says who holds the lock (actors.locks.holders).
    """

    name: str
    marks: tuple[int, ...] = (0,)

    def op(self, ticket: int) -> int:
        """Who has the ticket."""
        number, kind = divmod(ticket, len(self.marks))
        return number | self.marks[kind]

    def take(self, lock: Queue, vm: int, ticket: int, exclusive: bool, context: Context) -> bool:
        """As RwLock.take."""
        granted = lock.take(ticket, exclusive, context.now)
        context.observe(LockAsked(vm, self.name, self.op(ticket), not granted))
        return granted

    def drop(self, lock: Queue, vm: int, ticket: int, context: Context) -> Iterable[Waiter]:
        """As RwLock.drop; each one that has waited is told of when it is its turn to go on."""
        took = context.now - lock.since[ticket]
        context.observe(LockLeft(vm, self.name, self.op(ticket), took))
        woken = lock.drop(ticket)
        return self.go_on(woken, vm, context) if woken else ()

    def go_on(self, woken: list[Waiter], vm: int, context: Context) -> Iterator[Waiter]:
        """Each one in its turn."""
        for waiter in woken:
            wait = context.now - waiter.since
            context.observe(LockWaited(vm, self.name, self.op(waiter.ticket), wait))
            yield waiter
