"""A system: actors and what is in flight between them. Its states, and the moves from one to the next."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from actors.contract import Actor, Message
from cluster.explore.chances import Chance, NoChances
from cluster.explore.local import Facts, Locals, Outcome
from cluster.explore.network import Due, Lane, Link, Pool, due, put, recalled, taken

Names = tuple[str, ...]
NOTHING: Names = ()


class Watch(Protocol):
    """Follows the facts. What it knows is a part of the state, by number."""

    def first(self) -> int:
        """Before anything was reported."""

    def step(self, known: int, facts: Facts) -> tuple[int, Names]:
        """What it knows after these facts, and the names of what they show: breaches, states of interest."""

    def open(self, known: int) -> Names:
        """Names of what would be a breach if nothing more happened."""


class Blind:
    """Sees nothing."""

    def first(self) -> int:
        """See Watch."""
        return 0

    def step(self, known: int, facts: Facts) -> tuple[int, Names]:
        """See Watch."""
        return 0, ()

    def open(self, known: int) -> Names:
        """See Watch."""
        return ()


class State(NamedTuple):
    """Everything that decides what may happen, and how it is judged. Equal states have equal futures."""

    actors: tuple[int, ...]  # by place in System.addresses
    pool: Pool
    known: int  # what the watch knows
    faults: int  # how many have struck, where they are limited


class Move(NamedTuple):
    """One message handled. `choices` are only those that had an alternative: which message, which outcomes."""

    choices: tuple[int, ...]
    who: tuple[int, ...]  # whose turn it was: a link, or a timer
    message: int
    outcome: Outcome
    state: State
    shown: Names


class System:
    """`faults` is how many may strike in one run, -1 for any number."""

    def __init__(
        self,
        actors: Mapping[int, Actor],
        first: Iterable[tuple[int, Message]],
        chance: Chance | None = None,
        watch: Watch | None = None,
        link: Link = Link.FIFO,
        faults: int = -1,
    ) -> None:
        self.addresses = tuple(sorted(actors))
        self.places = {address: place for place, address in enumerate(self.addresses)}
        self.locals = Locals(chance or NoChances())
        self.watch = watch or Blind()
        self.link = link
        self.timers = Link.KEPT if link is Link.KEPT else Link.ANY
        self.faults = faults
        pool: Pool = ()
        for address, message in first:  # each a timer of its own
            number = self.locals.messages.number(message)
            pool = put(pool, address, self.timers, [(address, number)])
        states = tuple(self.locals.number(at, actors[at]) for at in self.addresses)
        self.first = State(states, pool, self.watch.first(), 0)

    def actor(self, state: State, address: int) -> Actor:
        """One actor as it is in this state; not to be changed."""
        return self.locals.known[state.actors[self.places[address]]]

    def moves(self, state: State) -> Iterator[Move]:
        """Every message that may come next, with everything that may come of it."""
        ready = list(due(state.pool))
        for number, (lane, place, message) in enumerate(ready):
            target = state.pool[lane].target
            own = state.actors[self.places[target]]
            picked = (number,) if len(ready) > 1 else ()
            for outcome in self.locals.outcomes(target, own, message):
                if 0 <= self.faults < state.faults + outcome.struck:
                    continue
                after, shown = self.after(state, (lane, place, message), outcome)
                who = whose(state.pool[lane], message)
                yield Move(picked + outcome.picks, who, message, outcome, after, shown)

    def after(self, state: State, taking: Due, outcome: Outcome) -> tuple[State, Names]:
        """The state once the message is handled, and what that has shown."""
        lane, place, _ = taking
        address = state.pool[lane].target
        pool = taken(state.pool, lane, place)
        if outcome.cancelled:
            pool = recalled(pool, address, outcome.cancelled)
        if outcome.sent:
            pool = put(pool, address, self.link, outcome.sent)
        if outcome.timers:
            pool = put(pool, address, self.timers, outcome.timers)
        at = self.places[address]
        actors = (*state.actors[:at], outcome.after, *state.actors[at + 1 :])
        known, shown = state.known, NOTHING
        if outcome.facts:
            known, shown = self.watch.step(known, outcome.facts)
        faults = state.faults + outcome.struck if self.faults >= 0 else 0
        return State(actors, pool, known, faults), shown


def whose(lane: Lane, message: int) -> tuple[int, ...]:
    """Whose turn it is: the link's, or of messages that do not wait for each other, this one's."""
    own = () if lane.link is Link.FIFO else (message,)
    return (lane.source, lane.target, *own)
