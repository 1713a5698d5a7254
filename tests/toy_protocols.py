"""Protocols for tests: over the same steps as the real ones, registered for as long as a test wants them."""

from collections.abc import Iterator
from contextlib import contextmanager

from actors.protocols import INDEX, PROTOCOLS, TWO_PHASE, Event, Row, Stage, Table

TWIN = TWO_PHASE._replace(
    name="twin", meaning="two-phase by a name of which nobody admits anything"
)
LIAR = Table(
    "liar",
    "answers at once and converts nothing",
    (
        Row(Stage.WAITING, Event.LOCKED, "reply", Stage.REPLIED, "says that it is done"),
        Row(Stage.WAITING, Event.NOTHING_TO_DO, "reply_redundant", Stage.REPLIED, "true for once"),
        Row(Stage.WAITING, Event.NOT_POSSIBLE, "reply", Stage.REPLIED, "poisoned or gone"),
    ),
)


@contextmanager
def registered(*tables: Table) -> Iterator[None]:
    """They can be named in a scenario that is in memory."""
    for table in tables:
        PROTOCOLS[table.name] = table
    try:
        yield
    finally:
        for table in tables:
            del PROTOCOLS[table.name]
            for key in [key for key in INDEX if key[0].partition("?")[0] == table.name]:
                del INDEX[key]
