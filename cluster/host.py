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
NEVER = 1 << 63


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
        self.now = 0
        self.cells = {address: kind(address, actor, self) for address, actor in actors.items()}

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
        self.cancelled.add(stamp)
        if len(self.cancelled) > _COMPACT_FROM and 2 * len(self.cancelled) > len(self.queue):
            # Not all of them are in the queue: some are in hand, in the nanosecond that is being handled.
            swept = self.cancelled.intersection(event[2] for event in self.queue)
            self.queue[:] = [event for event in self.queue if event[2] not in swept]
            heapify(self.queue)
            self.cancelled -= swept

    def run(self, horizon: int, most: int) -> int:
        """Handle events due before `horizon`, about `most` of them at a time; returns how many."""
        queue, lane, cancelled = self.queue, self.lane, self.cancelled
        done, now = 0, self.now
        while done < most:
            # A lane is in order but for what comes within one nanosecond, and that is put in order below.
            head = queue[0][0] if queue else NEVER
            if lane and lane[0][0] <= head:
                if lane[0][0] >= horizon:
                    break
                event = lane.popleft()
                now, _, stamp, cell, message = event
                alone = now != head and not (lane and lane[0][0] == now)
            elif head < horizon:
                event = heappop(queue)
                if event[2] in cancelled:  # its time does not come
                    cancelled.discard(event[2])
                    continue
                now, _, stamp, cell, message = event
                alone = not (queue and queue[0][0] == now)
            else:
                break
            if alone:
                cell.now = now
                cell.digest = ((cell.digest + stamp) * DIGEST_K + now) & DIGEST_MASK
                cell.handlers[type(message)](cell.actor, message, cell)
                done += 1
            else:
                done += self._nanosecond(event)
        self.now = now
        self.handled += done
        return done

    def _nanosecond(self, first: Event) -> int:
        """Handle all events of one nanosecond, in the order that does not depend on how they came here."""
        cancelled = self.cancelled
        done = 0
        for now, _, stamp, cell, message in self._turns(first):
            if stamp in cancelled:  # by an event before it, just now, too
                cancelled.discard(stamp)
                continue
            cell.now = now
            cell.digest = ((cell.digest + stamp) * DIGEST_K + now) & DIGEST_MASK
            cell.handlers[type(message)](cell.actor, message, cell)
            done += 1
        return done

    def _turns(self, first: Event) -> list[Event]:
        """All events of a nanosecond, in their order; `first` is in hand."""
        queue, lane = self.queue, self.lane
        now = first[0]
        events = [first]
        while lane and lane[0][0] == now:
            events.append(lane.popleft())
        while queue and queue[0][0] == now:
            events.append(heappop(queue))
        events.sort()
        before = -1
        for event in events:
            address = event[1]
            if address == before:
                events.sort(key=self._tie)
                break
            before = address
        return events

    def _tie(self, event: Event) -> tuple[int, int, int]:
        """(address, tie, source and sequence)."""
        now, address, stamp, _, _ = event
        return address, mixed(self.seed, now, stamp >> SEQUENCE_BITS), stamp
