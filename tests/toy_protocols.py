"""Protocols for tests: over the same steps as the real ones, registered for as long as a test wants them."""

from collections.abc import Iterator
from contextlib import contextmanager

from actors import gmem
from actors.protocols import PROTOCOLS, TWO_PHASE, Event, Row, Stage, Table
from cluster.label_sets import FAILURES

TWIN = Table("twin", TWO_PHASE.rows)
"""two-phase by another name, which no row of the anomalies' table admits anything."""

LIAR = Table(
    "liar",
    (
        Row(Stage.WAITING, Event.LOCKED, "reply", Stage.REPLIED, "says that it is done"),
        Row(Stage.WAITING, Event.NOTHING_TO_DO, "reply_redundant", Stage.REPLIED, "true for once"),
        Row(Stage.WAITING, Event.NOT_POSSIBLE, "reply", Stage.REPLIED, "poisoned or gone"),
    ),
)
"""Answers at once and converts nothing."""


@contextmanager
def registered(*tables: Table) -> Iterator[None]:
    """They can be named in a scenario that is in memory."""
    for table in tables:
        PROTOCOLS[table.name] = table
        gmem._INDEX[table.name] = table.by_event()
        FAILURES[table.name] = FAILURES[TWO_PHASE.name]
    try:
        yield
    finally:
        for table in tables:
            del PROTOCOLS[table.name], gmem._INDEX[table.name], FAILURES[table.name]
