"""A cell: one actor with everything the engine keeps for it. It is the context that the actor sees."""

from array import array
from collections.abc import Iterable
from heapq import heappush
from math import exp
from typing import TYPE_CHECKING

from actors.contract import (
    VM_KEY_SHIFT,
    Actor,
    Fault,
    Handler,
    Message,
    Observation,
    Place,
    op_of,
    page_of,
)
from actors.observations import FaultStruck
from cluster.draws import DRAWS_PER_BLOCK, draws_of, key_of

if TYPE_CHECKING:
    from cluster.host import Host

SEQUENCE_BITS = 40  # an actor may send 10^12 messages
SEQUENCE_MASK = (1 << SEQUENCE_BITS) - 1
NO_DRAWS = array("H")


class Cell:
    """Order, digest and chance of one actor.

    A stamp is address << 40 | sequence: unique for every message, growing along each link.
    """

    __slots__ = (
        "_blocks", "_costs", "_draws", "_key", "_lane", "_peers", "_queue", "actor", "address", "digest",
        "handlers", "host", "link", "now", "stamp",
    )  # fmt: skip

    def __init__(self, address: int, actor: Actor, host: "Host") -> None:
        self.address = address
        self.actor = actor
        self.host = host
        self.handlers: dict[type[Message], Handler] = type(actor).HANDLERS
        self.stamp = address << SEQUENCE_BITS  # of what was sent last
        self.digest = 0
        self.now = 0
        self.link = host.link
        # The host's own, at hand.
        self._costs = host.costs
        self._peers = host.cells
        self._queue = host.queue
        self._lane = host.lane
        self._draws = NO_DRAWS
        self._blocks = 0
        self._key = b""

    def send(self, target: int, message: Message, delay: int) -> None:
        """See actors.contract.Context. No way is shorter than the link (docs/domain.md section 16)."""
        self.stamp = stamp = self.stamp + 1
        link = self.link
        try:
            cell = self._peers[target]
        except KeyError:
            self.host.outbox.append((self.now + max(delay, link), stamp, target, message))
            return
        if delay <= link:
            self._lane.append((self.now + link, target, stamp, cell, message))
        else:
            heappush(self._queue, (self.now + delay, target, stamp, cell, message))

    def after(self, delay: int, message: Message) -> int:
        """See actors.contract.Context. The key is the timer's sequence number."""
        assert delay >= 1
        self.stamp = stamp = self.stamp + 1
        heappush(self._queue, (self.now + delay, self.address, stamp, self, message))
        return stamp & SEQUENCE_MASK

    def cancel(self, key: int) -> None:
        """See actors.contract.Context."""
        self.host.cancel(self.address << SEQUENCE_BITS | key)

    def cost(self, name: str, count: int = 1) -> int:
        """See actors.contract.Context."""
        costs = self._costs
        fixed, mean, sigma, half, quantiles = (
            costs.ones[name] if count == 1 else costs.sums[name, count]
        )
        if fixed:  # a constant: no draw
            return fixed
        draws = self._draws or self._block()
        z = quantiles[draws.pop()]
        return int(mean * exp(sigma * z - half) + 0.5) or 1  # costs.time_of, without its call

    def _block(self) -> "array[int]":
        """The next draws."""
        self._key = self._key or key_of(self.host.seed, "cost", self.address)
        self._draws = draws = draws_of(self._key, self._blocks)
        self._blocks += 1
        return draws

    def choose(
        self,
        point: str,
        count: int = 1,
        key: int = 0,
        span: int = 1,
        places: Iterable[Place] | None = None,
    ) -> Fault | None:
        """See actors.contract.Context."""
        faults = self.host.faults
        if point not in faults.armed:
            return None
        fault = faults.choose(point, count, key, self.now, span, places)
        if fault:
            start = page_of(key) + fault.first * span
            end = start + (
                span if places is None else 0
            )  # whose places are told one by one, names none
            vm = key >> VM_KEY_SHIFT
            self.observe(FaultStruck(vm, op_of(key), point, fault.reason, start, end))
        return fault

    def observe(self, observation: Observation) -> None:
        """See actors.contract.Context."""
        kind = type(observation)
        watchers = self.host.watchers
        if kind in watchers:
            watchers[kind](self.now, observation)

    @property
    def sent(self) -> int:
        """How many messages it has sent."""
        return self.stamp & SEQUENCE_MASK

    @property
    def drawn(self) -> int:
        """How many draws it has made."""
        return self._blocks * DRAWS_PER_BLOCK - len(self._draws)

    def resume(self, actor: Actor, sent: int, digest: int, drawn: int) -> None:
        """Go on from a checkpoint: the actor, and what is kept beside its state."""
        self.actor, self.digest = actor, digest
        self.stamp = self.address << SEQUENCE_BITS | sent
        self._blocks, left = divmod(drawn, DRAWS_PER_BLOCK)
        if left:
            del self._block()[-left:]
