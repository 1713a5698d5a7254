"""The checkers' books cell by cell: what each holds, and which of them somebody looks at.

A cell is one attribute of a VM's books, or of a conversion that is under way, or what the inspector keeps of a host.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

import msgpack
import msgspec

from actors.address import owner_base
from workloads.checkers import Inspector
from workloads.checkers.operation import Operation
from workloads.checkers.shadow import Shadow

Cell = tuple[Hashable, ...]
# Of a VM's books: what tells stories, and what are other names for the same maps.
TELLING = {"story", "keys", "refused", "last", "thawed", "now"}
ALSO = {
    "outside": ("shared", "pte", "devices"),
    "inside": ("sept", "private"),
    "counted": ("pins", "kept", "pte", "devices"),
    "mirrors": ("private",),
    "shared_epts": ("shared",),
    "neighbours": (),
    "mark": (),
    "window": (),
}
FIELDS = [name for name in Shadow.__slots__ if name not in TELLING | ALSO.keys()]
NOTHING = object()  # equal to nothing that a conversion keeps
HOSTS = ("owners", "strays", "pamts")
UNJUDGED = {"began", "begin", "tables", "names", "backing"}
"""Times, and other names of what is there already. Of ConvertBegin, the operation's number says all."""


def cells_of(inspector: Inspector) -> Iterator[tuple[Cell, bytes]]:
    """All cells, each with what it holds: equal books, equal bytes."""
    for name in HOSTS:
        yield (name,), canonical(getattr(inspector, name))
    for vm, shadow in sorted(inspector.shadows.items()):
        for name in FIELDS:
            if name != "operations":
                yield (vm, name), canonical(getattr(shadow, name))
        yield (vm, "operations"), canonical(sorted(shadow.operations))
        for op, operation in sorted(shadow.operations.items()):
            for name, value in sorted(vars(operation).items()):
                if name not in UNJUDGED and value != getattr(Operation, name, NOTHING):
                    yield (vm, op, name), canonical(value)


def canonical(value: Any) -> bytes:
    """Equal values, equal bytes."""
    plain = msgspec.to_builtins(value, enc_hook=fields_of, order="deterministic")
    packed: bytes = msgpack.packb(plain)
    return packed


def fields_of(value: Any) -> Any:
    """Of a class that msgpack does not know: its fields by name."""
    slots: Iterable[str] = getattr(type(value), "__slots__", ())
    found: Mapping[str, Any] = {name: getattr(value, name) for name in slots} or vars(value)
    return {name: item for name, item in found.items() if name not in UNJUDGED}


def shared(cell: Cell) -> Cell:
    """The cell under one name: VMs that have one inode open share most of their books."""
    return (owner_base(cell[0]), *cell[1:]) if isinstance(cell[0], int) else cell


class Eyes:
    """Follows what is looked at in an inspector's books, attribute by attribute."""

    def __init__(self) -> None:
        self.looked: set[Cell] = set()
        self.shadow = watched(Shadow, self.at_shadow)
        self.operation = watched(Operation, self.at_operation)

    def at_shadow(self, shadow: Shadow, name: str) -> None:
        """One attribute of a VM's books is asked for."""
        if name not in TELLING:
            vm = owner_base(object.__getattribute__(shadow, "vm"))
            self.looked.update((vm, each) for each in ALSO.get(name, (name,)))
            if name == "pamt":
                self.looked.add(("pamts",))

    def at_operation(self, operation: Operation, name: str) -> None:
        """One attribute of a conversion."""
        if name not in UNJUDGED:
            begin = object.__getattribute__(operation, "begin")
            self.looked.add((owner_base(begin.gmem), begin.op, name))

    def opened(self, inspector: Inspector) -> None:
        """From now on all is seen."""
        for shadow in inspector.shadows.values():
            for operation in shadow.operations.values():
                operation.__class__ = self.operation
            shadow.__class__ = self.shadow
        self.looked.clear()

    def closed(self, inspector: Inspector) -> None:
        """Books as they were made, to be kept."""
        for shadow in inspector.shadows.values():
            shadow.__class__ = Shadow
            for operation in shadow.operations.values():
                operation.__class__ = Operation


def watched(kind: type, look: Callable[[Any, str], None]) -> type:
    """A class like this one that says which of its attributes is asked for."""

    def asked(self: Any, name: str) -> Any:
        look(self, name)
        return object.__getattribute__(self, name)

    return type(kind.__name__, (kind,), {"__slots__": (), "__getattribute__": asked})
