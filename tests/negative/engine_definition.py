"""What the engine has to come to, by its definition: one list of events, looked through for each nanosecond.

No heap, no lane, no partition, no window, nothing that is fast. What both have in common is where a number comes from:
the n-th draw of an actor, what a fault plan says of an opportunity, and the hash that decides whose turn it is.
"""

from collections import defaultdict
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

import msgpack
import msgspec

from actors.address import HOST_SHIFT
from actors.contract import Message, Observation
from cluster.costs import sum_of, time_of
from cluster.draws import block, key_of, mixed
from cluster.run import Fleet

BITS, FACTOR = 90, 0x2E1B_2138_5C26_C926_4F3A_8A57  # of the digest of a history
NUMBERS = 40  # bits of a stamp beside the sender's address


class Event(NamedTuple):
    """`number` is the sender's own, from 1."""

    due: int
    target: int
    sender: int
    number: int
    message: Message


class Definition:
    """A fleet that has been run to its end."""

    def __init__(self, fleet: Fleet) -> None:
        self.world = fleet.build(fleet.plan, range(fleet.hosts))
        self.link = sum_of(self.world.costs.costs["link"], 1)[0]
        own = self.world.actors.values()
        self.stages = {at: Stage(self, at) for actors in own for at in actors}
        self.actors = {at: actor for actors in own for at, actor in actors.items()}
        self.histories: dict[int, list[Event]] = defaultdict(list)
        self.told: list[tuple[int, int, Observation]] = []  # when, by whom, what
        self.events: list[Event] = []
        for at, address, message in self.world.first:
            self.stages[address].after(at, message)
        while self.events:
            self.nanosecond(min(event.due for event in self.events))

    def nanosecond(self, now: int) -> None:
        """All that is due now: one actor after the other, and at each in the order that a hash decides."""
        due = [event for event in self.events if event.due == now]
        self.events = [event for event in self.events if event.due > now]
        for event in sorted(due, key=self.turn):
            stage = self.stages[event.target]
            if event.sender == event.target and event.number in stage.taken_back:
                continue
            self.histories[event.target].append(event)
            stage.now = now
            self.actors[event.target].receive(event.message, stage)

    def turn(self, event: Event) -> tuple[int, int, int, int]:
        """Of one sender's messages the first one comes first."""
        chance = mixed(self.world.seed, event.due, event.sender)
        return event.target, chance, event.sender, event.number

    def digest(self) -> str:
        """Of all hosts: every actor's history, and what has become of it."""
        hosts: dict[int, Any] = {}
        for address, history in sorted(self.histories.items()):
            total = hosts.setdefault(address >> HOST_SHIFT, blake2b(digest_size=32))
            total.update(address.to_bytes(8, "little") + folded(history).to_bytes(12, "little"))
            total.update(msgpack.packb(ordered(msgspec.to_builtins(self.actors[address]))))
        whole = blake2b(digest_size=16)
        for host, total in sorted(hosts.items()):
            whole.update(host.to_bytes(8, "little") + total.digest())
        return whole.hexdigest()


def folded(history: list[Event]) -> int:
    """Time and sender of every message."""
    found = 0
    for event in history:
        found = (found + (event.sender << NUMBERS | event.number)) * (FACTOR % 2**BITS | 3)
        found = (found + event.due) % 2**BITS
    return found


def ordered(value: Any) -> Any:
    """Mappings as pairs in the order of their keys."""
    if isinstance(value, dict):
        return [[key, ordered(item)] for key, item in sorted(value.items())]
    return [ordered(item) for item in value] if isinstance(value, list) else value


class Stage:
    """One actor's context (actors.contract.Context)."""

    def __init__(self, of: Definition, address: int) -> None:
        self.of, self.address, self.link = of, address, of.link
        self.now = self.sent = 0
        self.taken_back: set[int] = set()
        self.draws = draws(of.world.seed, address)

    def send(self, target: int, message: Message, delay: int) -> None:
        self.sent += 1
        due = self.now + max(delay, self.link)
        self.of.events.append(Event(due, target, self.address, self.sent, message))

    def after(self, delay: int, message: Message) -> int:
        self.sent += 1
        due = self.now + delay
        self.of.events.append(Event(due, self.address, self.address, self.sent, message))
        return self.sent

    def cancel(self, key: int) -> None:
        self.taken_back.add(key)

    def cost(self, name: str, count: int = 1) -> int:
        return time_of(sum_of(self.of.world.costs.costs[name], count), next(self.draws))

    def choose(self, point: str, count: int = 1, key: int = 0, *place: Any) -> Any:
        return self.of.world.faults.choose(point, count, key, self.now, *place)

    def observe(self, observation: Observation) -> None:
        self.of.told.append((self.now, self.address, observation))


def draws(seed: int, address: int) -> Iterator[int]:
    """An actor's own."""
    key, number = key_of(seed, "cost", address), 0
    while True:
        yield from block(key, number)
        number += 1
