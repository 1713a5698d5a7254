"""A cell: one actor with everything the engine keeps for it. It is the context that the actor sees."""

from collections.abc import Iterable
from heapq import heappush
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
from cluster.draws import block_bytes, key_of

if TYPE_CHECKING:
    from cluster.host import Host

SEQUENCE_BITS = 40  # an actor may send 10^12 messages
DRAWS_PER_BLOCK = 32


class Cell:
    """Order, digest and chance of one actor.

    A stamp is address << 40 | sequence: unique for every message, growing along each link.
    """

    __slots__ = (
        "_drawn", "_draws", "_key", "actor", "address", "base", "digest", "handlers", "host",
        "link", "now", "sent",
    )  # fmt: skip

    def __init__(self, address: int, actor: Actor, host: "Host") -> None:
        self.address = address
        self.actor = actor
        self.host = host
        self.handlers: dict[type[Message], Handler] = type(actor).HANDLERS
        self.base = address << SEQUENCE_BITS
        self.sent = 0
        self.digest = 0
        self.now = 0
        self.link = host.link
        self._draws = b""  # not a tuple: 32 int objects are a kilobyte for each actor
        self._drawn = 0
        self._key = b""

    def send(self, target: int, message: Message, delay: int) -> None:
        """See actors.contract.Context."""
        if delay < self.link:  # noqa: PLR1730 - no call for the floor of every link (docs/domain.md section 16)
            delay = self.link
        self.sent += 1
        host = self.host
        cell = host.cells.get(target)
        if cell is None:
            host.outbox.append((self.now + delay, self.base + self.sent, target, message))
        else:
            heappush(host.queue, (self.now + delay, self.base + self.sent, cell, message))

    def after(self, delay: int, message: Message) -> int:
        """See actors.contract.Context. The key is the timer's sequence number."""
        assert delay >= 1
        self.sent += 1
        heappush(self.host.queue, (self.now + delay, self.base + self.sent, self, message))
        return self.sent

    def cancel(self, key: int) -> None:
        """See actors.contract.Context."""
        self.host.cancel(self.base + key)

    def cost(self, name: str, count: int = 1) -> int:
        """See actors.contract.Context."""
        costs = self.host.costs
        found = costs.sums[name, count]
        if found[0]:  # a constant: no draw
            return found[0]
        left = self._drawn % DRAWS_PER_BLOCK
        if not left:
            self._key = self._key or key_of(self.host.seed, "cost", self.address)
            self._draws = block_bytes(self._key, self._drawn // DRAWS_PER_BLOCK)
        self._drawn += 1
        draws = self._draws
        return found.at(costs.normal[draws[2 * left] | draws[2 * left + 1] << 8])

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
        for watch in self.host.watchers.get(type(observation), ()):
            watch(self.now, observation)

    @property
    def drawn(self) -> int:
        """How many draws it has made."""
        return self._drawn

    def resume(self, actor: Actor, sent: int, digest: int, drawn: int) -> None:
        """Go on from a checkpoint: the actor, and what is kept beside its state."""
        self.actor, self.sent, self.digest, self._drawn = actor, sent, digest, drawn
        if drawn % DRAWS_PER_BLOCK:
            self._key = key_of(self.host.seed, "cost", self.address)
            self._draws = block_bytes(self._key, drawn // DRAWS_PER_BLOCK)
