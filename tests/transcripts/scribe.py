"""Writes down what a host does: one line for each message, and what its receiver did about it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from actors.contract import Context, Message
from actors.gmem.conversion import Conversion
from actors.gmem.inode import Gmem
from actors.protocols import Event, Row
from cluster.cell import SEQUENCE_BITS, Cell
from tests.helpers import World
from workloads.exchanges.effects import effect
from workloads.exchanges.lines import line


class Scribe:
    """Runs a world to its end; each message becomes a line once it is handled. `rows` are those that were taken."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.began = world.host.now
        self.lines: list[str] = []
        self.rows: list[Row] = []
        self.senders: dict[tuple[int, int], int] = {}
        for cell in world.host.cells.values():
            cell.handlers = {kind: self.wrapped(own) for kind, own in cell.handlers.items()}

    def run(self) -> str:
        """The transcript up to the world's end; its clock starts with the scribe."""
        host = self.world.host
        with noted(self.rows):
            while (now := host.next_time()) is not None:
                self.senders = {
                    (cell.address, id(message)): stamp >> SEQUENCE_BITS
                    for at, _, stamp, cell, message in host.pending()
                    if at == now
                }
                first = len(self.lines)
                host.run(now + 1, 1 << 30)
                stamp = f"{(now - self.began) / 1000:10.3f}  "
                self.lines[first:] = [stamp + line for line in self.lines[first:]]
        return "\n".join(self.lines) + "\n"

    def wrapped(self, own: Any) -> Any:
        """A handler that writes the message down as well."""

        def handle(actor: Any, message: Message, cell: Cell) -> None:
            known, taken = len(self.world.notebook.facts), len(self.rows)
            own(actor, message, cell)
            steps = [step(row) for row in self.rows[taken:]]
            seen = [fact for _, fact in self.world.notebook.facts[known:]]
            effects = steps + [text for text in map(effect, seen) if text]
            sender = self.senders[cell.address, id(message)]
            self.lines.append(line(sender, cell.address, message, effects))

        return handle


@contextmanager
def noted(rows: list[Row]) -> Iterator[None]:
    """Every row that a conversion takes meanwhile is added to the list."""
    own = Gmem.drive

    def drive(gmem: Gmem, conversion: Conversion, event: Event, context: Context) -> None:
        rows.append(gmem.row(conversion, event))
        own(gmem, conversion, event, context)

    Gmem.drive = drive  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Gmem.drive = own  # type: ignore[method-assign]


def step(row: Row) -> str:
    """A row of the protocol's table: its numbered step, and where that leads."""
    return f"[{row.step}]" + (f" => {row.then.name}" if row.then is not row.stage else "")
