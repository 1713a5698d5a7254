"""The explorer's clock: it is always now. What an actor keeps of times says nothing of how it came there.

Every message is handled at one instant, NOW, so that "since when" is the same whatever came before. What an actor keeps
of a time to come (a lock that is held until, a server that is free from) is over before the next message: any order of
messages is tried, and so the one that comes after it. `settled` makes it NOW.
"""

from typing import Any

import msgspec

NOW = 3 << 61
"""Simulated time, ns. No address, page, ticket or operation (actors.names, actors.kvm.tickets) is as large."""
NEVER = (1 << 63) - 1
"""A time that does not come. What lies between the two is a time to come."""
LONG = 1 << 16
"""ns: longer than all that the work of one message can come to, at 1 ns a cost. Such a timer is somebody's patience."""


def settled(value: Any) -> Any:
    """A copy without a time to come. What is no state (a load's program) is not copied."""
    kind = type(value)
    if kind is int:
        return NOW if NOW < value < NEVER else value
    if kind is list:
        return [settled(item) for item in value]
    if kind is dict:
        return {settled(key): settled(item) for key, item in value.items()}
    if kind is tuple:
        return tuple(settled(item) for item in value)
    if isinstance(value, msgspec.Struct):
        fields = [settled(getattr(value, name)) for name in value.__struct_fields__]
        return kind(*fields)
    if isinstance(value, tuple):  # a named one
        return kind(*(settled(item) for item in value))
    return value
