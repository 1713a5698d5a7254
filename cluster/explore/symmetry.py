"""States that differ by an exchange of what is equal (VMs, pages and the vCPUs that convert them) are one.

An exchange is followed, not declared. It begins with who changes places, and the first state, which has to stay as it
is. From there on whatever one side does, the other is made to do as well: what comes of a message at an actor has to
come of the message in its place at the actor in its place, choice by choice, and the watch has to see the same in both.
What comes of the two, states, messages and what the watch knows, are then each other's counterparts. Where the two
differ in kind, or something would have two counterparts, the exchange is none (`Unlike`), and is given up.

So every move that is looked at is seen to have its counterpart, and a state stands for all that exchanges make of
it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from cluster.explore.local import Facts, Outcome
from cluster.explore.network import Lane, Link, Sent
from cluster.explore.system import FAULTS, KNOWN, POOL, Move, State, System, Turn

One = TypeVar("One", int, Sent)
Word = tuple[int, ...]
"""Exchanges that were made, one after the other, by their places in a list."""


class Places(NamedTuple):
    """What an exchange begins with, both ways: actors that change places, and the messages that do of the first ones,
    as (receiver, number of the message). What is not named stays where it is."""

    name: str
    actors: Mapping[int, int]
    messages: Mapping[Sent, Sent]


class Unlike(Exception):
    """The two sides are not equal; `exchange` is the one that is none."""

    def __init__(self, exchange: "Exchange", why: str) -> None:
        super().__init__(f"{exchange.places.name}: {why}")
        self.exchange = exchange


class Exchange:
    """One of two that are equal, with all that is known of counterparts: each is the other's."""

    def __init__(self, system: System, places: Places) -> None:
        self.system = system
        self.places = places
        self.states: dict[int, int] = {}
        self.messages: dict[Sent, Sent] = {}
        self.known: dict[int, int] = {}
        self.pools: dict[int, int] = {}
        self.followed: set[tuple[int, int]] = set()
        self.seen: set[tuple[int, Facts, Facts]] = set()
        first = system.first
        for address, at in zip(system.addresses, first, strict=False):
            self.pair(self.states, at, first[system.places[self.of(address)]], "the first state")
        for lane in system.pools[first[POOL]]:
            for message in lane.messages:
                here = lane.target, message
                there = places.messages.get(here, (self.of(lane.target), message))
                self.pair(self.messages, here, there, "a message")
        self.pair(self.known, first[KNOWN], first[KNOWN], "what is known first")
        if self.image(first) != first:
            raise Unlike(self, "the first state changes")

    def of(self, address: int) -> int:
        """Who is in its place."""
        return self.places.actors.get(address, address)

    def pair(self, table: dict[One, One], one: One, other: One, what: str) -> None:
        """They are each other's counterparts, and nobody else's."""
        if table.setdefault(one, other) != other or table.setdefault(other, one) != one:
            raise Unlike(self, f"{what} has two counterparts")

    def follow(self, turn: Turn, at: int, move: Move, known: int) -> None:
        """Make the other side take the same step."""
        outcomes = self.system.locals.outcomes(turn.target, at, turn.message)
        others = self.counterpart(turn.target, at, turn.message)
        if (at, turn.message) not in self.followed:
            self.followed.add((at, turn.message))
            if len(outcomes) != len(others):
                raise Unlike(self, "one has another choice")
            for one, other in zip(outcomes, others, strict=True):
                self.alike(turn.target, one, other)
        self.watch(known, move, others[move.choice].facts)

    def counterpart(self, target: int, at: int, message: int) -> tuple[Outcome, ...]:
        """What comes of the message's at the actor's."""
        receiver, other = self.messages[target, message]
        return self.system.locals.outcomes(receiver, self.states[at], other)

    def alike(self, address: int, one: Outcome, other: Outcome) -> None:
        """All that came of one step is the counterpart of what came of the other; links keep their order each."""
        if one.struck != other.struck:
            raise Unlike(self, "a fault strikes one of them")
        self.pair(self.states, one.after, other.after, "a state")
        for mine, its in (
            (one.sent, other.sent),
            (one.timers, other.timers),
            (one.late, other.late),
        ):
            links, theirs = by_receiver(mine), by_receiver(its)
            if {self.of(target): len(link) for target, link in links.items()} != {
                target: len(link) for target, link in theirs.items()
            }:
                raise Unlike(self, "one sends another number of messages")
            for target, link in links.items():
                receiver = self.of(target)
                for message, another in zip(link, theirs[receiver], strict=True):
                    self.pair(self.messages, (target, message), (receiver, another), "a message")
        timers = ((address, each) for each in one.cancelled)
        if tuple(self.messages.get(each, each)[1] for each in timers) != other.cancelled:
            raise Unlike(self, "one takes another timer back")

    def watch(self, known: int, move: Move, facts: Facts) -> None:
        """The watch sees the same in both."""
        key = known, move.outcome.facts, facts
        if key in self.seen:
            return
        self.seen.add(key)
        watch = self.system.watch
        now, shown = watch.step(self.known[known], facts) if facts else (self.known[known], ())
        if {*shown} != {*move.shown}:
            raise Unlike(self, "one shows what the other does not")
        self.pair(self.known, move.state[KNOWN], now, "what the checks know")

    def image(self, state: State) -> State:
        """The state with both in each other's places."""
        system = self.system
        parts = [0] * len(system.addresses)
        for address, at in zip(system.addresses, state, strict=False):
            parts[system.places[self.of(address)]] = self.states[at]
        return (*parts, self.pool(state[POOL]), self.known[state[KNOWN]], state[FAULTS])

    def pool(self, number: int) -> int:
        """What is in flight, the same."""
        found = self.pools.get(number)
        if found is None:
            lanes = [self.lane(lane) for lane in self.system.pools[number]]
            found = self.pools[number] = self.system.pool(tuple(sorted(lanes)))
        return found

    def lane(self, lane: Lane) -> Lane:
        """One link, or an actor's timers."""
        messages = [self.messages[lane.target, message][1] for message in lane.messages]
        ordered = messages if lane.link is Link.FIFO else sorted(messages)
        return Lane(self.of(lane.source), self.of(lane.target), lane.link, tuple(ordered))


