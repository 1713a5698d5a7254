"""What is known of a VM from observations alone: a second set of books, kept beside the actors' own."""

from collections.abc import Callable
from typing import Any

from actors import observations as o
from actors.contract import Reason, Share
from actors.intervals import IntervalMap
from actors.tdx_states import Call, Entry, Status

UNTOUCHED = -2  # no map has it as a value


class Operation:
    """A conversion attempt from ConvertBegin to ConvertEnd; `before` has what was overwritten since."""

    def __init__(self, begin: o.ConvertBegin) -> None:
        self.begin = begin
        self.before: dict[str, IntervalMap] = {}
        self.decided: bool | None = None
        self.ready: set[int] = set()
        self.frozen = False
        self.holding: list[int] = []
        self.lost = 0

    def remember(self, name: str, table: IntervalMap, start: int, end: int) -> None:
        """Keep what the pages of the range hold now, where this conversion has not changed them yet."""
        kept = self.before.get(name)
        if kept is None:
            kept = self.before[name] = IntervalMap.filled(UNTOUCHED)
        for s, e, known in list(kept.runs(start, end)):
            if known == UNTOUCHED:
                for s_now, e_now, value in table.runs(s, e):
                    kept.set(s_now, e_now, value)


class Shadow:
    """One VM's books; maps are by gfn. `slots` are those pages that exist."""

    def __init__(self, vm: int, sept: IntervalMap, leaves: IntervalMap, order: IntervalMap) -> None:
        self.vm = vm
        self.share = IntervalMap.filled(Share.PRIVATE)
        self.sept = sept  # gfn -> Entry
        self.private = leaves  # gfn -> level
        self.shared = IntervalMap.filled(0)
        self.order = order
        self.pte = IntervalMap.filled(0)
        self.dma = IntervalMap.filled(0)
        self.poison = IntervalMap.filled(0)
        self.punched = IntervalMap.filled(0)  # holes of guest_memfd
        self.bitmap = IntervalMap.filled(Share.PRIVATE)
        self.accepted = IntervalMap.filled(0)
        for start, end, state in sept.runs(0, sept.starts[-1] + 1):
            if state == Entry.MAPPED:
                self.accepted.set(start, end, 1)
        self.operations: dict[int, Operation] = {}
        self.epoch = self.drained = 0
        self.blocked = -1
        self.dead = False

    def write(self, name: str, start: int, end: int, value: int) -> None:
        """Change one of the maps that a refused conversion must find as they were."""
        table: IntervalMap = getattr(self, name)
        for operation in self.operations.values():
            operation.remember(name, table, start, end)
        table.set(start, end, value)

    def changed(self, operation: Operation, name: str) -> list[tuple[int, int, int, int]]:
        """(start, end, before, now) wherever a map differs from when the conversion began."""
        before = operation.before.get(name, IntervalMap.filled(UNTOUCHED))
        current: IntervalMap = getattr(self, name)
        return [
            (s, e, was, now)
            for start, end, was in before.runs(0, before.starts[-1] + 1)
            if was != UNTOUCHED
            for s, e, now in current.runs(start, end)
            if now != was
        ]

    # --- keeping the books -----------------------------------------------------------------------

    def convert_begin(self, fact: o.ConvertBegin) -> None:
        self.operations[fact.op] = Operation(fact)

    def decided(self, fact: o.Decided) -> None:
        self.operations[fact.op].decided = fact.commit

    def replied(self, fact: o.ConsumerReplied) -> None:
        operation = self.operations[fact.op]
        if fact.phase == "prepare" and fact.reason is Reason.NONE:
            operation.ready.add(fact.consumer)
        elif fact.phase != "prepare":
            operation.ready.discard(fact.consumer)

    def share_stored(self, fact: o.ShareStored) -> None:
        self.write("share", fact.start, fact.end, fact.to)
        if fact.to is Share.SHARED:
            self.accepted.set(fact.start, fact.end, 0)

    def folio_order(self, fact: o.FolioOrder) -> None:
        self.write("order", fact.start, fact.end, fact.order)
        if fact.order >= 0:
            self.punched.set(fact.start, fact.end, 0)

    def hole(self, fact: o.Punched) -> None:
        self.punched.set(fact.start, fact.end, 1)
        self.accepted.set(fact.start, fact.end, 0)

    def poison_set(self, fact: o.PoisonSet) -> None:
        self.poison.set(fact.start, fact.end, 1)

    def sept_set(self, fact: o.Sept) -> None:
        self.write("sept", fact.start, fact.end, fact.state)

    def seamcall(self, fact: o.SeamcallAnswered) -> None:
        if fact.status == Status.OK and fact.call == Call.TRACK:
            self.epoch += 1
        elif fact.call == Call.BLOCK and fact.status == Status.OK:
            self.blocked = self.epoch

    def epoch_drained(self, _: o.EpochDrained) -> None:
        self.drained = self.epoch

    def invalidation_begin(self, fact: o.InvalidationBegin) -> None:
        self.operations[fact.op].frozen = True

    def invalidation_end(self, fact: o.InvalidationEnd) -> None:
        self.operations[fact.op].frozen = False

    def leaf(self, fact: o.Leaf) -> None:
        table = self.private if fact.share is Share.PRIVATE else self.shared
        table.set(fact.start, fact.end, fact.level)

    def host_pte(self, fact: o.HostPte) -> None:
        self.write("pte", fact.start, fact.end, int(fact.present))

    def mm_unmapped(self, fact: o.MmUnmapped) -> None:
        """Nobody's loss: what the mm takes from its own page tables, no conversion has to put back."""
        self.pte.set(fact.start, fact.end, 0)

    def dma_mapped(self, fact: o.Dma) -> None:
        self.dma.set(fact.start, fact.end, int(fact.mapped))

    def bitmap_set(self, fact: o.Bitmap) -> None:
        self.bitmap.set(fact.start, fact.end, fact.to)

    def guest_accepted(self, fact: o.GuestAccepted) -> None:
        self.accepted.set(fact.start, fact.end, 1)

    def huge_lost(self, fact: o.HugeLost) -> None:
        if fact.op in self.operations:
            self.operations[fact.op].lost += fact.leaves

    def lock(self, fact: o.LockOrder) -> None:
        operation = self.operations.get(fact.op)
        if operation and fact.taken:
            operation.holding.append(fact.rank)
        elif operation and fact.rank in operation.holding:
            operation.holding.remove(fact.rank)

    def died(self, _: o.VmBugged | o.VmStopped) -> None:
        self.dead = True


KEEP: dict[type, Callable[[Shadow, Any], None]] = {
    o.ConvertBegin: Shadow.convert_begin,
    o.Decided: Shadow.decided,
    o.ConsumerReplied: Shadow.replied,
    o.ShareStored: Shadow.share_stored,
    o.FolioOrder: Shadow.folio_order,
    o.PoisonSet: Shadow.poison_set,
    o.Punched: Shadow.hole,
    o.Sept: Shadow.sept_set,
    o.SeamcallAnswered: Shadow.seamcall,
    o.EpochDrained: Shadow.epoch_drained,
    o.InvalidationBegin: Shadow.invalidation_begin,
    o.InvalidationEnd: Shadow.invalidation_end,
    o.Leaf: Shadow.leaf,
    o.HostPte: Shadow.host_pte,
    o.MmUnmapped: Shadow.mm_unmapped,
    o.Dma: Shadow.dma_mapped,
    o.Bitmap: Shadow.bitmap_set,
    o.GuestAccepted: Shadow.guest_accepted,
    o.HugeLost: Shadow.huge_lost,
    o.LockOrder: Shadow.lock,
    o.VmBugged: Shadow.died,
    o.VmStopped: Shadow.died,
}
