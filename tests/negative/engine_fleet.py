"""A fleet made to show slips of an engine: whatever an actor hears, when, and in which turn, decides what it does next.

Links are of one length, so that many messages meet; timers are taken back, some in the nanosecond in which they are
due; words go to other hosts; chance and failures are drawn, and some rules remember.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from actors.address import GMEM, KVM, PINS, TDX, host_address, host_of, vm_address, vm_base, vm_of
from actors.contract import Actor, Context, Message, Observation, opportunity
from cluster.costs import Cost, CostModel
from cluster.faults import FaultPlan, FaultRule
from cluster.histogram import Histogram
from cluster.run import Fleet
from cluster.world import World

LINK, NETWORK, LONG = 200, 1000, 100_000  # ns
KINDS = (GMEM, KVM, PINS)
SCHEDULED, CHANCE = "tdx.busy", "kvm.interrupt"  # what TDX modules and KVMs ask about
RULES = (
    FaultRule(SCHEDULED, nth=(3, 7, 20), lasts=3000),
    FaultRule(SCHEDULED, every=11),
    FaultRule(CHANCE, probability=0.2),
)


class Word(Message, frozen=True, tag=1):
    """Passed on until `left` is 0."""

    number: int
    left: int


class Bell(Message, frozen=True, tag=2):
    """A timer, set when this word was heard."""

    number: int


class Heard(Observation, frozen=True):
    """Who, and what has become of it."""

    who: int
    mood: int


class Failed(Observation, frozen=True):
    """A failure struck."""

    who: int


class Gossip(Actor):
    """`mood` depends on everything heard and on its order; `bell` is the timer that is set."""

    address: int
    near: list[int]
    far: list[int]
    mood: int = 1
    bell: int = 0
    words: int = 0
    asked: int = 0

    def on_word(self, message: Word, context: Context) -> None:
        """Change, set the timer anew, and tell somebody."""
        self.words += 1
        self.change(message.number, context)
        self.chance(context)
        if self.bell:
            context.cancel(self.bell)
        delay = LONG if self.mood % 3 else LINK * (1 + self.mood % 2)
        self.bell = context.after(delay, Bell(message.number))
        if message.left:
            self.tell(Word((message.number * 7 + self.mood) % 997, message.left - 1), context)

    def on_bell(self, message: Bell, context: Context) -> None:
        """Nothing came in time."""
        self.bell = 0
        self.change(message.number + 1, context)
        if self.mood % 2:
            self.tell(Word(message.number, 0), context)

    def change(self, number: int, context: Context) -> None:
        self.mood = (self.mood * 31 + number) % 10_007
        context.observe(Heard(self.address, self.mood))

    def chance(self, context: Context) -> None:
        """Those who can fail, may."""
        point = {TDX: SCHEDULED, KVM: CHANCE}.get(self.address & 0xF0)
        if point is None:
            return
        self.asked += 1
        if context.choose(point, key=opportunity(vm_base(self.address), self.words)):
            self.mood += 1
            context.observe(Failed(self.address))

    def tell(self, word: Word, context: Context) -> None:
        """A neighbour, most often over a link alone; or somebody on another host."""
        work = context.cost("work") if self.mood % 5 == 0 else LINK * (self.mood % 4 == 0)
        if self.far and self.mood % 7 == 0:
            context.send(self.far[self.mood % len(self.far)], word, NETWORK + work)
        else:
            context.send(self.near[self.mood % len(self.near)], word, LINK + work)

    HANDLERS: ClassVar = {Word: on_word, Bell: on_bell}


class Ledger:
    """What it is told, by host, and in which order by actor."""

    def __init__(self) -> None:
        self.heard: dict[int, int] = {}
        self.failed: Counter[int] = Counter()
        self.moods = Histogram()

    def watches(self) -> Mapping[type, Callable[[int, Any], None]]:
        """See cluster.world.Watcher."""
        return {Heard: self.on_heard, Failed: self.on_failed}

    def on_heard(self, now: int, fact: Heard) -> None:
        host = host_of(fact.who)
        before = self.heard.get(host, 0)
        self.heard[host] = (before * 31 + now * 7 + fact.who + fact.mood) % (1 << 61)
        self.moods.add(fact.mood)

    def on_failed(self, _: int, fact: Failed) -> None:
        self.failed[fact.who] += 1

    def result(self) -> Any:
        """See cluster.world.Watcher."""
        return [self.heard, dict(self.failed), self.moods.pack()]

    def so_far(self) -> Any:
        """See cluster.world.Watcher."""
        return self.result()


class Plan(msgspec.Struct, frozen=True):
    """How many hosts, words and hops; hosts that do not talk have no lookahead."""

    hosts: int = 3
    vms: int = 2
    words: int = 8
    hops: int = 30
    talk: bool = True
    seed: int = 1


def members(plan: Plan, host: int) -> list[int]:
    """Addresses of one host's actors."""
    vms = (vm_address(host, vm) for vm in range(plan.vms))
    return [host_address(host) | TDX, *(vm | kind for vm in vms for kind in KINDS)]


def build(encoded: bytes, hosts: Sequence[int]) -> World:
    """See cluster.world.Build."""
    plan = msgspec.msgpack.decode(encoded, type=Plan)
    costs = [Cost("link", LINK, 0), Cost("network", NETWORK, 0), Cost("work", 3000, 0.5)]
    own = {host: members(plan, host) for host in range(plan.hosts)}
    everybody = [address for addresses in own.values() for address in addresses]
    return World(
        seed=plan.seed,
        actors={host: dict(gossips(plan, own, host)) for host in hosts},
        first=[
            (1, address, Word(word, plan.hops))
            for word in range(plan.words)
            if host_of(address := everybody[word * 5 % len(everybody)]) in hosts
        ],
        costs=CostModel({cost.name: cost for cost in costs}),
        faults=FaultPlan(plan.seed, RULES),
        watchers={"ledger": Ledger()},
        types=(Word, Bell),
        census=census,
    )


def gossips(
    plan: Plan, own: Mapping[int, Sequence[int]], host: int
) -> Iterable[tuple[int, Gossip]]:
    """Of one host. Only actors of VMs talk to other hosts."""
    others = [at for other, found in own.items() if other != host and plan.talk for at in found]
    for address in own[host]:
        near = [other for other in own[host] if other != address]
        yield address, Gossip(address, near, others if vm_of(address) >= 0 else [])


def census(actors: Iterable[Actor]) -> dict[str, int]:
    """Words heard, and fault points asked."""
    found: Counter[str] = Counter()
    for actor in actors:
        assert isinstance(actor, Gossip)
        found.update(words=actor.words, asked=actor.asked)
    return dict(found)


def fleet(plan: Plan) -> Fleet:
    """As an executor takes it."""
    encoded = msgspec.msgpack.encode(plan)
    return Fleet(build, encoded, plan.hosts, NETWORK if plan.talk else None)
