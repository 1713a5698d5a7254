"""One attempt of a conversion as the checks know it: what it was asked, how far it has come, what it overwrote."""

from actors import observations as o
from actors.contract import Reason
from actors.intervals import IntervalMap

UNTOUCHED = -2  # no map has it as a value
Difference = tuple[int, int, int, int]
"""(start, end, before, now) of pages that are not what they were when the conversion began."""


class Operation:
    """From ConvertBegin to ConvertEnd. `before` has, by map, what was overwritten since.

    `prefix` is set at the end: up to where the range is converted although it was refused, 0 for nowhere.
    """

    decided: bool | None = None
    no_return = False
    aborted = False  # some consumer has undone what PREPARE did
    transient = False  # references were found that go by themselves
    short = False  # the allocator refused it memory
    late = Reason.NONE  # hardware failed its unmap, and nobody has told of it yet
    thawed = False  # its invalidation has ended, and no other one has begun since
    emptied = False  # folios were taken out of the filemap
    stale = False  # KVM has acknowledged the unmap, and not flushed
    lost = 0
    pages = 0  # of the host's pool: asked for, and neither refused nor in use nor given back yet
    prefix = 0
    differences: dict[str, list[Difference]] | None = None  # by map, once it has ended

    def __init__(self, begin: o.ConvertBegin, now: int) -> None:
        self.begin = begin
        self.began = now
        self.before: dict[str, IntervalMap] = {}
        self.ready: set[int] = set()

    @property
    def settled(self) -> bool:
        """Has it come to where nothing may fail any more?"""
        return bool(self.decided) or self.no_return

    def covers(self, start: int, end: int) -> bool:
        """Is a page of [start, end) in its range?"""
        return self.begin.start < end and start < self.begin.end

    def touched(self, name: str) -> list[tuple[int, int]]:
        """Where it has written to the map of this name."""
        before = self.before.get(name)
        if before is None:
            return []
        ends = before.starts[1:]  # the last run has none, and is untouched
        runs = zip(before.starts, ends, before.values, strict=False)
        return [(start, end) for start, end, value in runs if value != UNTOUCHED]

    def remember(self, name: str, table: IntervalMap, start: int, end: int) -> None:
        """Keep what the pages of the range hold now, where this conversion has not changed them yet."""
        kept = self.before.get(name)
        if kept is None:
            self.before[name] = IntervalMap.of(table.runs(start, end), UNTOUCHED)
            return
        for s, e, known in kept.runs(start, end):
            if known == UNTOUCHED:
                for s_now, e_now, value in table.runs(s, e):
                    kept.set(s_now, e_now, value)
