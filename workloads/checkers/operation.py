"""One attempt of a conversion as the checks know it: what it was asked, how far it has come, what it overwrote."""

from actors import observations as o
from actors.contract import Consumer, Reason
from actors.intervals import IntervalMap

UNTOUCHED = -2  # no map has it as a value
ENDS = ("commit", "abort")  # of a token
Difference = tuple[int, int, int, int]
"""(start, end, before, now) of pages that are not what they were when the conversion began."""


class Operation:
    """From ConvertBegin to ConvertEnd. `before` has, by map, what was overwritten since.

    `prefix` is set at the end: up to where the range is converted although it was refused, 0 for nowhere.
    """

    decided: bool | None = None
    no_return = False
    aborted = False  # some consumer has undone what PREPARE did
    undone = 0  # bits of those that have, after ABORT or with their no
    refused = 0  # bits of those whose no no ABORT has followed yet
    ended = 0  # bits of those whose READY, or no, has met a COMMIT or an ABORT
    astray = ""  # an answer that no token of this conversion explains
    named = -1  # the page that the last no was about
    blamed = ""  # by whom guest_memfd says that it fails
    culprit = -1  # and which page he had named
    call = ""  # a SEAMCALL that failed when nothing was left to be done
    poisoned: list[tuple[int, int]]  # what it has set aside for ever
    left: list[
        tuple[int, int, int, int]
    ]  # could not be unmapped: where, its folio's order, the trace
    transient = False  # references were found that go by themselves
    short = False  # the allocator refused it memory
    trouble: tuple[tuple[int, int], ...] = ()  # what its SEAMCALLs that failed were about
    unflushed = False  # shared leaves were zapped for it, and a vCPU may still know them
    seen = -1  # the page with a reference that refused it
    thawed_counts = False  # references on what it had frozen may grow again
    failed_at = -1  # the gfn at which it has failed
    causes: set[
        Reason
    ]  # why it may fail: classes that the fault plan struck it with, or that others led to
    late = Reason.NONE  # hardware failed its unmap, and nobody has told of it yet
    frozen: dict[int, tuple[int, int]]  # by VM in which its invalidation is in progress: where
    thawed = False  # its invalidation has ended, and no other one has begun since
    emptied = False  # folios were taken out of the filemap
    lost = 0
    pages = 0  # of the host's pool: asked for, and neither refused nor in use nor given back yet
    prefix = 0
    differences: dict[str, list[Difference]] | None = None  # by map, once it has ended

    def __init__(self, begin: o.ConvertBegin, now: int) -> None:
        self.begin = begin
        self.began = now
        self.frozen = {}
        self.poisoned, self.left = [], []
        self.causes = set()
        self.noes: set[str] = set()  # who has refused
        self.before: dict[str, IntervalMap] = {}
        self.ready: set[int] = set()

    def answered(self, consumer: Consumer, phase: str, agreed: bool) -> None:
        """A READY is a token, and one COMMIT or one ABORT ends it. A late no may be followed by its ABORT."""
        bit = 1 << consumer
        if phase == "prepare":
            if consumer in self.ready:
                self.astray = f"{consumer.name} answered PREPARE again"
            elif agreed:
                self.ready.add(consumer)
            else:
                self.refused |= bit
                self.undone |= bit
        elif phase in ENDS:
            if consumer in self.ready:
                self.ready.remove(consumer)
                self.ended |= bit
            elif self.refused & bit and phase == "abort":
                self.refused &= ~bit
                self.ended |= bit
            elif (self.ended | self.refused) & bit:  # some are told to COMMIT that nobody has asked
                self.astray = f"{consumer.name} met {phase.upper()} without a READY"
            if phase == "abort":
                self.aborted = True
                self.undone |= bit

    def has_answered(self, consumer: int) -> bool:
        """Has the consumer said yes or no to PREPARE, so that what it does now it does for COMMIT or ABORT?"""
        return consumer in self.ready or bool((self.ended | self.undone) >> consumer & 1)

    @property
    def settled(self) -> bool:
        """Has it come to where nothing may fail any more?"""
        return bool(self.decided) or self.no_return

    def covers(self, start: int, end: int) -> bool:
        """Is a page of [start, end) in its range?"""
        return self.begin.start < end and start < self.begin.end

    def hull(self, name: str) -> tuple[int, int]:
        """From where to where it has written to the map of this name, or its range."""
        before = self.before.get(name)
        if before is None:
            return self.begin.start, self.begin.end
        first = before.values[0] == UNTOUCHED
        return before.starts[first], before.starts[-1]  # the last run is untouched

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
