"""Observations where actors of one host live in several partitions: told to the driver, put in order, watched there.

Of one nanosecond they come in the order of the actors' addresses, of one actor in its own order: as in one process.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgpack
import msgspec

from actors.contract import Observation
from cluster.cell import Cell
from cluster.checkpoint import load_watchers, save_watchers
from cluster.world import Watcher, dispatch_table

Told = tuple[int, int, Observation]  # when, by whom, what
_ROWS = msgspec.msgpack.Decoder(list[tuple[int, int, int, msgspec.Raw]])


class TellingCell(Cell):
    """A cell that keeps what its actor observes until the partition reports."""

    __slots__ = ()

    def observe(self, observation: Observation) -> None:
        """See actors.contract.Context."""
        if type(observation) in self.host.watchers:
            self.host.told.append((self.now, self.address, observation))


class Retold:
    """The fleet's watchers, beside the driver."""

    def __init__(self, watchers: Mapping[str, Watcher], state: bytes = b"") -> None:
        watchers = load_watchers(state) if state else watchers
        self.watchers = watchers
        self.table = dispatch_table(watchers)
        self.types = numbered(self.table)
        self.decoders: list[Any] = [msgspec.msgpack.Decoder(found) for found in self.types]

    def take(self, batches: Iterable[bytes]) -> None:
        """What all partitions have told of one window."""
        rows = [row for batch in batches for row in _ROWS.decode(batch)]
        rows.sort(key=lambda row: row[:2])
        for now, _, number, raw in rows:
            observation = self.decoders[number].decode(raw)
            for watch in self.table[self.types[number]]:
                watch(now, observation)

    def checkpoint(self) -> bytes:
        """What the watchers know."""
        return save_watchers(self.watchers)

    def result(self) -> bytes:
        """As cluster.partition.Partition.watched."""
        return packed(self.watchers)


def numbered(table: Iterable[type]) -> list[type]:
    """The types in an order that every process finds."""
    return sorted(table, key=lambda found: found.__name__)


def encode(told: Iterable[Told], numbers: Mapping[type, int]) -> bytes:
    """One batch."""
    rows = [(now, address, numbers[type(fact)], fact) for now, address, fact in told]
    return msgspec.msgpack.encode(rows)


def packed(watchers: Mapping[str, Watcher]) -> bytes:
    """What watchers have seen so far."""
    results: dict[str, Any] = {name: watcher.result() for name, watcher in watchers.items()}
    found: bytes = msgpack.packb(results)
    return found
