"""A partition's state as bytes, from which it can go on: actors, pending events, chance, faults, watchers, feeds.

What is read back may come from a results folder, so only names of our own packages and plain containers are resolved.
"""

import io
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cluster import opcodes
from cluster.host import Host
from cluster.world import Feed, Watcher

if TYPE_CHECKING:
    from cluster.partition import Partition

OURS = ("actors.", "cluster.", "workloads.", "tests.")  # whose classes states are made of
PURE = ("actors.", "workloads.checkers.")  # whose functions they refer to
PLAIN = {
    "builtins": {"complex", "frozenset", "set", "slice"},
    "collections": {"Counter", "OrderedDict", "defaultdict", "deque"},
    "msgspec._core": {"UNSET"},
    "msgspec._utils": {"rebuild"},
}
PROTOCOL = 5


class BadCheckpointError(ValueError):
    """Bytes that are no state of this fleet."""


def save(partition: "Partition") -> bytes:
    """The state between two orders."""
    world = partition.world
    hosts = {number: _host(host) for number, host in partition.hosts.items()}
    found = hosts, world.faults.snapshot(), dict(world.watchers), dict(partition.by_consumer)
    return pickle.dumps(found, PROTOCOL)


def _host(host: Host) -> list[Any]:
    cells = {
        address: (cell.actor, cell.sent, cell.digest, cell.drawn)
        for address, cell in host.cells.items()
    }
    queue = [(at, address, stamp, message) for at, address, stamp, _, message in host.pending()]
    return [host.now, host.handled, host.taken_back, host.cancelled, queue, cells]


State = tuple[dict[int, list[Any]], Any, dict[str, Watcher], dict[int, Feed]]
"""Hosts, faults, watchers, and feeds by who consumes them."""


def load(state: bytes) -> State:
    """What `save` has written; BadCheckpointError when it is not that."""
    found: State = _read(state, [dict, list, dict, dict])
    return found


def save_watchers(watchers: Mapping[str, Watcher]) -> bytes:
    """What they know, where they watch apart from the partitions."""
    return pickle.dumps((dict(watchers),), PROTOCOL)


def load_watchers(state: bytes) -> dict[str, Watcher]:
    """What `save_watchers` has written; BadCheckpointError when it is not that."""
    found: dict[str, Watcher] = _read(state, [dict])[0]
    return found


def _read(state: bytes, layout: list[type]) -> Any:
    if flaw := opcodes.flaw(state):
        raise BadCheckpointError(f"not a checkpoint: {flaw}")
    try:
        found = _Reader(io.BytesIO(state)).load()
    except Exception as error:  # whatever garbage does to pickle
        raise BadCheckpointError(f"not a checkpoint: {error}") from error
    if not (isinstance(found, tuple) and [*map(type, found)] == layout):
        raise BadCheckpointError("not a checkpoint: it has another layout")
    return found


@contextmanager
def restoring() -> Iterator[None]:
    """A state that does not fit where it is put back (events of an actor that is not there) is a BadCheckpointError."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise BadCheckpointError(f"a checkpoint of another fleet: {error!r}") from error


def resume(host: Host, saved: list[Any]) -> None:
    """A host as it was."""
    host.now, host.handled, host.taken_back, host.cancelled, queue, cells = saved
    if cells.keys() != host.cells.keys():
        raise KeyError("its actors are others")
    if not all(isinstance(part, int) for part in (host.now, host.handled, host.taken_back)):
        raise TypeError("a time or count is no number")
    for address, (actor, sent, digest, drawn) in cells.items():
        host.cells[address].resume(actor, sent, digest, drawn)
    host.restore(
        (at, address, stamp, host.cells[address], message) for at, address, stamp, message in queue
    )


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """A class of ours, a check, or a plain container; nothing else is ever called."""
        if name in PLAIN.get(module, ()):
            return super().find_class(module, name)
        if module.startswith(OURS) and "." not in name:
            found = super().find_class(module, name)
            if getattr(found, "__module__", "").startswith(
                OURS if isinstance(found, type) else PURE
            ):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is not part of a state")
