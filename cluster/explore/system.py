"""A system: actors and what is in flight between them. Its states, and the moves from one to the next.

States and pools are numbers of what is kept once, so that a move is a few look-ups.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from actors.contract import Actor, Message
from cluster.explore.chances import Chance, NoChances
from cluster.explore.local import Facts, Locals, Outcome
from cluster.explore.network import Link, Pool, due, put, recalled, taken

Names = tuple[str, ...]
NOTHING: Names = ()
State = tuple[int, ...]
"""All that decides what may happen, and how it is judged: each actor's state, then what is in flight, what the watch
knows, and how many faults have struck, where they are limited. Equal states have equal futures."""
POOL, KNOWN, FAULTS = -3, -2, -1


class Touch(NamedTuple):
    """Cells of what a watch knows, a bit each: those that certain facts make it look at, and those that they change."""

    reads: int
    writes: int


class Watch(Protocol):
    """Follows the facts. What it knows is a part of the state, by number."""

    learned: int
    """How often `touched` has come to know more."""

    def touched(self, facts: Facts) -> Touch:
        """What these facts have touched, whatever it knew then, as far as it has met them."""

    def first(self) -> int:
        """Before anything was reported."""

    def step(self, known: int, facts: Facts) -> tuple[int, Names]:
        """What it knows after these facts, and the names of what they show: breaches, states of interest."""

    def why(self, known: int, facts: Facts) -> Mapping[str, str]:
        """Of what these facts show, name -> a line of text, where there is one."""

    def open(self, known: int) -> Names:
        """Names of what would be a breach if nothing more happened."""


class Blind:
    """Sees nothing."""

    learned = 0

    def touched(self, facts: Facts) -> Touch:
        """See Watch."""
        return Touch(0, 0)

    def first(self) -> int:
        """See Watch."""
        return 0

    def step(self, known: int, facts: Facts) -> tuple[int, Names]:
        """See Watch."""
        return 0, ()

    def why(self, known: int, facts: Facts) -> Mapping[str, str]:
        """See Watch."""
        return {}

    def open(self, known: int) -> Names:
        """See Watch."""
        return ()


class Turn(NamedTuple):
    """A message that may come next, and whose turn that is: a link's, or a timer's."""

    lane: int
    place: int
    message: int
    source: int
    target: int
    who: int


class Move(NamedTuple):
    """One message handled. `turn` and `choice` are places among all turns, and all outcomes of that turn."""

    turn: int
    choice: int
    who: int
    outcome: Outcome
    state: State
    shown: Names


class System:
    """`faults` is how many may strike in one run, -1 for any number.

    With `patient`, a timer that is longer than any work takes fires only once nothing else is in flight: nobody stalls.
    Without it, it may fire at any time: somebody may be that slow.
    """

    def __init__(
        self,
        actors: Mapping[int, Actor],
        first: Iterable[tuple[int, Message]],
        chance: Chance | None = None,
        watch: Watch | None = None,
        link: Link = Link.FIFO,
        faults: int = -1,
        patient: bool = True,
    ) -> None:
        self.addresses = tuple(sorted(actors))
        self.places = {address: place for place, address in enumerate(self.addresses)}
        self.locals = Locals(chance or NoChances())
        self.watch = watch or Blind()
        self.link = link
        self.timers = Link.KEPT if link is Link.KEPT else Link.ANY
        self.late = Link.LATE if patient and link is not Link.KEPT else self.timers
        self.faults = faults
        self.pools: list[Pool] = []
        self.numbers: dict[Pool, int] = {}
        self.turns: list[tuple[Turn, ...]] = []  # by pool
        self.whose: dict[tuple[int, ...], int] = {}
        pool: Pool = ()
        for address, message in first:  # each a timer of its own
            number = self.locals.messages.number(message)
            pool = put(pool, address, self.timers, [(address, number)])
        states = (self.locals.number(at, actors[at]) for at in self.addresses)
        self.first: State = (*states, self.pool(pool), self.watch.first(), 0)

    def pool(self, pool: Pool) -> int:
        """Its number."""
        number = self.numbers.get(pool)
        if number is None:
            number = self.numbers[pool] = len(self.pools)
            self.pools.append(pool)
            self.turns.append(tuple(self.turns_of(pool)))
        return number

    def turns_of(self, pool: Pool) -> Iterator[Turn]:
        """Whatever may come next. Messages that do not wait for each other are turns of their own."""
        for lane, place, message in due(pool):
            source, target, link, _ = pool[lane]
            own = () if link is Link.FIFO else (message,)
            who = self.whose.setdefault((source, target, *own), len(self.whose))
            yield Turn(lane, place, message, source, target, who)

    def actor(self, state: State, address: int) -> Actor:
        """One actor as it is in this state; not to be changed."""
        return self.locals.known[state[self.places[address]]]

    def outcomes(self, state: State, turn: Turn) -> tuple[Outcome, ...]:
        """All that may come of it."""
        return self.locals.outcomes(turn.target, state[self.places[turn.target]], turn.message)

    def moves(self, state: State) -> Iterator[Move]:
        """Every message that may come next, with everything that may come of it."""
        places, step = self.places, self.locals.outcomes
        pool, known, faults = state[POOL:]
        for number, turn in enumerate(self.turns[pool]):
            address = turn.target
            at = places[address]
            for choice, outcome in enumerate(step(address, state[at], turn.message)):
                if 0 <= self.faults < faults + outcome.struck:
                    continue
                then = self.flow(pool, turn, outcome)
                now, shown = known, NOTHING
                if outcome.facts:
                    now, shown = self.watch.step(known, outcome.facts)
                struck = faults + outcome.struck if self.faults >= 0 else 0
                after = (*state[:at], outcome.after, *state[at + 1 : POOL], then, now, struck)
                yield Move(number, choice, turn.who, outcome, after, shown)

    def flow(self, number: int, turn: Turn, outcome: Outcome) -> int:
        """What is in flight once the message is handled."""
        pool, address = self.pools[number], turn.target
        pool = taken(pool, turn.lane, turn.place)
        if outcome.cancelled:
            pool = recalled(pool, address, outcome.cancelled)
        if outcome.sent:
            pool = put(pool, address, self.link, outcome.sent)
        if outcome.timers:
            pool = put(pool, address, self.timers, outcome.timers)
        if outcome.late:
            pool = put(pool, address, self.late, outcome.late)
        return self.pool(pool)