class Symmetry:
    """Chooses one state of all that exchanges make of one another."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self.exchanges = exchanges

    def follow(self, system: System, state: State, move: Move) -> None:
        """Every exchange has to keep up with a move."""
        turn = system.turns[state[POOL]][move.turn]
        at = state[system.places[turn.target]]
        for exchange in self.exchanges:
            exchange.follow(turn, at, move, state[KNOWN])

    def least(self, state: State) -> tuple[State, Word]:
        """Of all of them the least, and by which exchanges it comes of this one."""
        orbit: dict[State, Word] = {state: ()}
        todo = [state]
        for one in todo:
            for number, exchange in enumerate(self.exchanges):
                other = exchange.image(one)
                if other not in orbit:
                    orbit[other] = (*orbit[one], number)
                    todo.append(other)
        least = min(orbit)
        return least, orbit[least]

    def ended(self, state: State) -> None:
        """Where nothing is in flight, the same is open on both sides."""
        for exchange in self.exchanges:
            watch, known = exchange.system.watch, state[KNOWN]
            if {*watch.open(known)} != {*watch.open(exchange.known[known])}:
                raise Unlike(exchange, "something stays open for one of them")

    def undone(self, turn: Turn, word: Word) -> tuple[int, int, int]:
        """Sender, receiver and message of a turn before these exchanges were made."""
        sender, receiver, message = turn.source, turn.target, turn.message
        for number in reversed(word):
            exchange = self.exchanges[number]
            receiver, message = exchange.messages[receiver, message]
            sender = exchange.of(sender)
        return sender, receiver, message


def by_receiver(sent: Iterable[Sent]) -> dict[int, list[int]]:
    """Links are apart from each other."""
    found = defaultdict[int, list[int]](list)
    for target, message in sent:
        found[target].append(message)
    return dict(found)
