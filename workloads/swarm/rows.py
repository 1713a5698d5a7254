"""Which rows of the protocols' tables are taken. Nobody tells of a row: the swarm looks on as guest_memfd takes it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from actors.contract import Context
from actors.gmem.conversion import Conversion
from actors.gmem.inode import Gmem
from actors.protocols import INDEX, PROTOCOLS, Event, Row


def name_of(protocol: str, row: Row) -> str:
    """A row by its place in its protocol, and the step that it is; what options change are rows of their own."""
    to = f" to {row.to.name.lower()}" if row.to is not None else ""
    return f"{protocol}: {row.stage.name} {row.event.name}{to} -> {row.then.name} ({row.step})"


def all_rows() -> list[str]:
    """Every row that there is, under any options."""
    found = (
        name_of(table.name, row)
        for table in PROTOCOLS.values()
        for rows in (table.rows, *(variant.rows for variant in table.variants))
        for row in rows
    )
    return list(dict.fromkeys(found))


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Meanwhile every row that a conversion takes in this process is counted, by its name."""
    taken: Counter[tuple[str, Row]] = Counter()
    named: Counter[str] = Counter()
    own = Gmem.drive

    def drive(self: Gmem, conversion: Conversion, event: Event, context: Context) -> None:
        index = INDEX[self.protocol, conversion.to]
        taken[self.protocol, index[conversion.stage, event]] += 1
        own(self, conversion, event, context)

    Gmem.drive = drive  # type: ignore[method-assign]
    try:
        yield named
    finally:
        Gmem.drive = own  # type: ignore[method-assign]
        for (key, row), count in taken.items():
            named[name_of(key.partition("?")[0], row)] += count
