"""Stands in for the one host of most tests where a bug is planted: what is done to one actor there is done to all of
its kind here, in every fleet that is built meanwhile.
"""

from collections.abc import Callable
from typing import Any

from pytest import MonkeyPatch

from actors.address import VM_MASK
from actors.contract import Actor, Message
from cluster.cell import Cell
from tests.helpers import Handle


class Everywhere:
    """See tests.helpers.World; a `vm` below 0 means the host's own actors, any other one those of all VMs."""

    def __init__(self, patch: MonkeyPatch) -> None:
        self.handlers: list[tuple[int, bool, type[Message], Handle]] = []
        self.changes: list[tuple[int, Callable[[Any], None]]] = []
        own = Cell.__init__

        def begin(cell: Cell, address: int, actor: Actor, host: Any) -> None:
            own(cell, address, actor, host)
            self.plant(cell)

        patch.setattr(Cell, "__init__", begin)

    def plant(self, cell: Cell) -> None:
        """All that concerns an actor that has just been built."""
        kind, of_vm = cell.address & 0xF0, bool(cell.address & VM_MASK)
        for number, vms, message, handle in self.handlers:
            if (number, vms) == (kind, of_vm):
                cell.handlers = {**cell.handlers, message: handle}
        for number, change in self.changes:
            if number == kind and of_vm:
                change(cell.actor)

    def replace(self, kind: int, message: type[Message], handle: Handle, vm: int = 0) -> None:
        """See tests.helpers.World."""
        self.handlers.append((kind, vm >= 0, message, handle))

    def drop(self, kind: int, message: type[Message], vm: int = 0) -> None:
        """See tests.helpers.World."""
        self.replace(kind, message, lambda *_: None, vm)

    def alter(self, kind: int, change: Callable[[Any], None], vm: int = 0) -> None:
        """See tests.helpers.World."""
        self.changes.append((kind, change))
