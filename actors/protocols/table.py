"""What a protocol table is made of: stages a conversion is in, events that move it, rows that say how."""

import enum
from typing import NamedTuple


class Stage(enum.IntEnum):
    """Where a conversion stands."""

    WAITING = 0  # for the invalidate lock
    RESERVING = 1
    FREEZING = 2
    PREPARING = 3
    COMMITTING = 4
    ABORTING = 5
    THAWING = 6
    REPLIED = 7


class Event(enum.IntEnum):
    """What a conversion can be told."""

    LOCKED = 0
    NOTHING_TO_DO = 1
    NOT_POSSIBLE = 2
    NO_MEMORY = 3
    RESERVED = 4
    FROZEN = 5
    READY = 6
    ALL_READY = 7
    REFUSED = 8
    TIMED_OUT = 9
    POISONED = 10
    COMMITTED = 11
    ALL_COMMITTED = 12
    ABORTED = 13
    ALL_ABORTED = 14
    THAWED = 15


class Row(NamedTuple):
    """In `stage`, on `event`: do `action` (actors.gmem_steps.ACTIONS), be in `then`. `step` cites the mail."""

    stage: Stage
    event: Event
    action: str
    then: Stage
    step: str


class Table(NamedTuple):
    """A protocol: its name in scenarios and its rows. What has no row is an error by construction."""

    name: str
    rows: tuple[Row, ...]

    def by_event(self) -> dict[tuple[Stage, Event], Row]:
        """Rows by (stage, event); two rows for one pair are a mistake."""
        found = {(row.stage, row.event): row for row in self.rows}
        assert len(found) == len(self.rows), f"{self.name}: two rows for one stage and event"
        return found
