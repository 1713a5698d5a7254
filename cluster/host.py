"""The event queue of one simulated host: handles its actors' events in the one order that every executor shares."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from typing import Any

from actors.contract import Actor, Message, Observation
from cluster.cell import SEQUENCE_BITS, Cell
from cluster.costs import CostModel, floor_of_links
from cluster.draws import mixed
from cluster.faults import FaultPlan

# d' = (d + stamp) * K + time, modulo 2^90. K is odd and K - 1 is twice an odd number, so that no single change and
# no swap of two neighbours can vanish.
DIGEST_BITS = 90
DIGEST_MASK = (1 << DIGEST_BITS) - 1
DIGEST_K = 0x2E1B_2138_5C26_C926_4F3A_8A57 & DIGEST_MASK | 3

Watch = Callable[[int, Any], None]
Watchers = Mapping[type, Watch]
Event = tuple[int, int, int, Cell, Message]
"""(when it is due, whose it is, stamp, the same actor's cell, message): tuples compare in the order of their turns."""
_COMPACT_FROM = 256
# What a run ends with is nobody's.
_NOBODY: Any = None
_NOTHING: Any = None


class Host:
    """One host's actors and their pending events.

    Each event has (time, tie, source, sequence). All delays are at least 1 ns, so when a nanosecond begins all its
    events are known; actors of one nanosecond commute, and take turns by their addresses. Where two of its events meet
    at one actor, `tie`, a hash of seed, time and source, orders them, so that no source wins because its number is low.

    What is sent with the shortest delay of all comes due in the order in which it was sent, so it waits in a `lane` of
    its own, not in the heap: half of all events do.
    """

    def __init__(
        self,
        number: int,
        actors: Mapping[int, Actor],
        seed: int,
        costs: CostModel,
        faults: FaultPlan,
        watchers: Watchers,
        kind: type[Cell] = Cell,
    ) -> None:
        self.number = number
        self.seed = seed
        self.costs = costs
        self.faults = faults
        self.watchers = watchers
        self.link = floor_of_links(costs.costs)
        self.queue: list[Event] = []  # a heap
        self.lane: deque[Event] = deque()  # due one link after they were sent
        self.outbox: list[tuple[int, int, int, Message]] = []
        self.cancelled: set[int] = set()
        self.told: list[
            tuple[int, int, Observation]
        ] = []  # by cells that tell (cluster/telling.py)
        self.handled = 0
        self.taken_back = 0  # timers
        self.now = 0
        self.cells: dict[int, Cell] = {}
        self.cells.update(
            (address, kind(address, actor, self)) for address, actor in actors.items()
        )

    def next_time(self) -> int | None:
        """When the next event is due, ns."""
        queue = self.queue
        while queue and queue[0][2] in self.cancelled:
            self.cancelled.discard(heappop(queue)[2])
        return min((events[0][0] for events in (queue, self.lane) if events), default=None)

    def pending(self) -> Iterator[Event]:
        """All events to come, in no particular order; some are timers that were taken back."""
        yield from self.queue
        yield from self.lane

    def restore(self, events: Iterable[Event]) -> None:
        """Have these events to come, and no others."""
        self.lane.clear()
        self.queue[:] = events
        heapify(self.queue)

    def deliver(self, due: int, stamp: int, target: int, message: Message) -> None:
        """A message from another host."""
        assert due > self.now, f"a message for {due} ns arrives at {self.now} ns"
        heappush(self.queue, (due, target, stamp, self.cells[target], message))

    def cancel(self, stamp: int) -> None:
        """Forget a timer; the queue is swept when most of it is forgotten timers."""
        self.taken_back += 1
        self.cancelled.add(stamp)
        if len(self.cancelled) > _COMPACT_FROM and 2 * len(self.cancelled) > len(self.queue):
            # Not all of them are in the queue: some are in hand, in the nanosecond that is being handled.
            swept = self.cancelled.intersection(event[2] for event in self.queue)
            self.queue[:] = [event for event in self.queue if event[2] not in swept]
            heapify(self.queue)
            self.cancelled -= swept

    def balance(self) -> int:
        """Messages that were sent from here, less those that were handled or taken back here.

        Over all hosts of a run that is over it is 0: every message has come to its end once.
        """
        sent = sum(cell.sent for cell in self.cells.values())
        return sent - self.handled - self.taken_back

    def run(self, horizon: int, most: int) -> int:
        """Handle events due before `horizon`, about `most` of them at a time; returns how many."""
        queue, lane, cancelled = self.queue, self.lane, self.cancelled
        take, factor, mask = lane.popleft, DIGEST_K, DIGEST_MASK
        now, handled = self.now, 0
        event: Event | None = None
        # The stop's turn is before all that is due then. With it the queue is never empty, and its head is the horizon.
        stop = (horizon, -1, 0, _NOBODY, _NOTHING)
        heappush(queue, stop)
        try:
            while handled < most:
                # A lane is in order but for what comes within one nanosecond, and that is put in order there.
                if lane and lane[0][0] < queue[0][0]:
                    now, address, stamp, cell, message = take()
                    if lane and lane[0][0] == now:
                        handled += self._nanosecond([(now, address, stamp, cell, message)])
                        continue
                else:
                    event = heappop(queue)
                    if cancelled and event[2] in cancelled:  # its time does not come
                        cancelled.discard(event[2])
                        continue  # and the lane may come before who is behind it
                    if event is stop:
                        break
                    now, _, stamp, cell, message = event
                    if queue[0][0] == now or (lane and lane[0][0] == now):
                        handled += self._nanosecond([event])
                        continue
                cell.now = now
                cell.digest = ((cell.digest + stamp) * factor + now) & mask
                cell.handlers[type(message)](cell.actor, message, cell)
                handled += 1
        finally:
            if event is not stop:
                queue.remove(stop)
                heapify(queue)
        self.now = now
        self.handled += handled
        return handled

    def _nanosecond(self, events: list[Event]) -> int:
        """Handle all events of one nanosecond, some of them in hand, in the order that every executor shares."""
        queue, lane, cancelled = self.queue, self.lane, self.cancelled
        now = events[0][0]
        while lane and lane[0][0] == now:
            events.append(lane.popleft())
        while queue[0][0] == now:  # the stop is later
            events.append(heappop(queue))
        events.sort()
        before, done = -1, len(events)
        for event in events:
            if event[1] == before:
                events.sort(key=self._tie)
                break
            before = event[1]
        for _, _, stamp, cell, message in events:
            if cancelled and stamp in cancelled:  # by an event before it, just now, too
                cancelled.discard(stamp)
                done -= 1
                continue
            cell.now = now
            cell.digest = ((cell.digest + stamp) * DIGEST_K + now) & DIGEST_MASK
            cell.handlers[type(message)](cell.actor, message, cell)
        return done

    def _tie(self, event: Event) -> tuple[int, int, int]:
        """(address, tie, source and sequence)."""
        now, address, stamp, _, _ = event
        return address, mixed(self.seed, now, stamp >> SEQUENCE_BITS), stamp
