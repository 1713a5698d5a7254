"""A read-write lock that queues: write-preferring, first in first out, holding tickets instead of threads."""

import msgspec


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
