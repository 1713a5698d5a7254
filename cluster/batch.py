"""Messages between partitions: one typed msgpack batch for each pair of partitions and window."""

import functools
import operator
from collections.abc import Iterable, Sequence

import msgspec

from actors.contract import Message

Crossing = tuple[int, int, int, Message]  # due, stamp, target, message


class BadBatchError(ValueError):
    """Bytes that are no batch of these message types."""


def message_types(*modules: object) -> tuple[type[Message], ...]:
    """Every message type of the modules, by tag; two of one tag are a mistake."""
    found: dict[int, type[Message]] = {}
    for module in modules:
        for item in vars(module).values():
            if isinstance(item, type) and issubclass(item, Message) and item is not Message:
                tag = item.__struct_config__.tag
                assert isinstance(tag, int) and found.get(tag, item) is item, f"tag {tag} twice"
                found[tag] = item
    return tuple(found[tag] for tag in sorted(found))


class Codec:
    """Encodes and decodes batches. Decoding checks every type; nothing is unpickled."""

    def __init__(self, types: Sequence[type[Message]]) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        union = _union(tuple(types))
        # Stamps are wider than msgpack's 64 bits, so they travel as (source address, sequence).
        row = tuple[int, int, int, int, union]  # type: ignore[valid-type]
        self._decoder = msgspec.msgpack.Decoder(list[row])

    def encode(self, crossings: Iterable[Crossing], sequence_bits: int) -> bytes:
        """One batch."""
        mask = (1 << sequence_bits) - 1
        rows = [
            (due, stamp >> sequence_bits, stamp & mask, target, message)
            for due, stamp, target, message in crossings
        ]
        return self._encoder.encode(rows)

    def decode(self, batch: bytes, sequence_bits: int) -> list[Crossing]:
        """The crossings of one batch; BadBatchError when it is not one."""
        try:
            rows = self._decoder.decode(batch)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadBatchError(f"not a batch of messages: {error}") from error
        return [
            (due, source << sequence_bits | sequence, target, message)
            for due, source, sequence, target, message in rows
        ]


@functools.cache
def _union(types: tuple[type[Message], ...]) -> object:
    return functools.reduce(operator.or_, types)
