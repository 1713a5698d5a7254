"""Counts of folios: who holds one, who finds one, who freezes them."""

from actors.contract import Observation


class Pinned(Observation, frozen=True, tag=16):
    """A long-lived reference was taken on the range, or dropped."""

    vm: int
    start: int
    end: int
    held: bool


class ReferenceKept(Observation, frozen=True, tag=37):
    """A reference that nobody will ever drop was taken on the range."""

    vm: int
    start: int
    end: int


class ReferencesFound(Observation, frozen=True, tag=38):
    """A conversion was refused for references; `transient` when all of them go by themselves soon.

    `page` (gfn) is the first one that has one.
    """

    vm: int
    op: int
    start: int
    end: int
    transient: bool
    page: int


class CountsRead(Observation, frozen=True, tag=170):
    """Reference counts of the folios at the range, summed over its pages: `extra` above the filemap's own."""

    vm: int
    op: int
    start: int
    end: int
    extra: int


class CountsThawed(Observation, frozen=True, tag=210):
    """References on what a conversion had frozen may grow again: it is aborted, or over and somebody waits."""

    vm: int
    op: int


class GupWaits(Observation, frozen=True, tag=211):
    """Somebody who wants a reference on the range waits, for its counts are frozen.

    By conversion `op` before its decision; after that (-1) by whichever guest_memfd says that it is not over.
    """

    vm: int
    op: int
    start: int
    end: int
