"""What guest_memfd remembers of a conversion while it is under way."""

import enum

import msgspec

from actors.contract import Consumer, Context, Reason, Share
from actors.messages import Mapped
from actors.protocols.table import Stage


class Verb(enum.IntEnum):
    """What guest_memfd can ask a consumer."""

    NONE = 0
    PREPARE = 1
    COMMIT = 2
    ABORT = 3
    INVALIDATE = 4
    REMAP = 5


PHASES = {verb: verb.name.lower() for verb in Verb}
"""What a verb is called in facts."""


class Change(msgspec.Struct, array_like=True):
    """Folios of the index range have order `old` and are to have order `new`."""

    start: int
    end: int
    old: int
    new: int


class Conversion(msgspec.Struct):
    """One attempt; `shift` is gfn minus index, sets of consumers are bit masks, ranges are in index.

    `ranges` are converted one after the other by protocols that do so, `at` is the one in hand; `todo` are consumers
    still to be asked one by one, `agreed` those that have done what they were asked so far.
    """

    op: int
    start: int
    end: int
    to: Share
    shift: int
    stage: Stage = Stage.WAITING
    verb: Verb = Verb.NONE
    waiting: int = 0
    refused: int = 0
    agreed: int = 0
    todo: list[Consumer] = []
    unmapped: dict[int, tuple[Mapped, ...]] = {}  # by consumer: what a REMAP is to map again
    ranges: list[tuple[int, int]] = []
    at: int = 0
    listed: int = 0  # pages that hold the list
    reserved: int = 0
    used: int = 0  # of what was reserved, in use and not reported yet
    asking: int = 0  # pages asked for and not answered
    denied: Reason = Reason.NONE  # why they were not had, the last time
    wanting: int = -1  # for which index they are; -1: for the first that is not converted
    changes: list[Change] = []  # what the restructuring in hand does
    seen: int = -1  # the first page with a reference, by the last look
    changed: int = 0  # how many huge folios of it are done
    reason: Reason = Reason.NONE
    offset: int = -1
    poison: list[tuple[int, int]] = []
    was: list[tuple[int, int, int]] = []  # the attribute of the range in hand before it was stored
    locked_at: int = 0
    asked_at: int = 0
    timer: int = -1
    spun_at: int = -1  # since when references are waited for
    awaited: bool = False  # somebody wants a reference that it keeps him from

    def disarm(self, context: Context) -> None:
        """Take its timer back, unless the time has come."""
        if self.timer >= 0:
            context.cancel(self.timer)
            self.timer = -1

    @property
    def range(self) -> tuple[int, int]:
        """The index range in hand: the whole one for protocols that keep no list."""
        return self.ranges[self.at] if self.ranges else (self.start, self.end)
