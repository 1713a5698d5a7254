"""The digest: every actor's whole sequence of handled events and its final state, as one hash."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import msgpack
import msgspec

from actors.address import HOST_SHIFT
from actors.contract import Actor
from cluster.host import DIGEST_BITS, Host

DIGEST_BYTES = DIGEST_BITS // 8 + 1


def state_of(actor: Actor) -> Any:
    """The state as plain lists, numbers and strings: fields in their order, mappings as sorted pairs.

    What an actor only reads (a load's program) is environment, not state, and counts as None.
    """
    return _ordered(msgspec.to_builtins(actor, enc_hook=lambda _: None))


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return [[_ordered(key), _ordered(item)] for key, item in sorted(value.items())]
    if isinstance(value, list | tuple):
        # Lists of numbers are most of the state; they need no second look.
        plain = all(type(item) is int for item in value)
        return value if plain else [_ordered(item) for item in value]
    return value


def canonical(actor: Actor) -> bytes:
    """The one encoding of a state: equal states, equal bytes."""
    packed: bytes = msgpack.packb(state_of(actor))
    return packed


def host_digest(host: Host) -> bytes:
    """Of one host."""
    total = blake2b(digest_size=32)
    for _, part in actor_parts(host):
        total.update(part)
    return total.digest()


def actor_parts(host: Host) -> Iterator[tuple[int, bytes]]:
    """(address, its part). Actors that handled nothing are as they were built and add nothing."""
    for address in sorted(host.cells):
        cell = host.cells[address]
        if cell.digest:
            own = address.to_bytes(8, "little") + cell.digest.to_bytes(DIGEST_BYTES, "little")
            yield address, own + canonical(cell.actor)


def joined(parts: dict[int, bytes], hosts: int) -> dict[int, bytes]:
    """Host -> its part, from those of its actors in several partitions. Where nobody did anything it has one, too."""
    totals = {host: blake2b(digest_size=32) for host in range(hosts)}
    for address in sorted(parts):
        totals[address >> HOST_SHIFT].update(parts[address])
    return {host: total.digest() for host, total in totals.items()}


def fleet_digest(hosts: dict[int, bytes]) -> str:
    """Of all hosts, in hexadecimal; hosts are taken in the order of their numbers."""
    total = blake2b(digest_size=16)
    for number in sorted(hosts):
        total.update(number.to_bytes(8, "little"))
        total.update(hosts[number])
    return total.hexdigest()
