"""What a protocol table is made of: stages a conversion is in, events that move it, rows that say how."""

import enum
from collections.abc import Iterable
from typing import NamedTuple

from actors.contract import KVMS, Consumer, Share
from actors.protocols.options import Options

Who = tuple[Consumer, ...]
P2S, S2P = Share.SHARED, Share.PRIVATE
KVM = (Consumer.KVM_MMU,)
HOST = (Consumer.HOST_MAP,)
REFS = (Consumer.PINS,)
ALL: Who = (Consumer.KVM_MMU, Consumer.HOST_MAP, Consumer.PINS, Consumer.IOMMU)
"""Every consumer of an inode with one file, in registration order."""


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
    LISTING = 8  # making up the list of ranges to convert
    UNMAPPING = 9  # the host's page tables, before the references are looked at
    CHECKING = 10  # references
    SPLITTING = 11  # boundary leaves
    ZAPPING = 12
    INVALIDATING = 13  # consumers one by one, each may fail
    REMAPPING = 14
    STORING = 15
    QUIETING = 16  # waiting for references to the folios to go
    RESTRUCTURING = 17
    REJOINING = 18  # a restructuring that failed is taken back
    UNDOING = 19
    MARKING = 20  # what could not be unmapped


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
    LISTED = 16
    INVALIDATED = 17
    ALL_INVALIDATED = 18
    REMAPPED = 19
    ALL_REMAPPED = 20
    STORED = 21
    QUIET = 22
    NOT_QUIET = 23
    UNCHANGED = 24  # no folio has to be split or merged
    RESTRUCTURED = 25
    NOT_READDED = 26  # a folio could not be put into the filemap
    REJOINED = 27
    NEXT = 28  # another range of the list
    LAST = 29  # that was the last one
    UNDONE = 30
    GO_ON = 31
    FAILED = 32


class Row(NamedTuple):
    """In `stage`, on `event`: do `action` (actors.gmem.steps.ACTIONS), be in `then`. `step` cites the protocol's text.

    `who` is whom the action asks; a row with `to` is for conversions in that direction only.
    """

    stage: Stage
    event: Event
    action: str
    then: Stage
    step: str
    who: Who = ()
    to: Share | None = None


class Variant(NamedTuple):
    """Where `option` has `value`, these rows stand in for the table's of the same stage, event and direction."""

    option: str
    value: str | bool
    rows: tuple[Row, ...]


Index = dict[tuple[Stage, Event], Row]


class Table(NamedTuple):
    """A protocol: its name in scenarios, what it is in one line, its rows, and what options change in them.

    What has no row is an error by construction.
    """

    name: str
    meaning: str
    rows: tuple[Row, ...]
    variants: tuple[Variant, ...] = ()
    defaults: tuple[tuple[str, str | bool], ...] = ()
    """Options that this protocol sets unless the scenario does."""

    def hears(self, event: Event) -> bool:
        """Has it a row for this event, whatever the options?"""
        variants = (row for variant in self.variants for row in variant.rows)
        return any(row.event is event for row in (*self.rows, *variants))

    def with_options(self, options: Options) -> "Table":
        """The same protocol with the rows that these options ask for, and no variants."""
        rows = self.rows
        for variant in self.variants:
            if getattr(options, variant.option) == variant.value:
                rows = replaced(rows, variant.rows)
        if options.files > 1:
            rows = over_files(rows, options.files)
        return self._replace(rows=rows, variants=())

    def by_event(self, to: Share) -> Index:
        """Rows of a direction by (stage, event): a row for this direction before one for both.

        Two rows for one place are a mistake.
        """
        places = {(row.stage, row.event, row.to) for row in self.rows}
        assert len(places) == len(self.rows), f"{self.name}: two rows for one stage and event"
        both = {(row.stage, row.event): row for row in self.rows if row.to is None}
        return both | {(row.stage, row.event): row for row in self.rows if row.to == to}


def over_files(rows: Iterable[Row], files: int) -> tuple[Row, ...]:
    """The rows for an inode with so many files: whoever asks KVM asks each file's, and in turn where it may refuse.

    Only the kernel's loop over the files is in turn: protocols that ask all consumers at once do so with these as well.
    """
    rows = tuple(rows)
    in_turn = {row.then for row in rows if row.action == "prepare" and row.who == KVM}
    return tuple(_over_files(row, KVMS[:files], in_turn) for row in rows)


def _over_files(row: Row, kvms: Who, in_turn: set[Stage]) -> Row:
    who = tuple(c for one in row.who for c in (kvms if one is Consumer.KVM_MMU else (one,)))
    action = row.action
    if action == "prepare" and row.who == KVM:
        action = "prepare_in_turn"
    elif row.event is Event.READY and row.stage in in_turn:
        action = "prepare_next"
    return row._replace(who=who, action=action)


def replaced(rows: Iterable[Row], by: tuple[Row, ...]) -> tuple[Row, ...]:
    """The rows with those of the same place in `by` standing in for them; what has no such place comes last."""
    new = {(row.stage, row.event, row.to): row for row in by}
    kept = [new.pop((row.stage, row.event, row.to), row) for row in rows]
    return (*kept, *new.values())
