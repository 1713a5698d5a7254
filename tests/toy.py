"""A toy fleet whose hosts talk: every host passes tokens on to others, over links of a millisecond and more."""

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from actors.address import TDX, host_address
from actors.contract import Actor, Context, Message
from cluster.costs import Cost, CostModel
from cluster.faults import FaultPlan
from cluster.world import World

LOOKAHEAD = 1_000_000


class Token(Message, frozen=True, tag=1):
    """A token on its way; `hops` are left."""

    token: int
    hops: int


class Passer(Actor):
    """Passes each token on to a host that depends on how many it has seen."""

    host: int
    hosts: int
    seen: list[int] = []

    def on_token(self, message: Token, context: Context) -> None:
        """Work a little, then pass it on."""
        self.seen.append(message.token)
        if message.hops:
            step = 1 + (len(self.seen) * 7 + message.token) % (self.hosts - 1)
            target = host_address((self.host + step) % self.hosts) | TDX
            delay = LOOKAHEAD + context.cost("work") + message.token % 3
            context.send(target, Token(message.token, message.hops - 1), delay)

    HANDLERS: ClassVar = {Token: on_token}


class ToyPlan(msgspec.Struct, frozen=True):
    """How many hosts, tokens and hops."""

    hosts: int
    tokens: int
    hops: int
    seed: int = 1
    work_ns: float = 5000.0


def build(plan: bytes, hosts: Sequence[int]) -> World:
    """See cluster.world.Build."""
    toy = msgspec.msgpack.decode(plan, type=ToyPlan)
    costs = [Cost("link", 200, 0), Cost("work", toy.work_ns, 0.3)]
    return World(
        seed=toy.seed,
        actors={h: {host_address(h) | TDX: Passer(h, toy.hosts)} for h in hosts},
        first=[
            (1 + token // 4, host_address(token % toy.hosts) | TDX, Token(token, toy.hops))
            for token in range(toy.tokens)
            if token % toy.hosts in hosts
        ],
        costs=CostModel({cost.name: cost for cost in costs}),
        faults=FaultPlan(toy.seed, []),
        types=(Token,),
    )
