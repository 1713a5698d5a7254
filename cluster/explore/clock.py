"""The explorer's clock: it is always now. What an actor keeps of times says nothing of how it came there.

Every message is handled at one instant, NOW, so that "since when" is the same whatever came before. What an actor
keeps of a time just ahead (a lock that is held until, a server that is free from) is over before the next message: any
order of messages is tried, and so the one that comes after it. `settled` makes it NOW. A time that lies far ahead
stays, as that of a queue that a timeout has filled.
"""

from typing import Any

import msgspec

AHEAD = 1 << 16
"""ns: all that the work of one message can come to, at 1 ns a cost."""
NOW = 1 << 61 | AHEAD
"""Simulated time, ns. No address, page, ticket or operation is a number from here on, for AHEAD numbers: requests have
no kind 1 (actors.names), and that is what the last bit would say."""
END = NOW + AHEAD


def settled(value: Any) -> Any:
    """A copy without a time just ahead. What is no state (a load's program) is not copied."""
    kind = type(value)
    if kind is int:
        return NOW if NOW < value < END else value
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
