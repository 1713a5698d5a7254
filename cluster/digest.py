"""The digest: every actor's whole sequence of handled events and its final state, as one hash."""

from hashlib import blake2b
from typing import Any

import msgpack
import msgspec

from actors.contract import Actor
from cluster.host import DIGEST_BITS, Host


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
    """Of one host. Actors that handled nothing are as they were built and add nothing."""
    total = blake2b(digest_size=32)
    for address in sorted(host.cells):
        cell = host.cells[address]
        if cell.digest:
            total.update(address.to_bytes(8, "little"))
            total.update(cell.digest.to_bytes(DIGEST_BITS // 8 + 1, "little"))
            total.update(canonical(cell.actor))
    return total.digest()


def fleet_digest(hosts: dict[int, bytes]) -> str:
    """Of all hosts, in hexadecimal; hosts are taken in the order of their numbers."""
    total = blake2b(digest_size=16)
    for number in sorted(hosts):
        total.update(number.to_bytes(8, "little"))
        total.update(hosts[number])
    return total.hexdigest()
