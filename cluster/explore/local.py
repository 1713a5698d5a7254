"""One actor, one message: what may come of it. Worked out once, however many orders of the others lead there.

An actor is a pure function of its state, the message and its choices, so that the same step of the same actor needs
not to be taken again: most of the states of a system differ in what others have done meanwhile.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from actors.contract import VM_KEY_SHIFT, Actor, Fault, Message, Observation, Place, op_of, page_of
from actors.observations import FaultStruck
from cluster.digest import canonical
from cluster.explore.chances import Chance
from cluster.explore.clock import LONG, NOW, settled
from cluster.explore.network import Sent

TIMER_BYTES = 5
Facts = tuple[Observation, ...]


class Outcome(NamedTuple):
    """What came of it under certain choices. All but `picks` are numbers of what is kept elsewhere."""

    picks: tuple[int, ...]  # at each point where there was more than one outcome: which of them
    struck: int  # how many faults
    after: int  # the actor's state
    sent: tuple[Sent, ...]
    timers: tuple[Sent, ...]
    late: tuple[Sent, ...]  # timers that are longer than any work takes
    cancelled: tuple[int, ...]
    facts: Facts


class Instant:
    """The context of one step (actors.contract.Context). Every cost is 1 ns; choices are `picks`, then the first."""

    def __init__(
        self, messages: "Messages", chance: Chance, address: int, picks: list[int]
    ) -> None:
        self.now = NOW
        self.link = 1
        self.messages = messages
        self.chance = chance
        self.address = address
        self.picks = picks
        self.widths: list[int] = []  # outcomes of each choice that was one
        self.struck = 0
        self.sent: list[Sent] = []
        self.timers: list[Sent] = []
        self.late: list[Sent] = []
        self.cancelled: list[int] = []
        self.facts: list[Observation] = []

    def send(self, target: int, message: Message, delay: int) -> None:
        """See actors.contract.Context. How long it takes, the order of arrivals decides."""
        assert delay >= 1, f"{type(message).__name__} with a delay of {delay} ns"
        self.sent.append((target, self.messages.number(message)))

    def after(self, delay: int, message: Message) -> int:
        """See actors.contract.Context. The key says which message it is, and nothing of how many came before it."""
        assert delay >= 1, f"{type(message).__name__} after {delay} ns"
        number = self.messages.number(message)
        (self.late if delay > LONG else self.timers).append((self.address, number))
        return self.messages.key(number)

    def cancel(self, key: int) -> None:
        """See actors.contract.Context."""
        number = self.messages.by_key.get(key, -1)
        mine = (self.address, number)
        for timers in (self.timers, self.late):
            if mine in timers:
                timers.remove(mine)
                return
        self.cancelled.append(number)

    def cost(self, name: str, count: int = 1) -> int:
        """See actors.contract.Context."""
        return 1

    def choose(
        self,
        point: str,
        count: int = 1,
        key: int = 0,
        span: int = 1,
        places: Iterable[Place] | None = None,
    ) -> Fault | None:
        """See actors.contract.Context."""
        outcomes = self.chance.outcomes(point, count, key, span, places)
        if len(outcomes) == 1:
            return None
        made = len(self.widths)
        self.widths.append(len(outcomes))
        if made == len(self.picks):
            self.picks.append(0)
        fault = outcomes[self.picks[made]]
        if fault:
            self.struck += 1
            start = page_of(key) + fault.first * span
            end = start + (span if places is None else 0)
            vm = key >> VM_KEY_SHIFT
            self.observe(FaultStruck(vm, op_of(key), point, fault.reason, start, end))
        return fault

    def observe(self, observation: Observation) -> None:
        """See actors.contract.Context."""
        self.facts.append(observation)


class Messages:
    """Every message that was ever sent, by number: equal ones have one."""

    def __init__(self) -> None:
        self.known: list[Message] = []
        self.numbers: dict[bytes, int] = {}
        self.by_key: dict[int, int] = {}
        self.keys: list[int] = []

    def number(self, message: Message) -> int:
        """Its number."""
        encoded = msgspec.msgpack.encode(message, order="deterministic")
        number = self.numbers.get(encoded)
        if number is None:
            number = self.numbers[encoded] = len(self.known)
            key = int.from_bytes(blake2b(encoded, digest_size=TIMER_BYTES).digest(), "little")
            assert key not in self.by_key, "two messages with one key"
            self.by_key[key] = number
            self.keys.append(key)
            self.known.append(message)
        return number

    def key(self, number: int) -> int:
        """What an actor that sets it as a timer knows it by."""
        return self.keys[number]


class Locals:
    """States of single actors by number, and what messages make of them."""

    def __init__(self, chance: Chance) -> None:
        self.chance = chance
        self.messages = Messages()
        self.known: list[Actor] = []
        self.numbers: dict[tuple[int, bytes], int] = {}
        self.steps: dict[tuple[int, int], tuple[Outcome, ...]] = {}  # by state and message

    def number(self, address: int, actor: Actor) -> int:
        """Of a state of the actor; the one canonical encoding says which states are equal."""
        actor = settled(actor)
        identity = address, canonical(actor)
        number = self.numbers.get(identity)
        if number is None:
            number = self.numbers[identity] = len(self.known)
            self.known.append(actor)
        return number

    def outcomes(self, address: int, state: int, message: int) -> tuple[Outcome, ...]:
        """All that may come of the message."""
        key = state, message
        found = self.steps.get(key)
        if found is None:
            found = self.steps[key] = tuple(self.tried(address, state, message))
        return found

    def tried(self, address: int, state: int, message: int) -> Iterable[Outcome]:
        """Every combination of choices, each by handling the message anew; the last choice changes first."""
        picks: list[int] = []
        while True:
            actor = settled(self.known[state])
            step = Instant(self.messages, self.chance, address, picks)
            actor.receive(self.messages.known[message], step)
            yield self.outcome(address, actor, step)
            del picks[len(step.widths) :]
            while picks and picks[-1] + 1 == step.widths[len(picks) - 1]:
                picks.pop()
            if not picks:
                return
            picks[-1] += 1

    def outcome(self, address: int, actor: Actor, step: Instant) -> Outcome:
        """What the step has come to."""
        sent, timers, late = tuple(step.sent), tuple(step.timers), tuple(step.late)
        cancelled, facts = tuple(step.cancelled), tuple(step.facts)
        after, picks = self.number(address, actor), tuple(step.picks)
        return Outcome(picks, step.struck, after, sent, timers, late, cancelled, facts)
