"""Observations where actors of one host live in several partitions: told to the driver, put in order, watched there.

Of one nanosecond they come in the order of the actors' addresses, of one actor in its own order: as in one process.
"""

from collections.abc import Iterable, Mapping, Sequence
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
            self.table[self.types[number]](now, observation)

    def checkpoint(self) -> bytes:
        """What the watchers know."""
        return save_watchers(self.watchers)

    def result(self, parts: Iterable[bytes] = ()) -> bytes:
        """As cluster.partition.Partition.watched; of faults the partitions know, whose words `parts` are."""
        return packed(results(self.watchers), faults_of(parts))

    def so_far(self) -> bytes:
        """The same while it goes on."""
        return packed(so_far(self.watchers))


def faults_of(parts: Iterable[bytes]) -> list[list[int]]:
    """Counts of faults over all partitions."""
    totals: dict[tuple[int, int], list[int]] = {}
    for part in parts:
        for number, place, over, struck in msgpack.unpackb(part, strict_map_key=False)["faults"]:
            total = totals.setdefault((number, place), [0, 0])
            total[0] += over
            total[1] += struck
    return [[*where, *total] for where, total in sorted(totals.items())]


def numbered(table: Iterable[type]) -> list[type]:
    """The types in an order that every process finds."""
    return sorted(table, key=lambda found: found.__name__)


def encode(told: Iterable[Told], numbers: Mapping[type, int]) -> bytes:
    """One batch."""
    rows = [(now, address, numbers[type(fact)], fact) for now, address, fact in told]
    return msgspec.msgpack.encode(rows)


def results(watchers: Mapping[str, Watcher]) -> dict[str, Any]:
    """All that each has seen, by name."""
    return {name: watcher.result() for name, watcher in watchers.items()}


def so_far(watchers: Mapping[str, Watcher]) -> dict[str, Any]:
    """What each tells while it goes on."""
    return {name: watcher.so_far() for name, watcher in watchers.items()}


def packed(
    seen: Mapping[str, Any], faults: Iterable[Sequence[int]] = (), backlog: int | None = None
) -> bytes:
    """What watchers have seen, how often faults have struck, and what nobody has begun, if that is known."""
    found: bytes = msgpack.packb({**seen, "faults": list(faults), "backlog": backlog})
    return found
