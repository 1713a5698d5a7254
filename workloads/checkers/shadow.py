"""What is known of a VM from observations alone: a second set of books, kept beside the actors' own."""

from collections import deque
from collections.abc import Callable
from copy import copy
from typing import Any

from actors import observations as o
from actors.address import file_of
from actors.contract import KVMS, Consumer, Reason, Share, Trace
from actors.intervals import IntervalMap
from actors.protocols.marks import MARKS
from actors.tdx_states import Call, Entry, Status
from workloads.checkers.dma import Backing, DeviceBooks
from workloads.checkers.operation import UNTOUCHED, Difference, Operation
from workloads.checkers.pamt import PamtBooks
from workloads.checkers.pool import PoolBooks
from workloads.checkers.story import KEPT, KEYS_KEPT, REFUSED_KEPT, Told

# A member is slow to look up.
NONE, SHARED, PRIVATE = Reason.NONE, Share.SHARED, Share.PRIVATE
OK, BLOCK, TRACK = Status.OK, Call.BLOCK, Call.TRACK

Wait = tuple[int, int, int]
"""A range, and since when (ns)."""
EXIT_MMAP = "N8 exit_mmap"  # of docs/domain.md section 2.8: the address space goes
FAULTS = (Call.AUG, Call.SEPT_ADD)  # whose BUSY sends the guest back to fault again
Hold = tuple[int, int]
"""The rank of a lock of docs/domain.md section 2.9, and since when it is held (ns)."""


class Shadow:
    """One VM's books; maps are by gfn. `now` is when the fact in hand was reported (ns)."""

    __slots__ = (  # every fact comes by here, and so many attributes would else be a large dictionary
        "accepted", "all_out", "bitmap", "blocked", "closed", "consumer", "counted", "dead", "devices", "drained",
        "epoch", "exited", "failed", "freed", "frozen", "halfway", "holding", "huge", "inside", "kept",
        "kept_out", "keys", "killed", "last", "left", "mark", "mirrors", "neighbours", "nested", "now",
        "operations", "order", "outside", "own_faults", "pamt", "panicked", "parked", "pins", "poison",
        "pool", "private", "pte", "punched", "put_off", "refused", "retrying", "sept", "share",
        "shared", "shared_epts", "stash", "stashing", "stepping", "story", "strays", "thawed", "vm",
        "window",
    )  # fmt: skip

    def __init__(
        self,
        vm: int,
        sept: IntervalMap,
        leaves: IntervalMap,
        order: IntervalMap,
        huge: IntervalMap,
        backing: Backing,
    ) -> None:
        self.vm, self.now = vm, 0
        self.share = IntervalMap.filled(Share.PRIVATE)
        self.sept = sept  # gfn -> Entry
        self.private = leaves  # gfn -> level
        self.shared = IntervalMap.filled(0)
        self.order = order
        self.huge = (
            huge  # order of the folios of the file's own size that it began with, 0 elsewhere
        )
        self.stash, self.stashing = IntervalMap.filled(0), False  # metadata of split huge folios
        self.pte = IntervalMap.filled(0)
        self.devices = DeviceBooks(backing)
        # What maps the VM's memory outside the TD, by name; not what maps another file for it.
        self.outside = {"shared EPT": self.shared}
        if not backing.apart:
            self.outside |= {"host page table": self.pte, **self.devices.tables}
        self.inside = {"S-EPT": sept, "mirror": leaves}
        # Of every VM that has the inode open, the owner's first.
        self.mirrors, self.shared_epts = [leaves], [self.shared]
        # Which consumer its KVM is; how a page that could not be unmapped is to be marked.
        self.consumer, self.mark = Consumer.KVM_MMU, MARKS["callback"]
        self.poison = IntervalMap.filled(0)
        # Poisoned because the frame behind it is bad; holes of guest_memfd.
        self.failed, self.punched = IntervalMap.filled(0), IntervalMap.filled(0)
        self.freed = IntervalMap.filled(0)  # 1 where the frame behind a page is the host's again
        # 1 where it has an owner, and no S-EPT entry leads to it.
        self.strays = IntervalMap.filled(0)
        self.left = IntervalMap.filled(0)  # 1 where KVM said that it could not unmap
        self.bitmap = IntervalMap.filled(Share.PRIVATE)
        self.accepted = IntervalMap.filled(0)
        for start, end, state in sept.runs(0, sept.starts[-1] + 1):
            if state == Entry.MAPPED:
                self.accepted.set(start, end, 1)
        self.halfway = IntervalMap.filled(0)  # 1 where a MapGPA that failed had converted a page
        self.own_faults = 0  # deaths that the guest has brought on itself
        self.pins = IntervalMap.filled(0)  # how many references that will be dropped some time
        self.kept = IntervalMap.filled(0)  # and how many that will not
        self.counted = self.referring()
        self.operations: dict[int, Operation] = {}
        self.last: tuple[int, Operation] | None = None  # when the last one ended
        self.thawed: tuple[int, Operation] | None = None  # and whose invalidation ended last
        self.holding: dict[int, list[Hold]] = {}  # op -> the locks it holds
        self.nested: list[
            tuple[int, int]
        ] = []  # ranks of two locks, the second taken inside the first
        self.parked: dict[
            int, tuple[int, int, int]
        ] = {}  # access -> range that it waits for, since when
        self.stepping: dict[
            int, tuple[int, int, int]
        ] = {}  # access -> its range, how often it came again
        self.frozen: dict[int, tuple[int, int]] = {}  # op -> range of an invalidation in progress
        # Since when (ns) no vCPU may enter, -1 while they may; have all been out since; and the
        # walks that have met BUSY and are to try once more.
        self.kept_out, self.all_out, self.retrying = -1, False, set[int]()
        self.epoch = self.drained = 0
        self.blocked = -1
        self.story: deque[Told] = deque(maxlen=KEPT)  # the last facts that are told
        self.keys: list[Told] = []  # of the last conversion, those that are decisive
        self.refused: deque[tuple[Operation, list[Told]]] = deque(maxlen=REFUSED_KEPT)
        self.dead = self.panicked = self.killed = False
        # So are its files: its memory matters only where it is freed, or still mapped.
        self.closed = False
        self.window = False  # the protocol is made to store after the end of the invalidation (RW1)
        self.pamt: PamtBooks | None = None  # the host's, where its PAMT is dynamic
        # Has exit_mmap() come (1), and after a kill (2); what the VM has of the host's pool, and the
        # books of all VMs of its host; who waits for a reference.
        self.exited, self.put_off = 0, list[Wait]()
        self.pool, self.neighbours = PoolBooks(), [self]

    def referring(self) -> dict[str, IntervalMap]:
        """By whom a page is referred to, but for the filemap."""
        found = {"pins": self.pins, "pages that could not be unmapped": self.kept}
        if not self.devices.backing.apart:
            found["host PTEs"] = self.pte
            if self.devices.backing.pins:
                found |= self.devices.tables
        return found

    def of_file(self, vm: int) -> "Shadow":
        """The books of another VM that has the inode open: the inode's are shared, page tables are its own."""
        found, file = copy(self), file_of(vm)
        found.vm, found.consumer = vm, KVMS[file]
        found.private, found.shared, found.left = (IntervalMap.filled(0) for _ in range(3))
        found.parked, found.stepping, found.holding, found.nested = {}, {}, {}, []
        found.frozen, found.closed, found.put_off = {}, False, []
        found.pool = PoolBooks()
        found.last = found.thawed = None
        found.dead, found.killed, found.own_faults, found.kept_out = False, False, 0, -1
        found.exited = 0
        found.retrying, found.all_out = set(), False
        self.mirrors.append(found.private)
        self.shared_epts.append(found.shared)
        self.inside[f"mirror of file {file}"] = found.private
        self.outside[f"shared EPT of file {file}"] = found.shared
        return found

    def key(self, fact: Any) -> None:
        """A fact that stories cannot do without."""
        told = (self.now, fact)
        self.story.append(told)
        if len(self.keys) < KEYS_KEPT:
            self.keys.append(told)

    def write(self, name: str, start: int, end: int, value: int) -> None:
        """Change one of the maps that a refused conversion must find as they were."""
        table: IntervalMap = getattr(self, name)
        for operation in self.operations.values():
            operation.remember(name, table, start, end)
        table.set(start, end, value)

    def table(self, name: str) -> IntervalMap:
        """The map of this name: of the VM, or of one of its devices' domains."""
        found = self.devices.tables.get(name)
        return getattr(self, name) if found is None else found

    def changed(self, operation: Operation, name: str) -> list[Difference]:
        """Wherever a map differs from when the conversion began, after its prefix. What has ended changes no more."""
        known = operation.differences
        if known is None:
            return self.differences(operation, name)
        if name not in known:
            known[name] = self.differences(operation, name)
        return known[name]

    def differences(self, operation: Operation, name: str) -> list[Difference]:
        """The same, looked up."""
        before = operation.before.get(name)
        if before is None:
            return []
        current = self.table(name)
        found: list[Difference] = []
        # The last run of what was overwritten has no end, and is untouched.
        for at, was in enumerate(before.values):
            if was == UNTOUCHED:
                continue
            start, end = max(before.starts[at], operation.prefix), before.starts[at + 1]
            if start < end and not current.only(start, end, was):
                found += [(s, e, was, now) for s, e, now in current.runs(start, end) if now != was]
        return found

    # --- keeping the books -----------------------------------------------------------------------

    def convert_begin(self, fact: o.ConvertBegin) -> None:
        self.operations[fact.op] = Operation(fact, self.now)
        self.keys.clear()
        self.key(fact)

    def decided(self, fact: o.Decided) -> None:
        self.operations[fact.op].decided = fact.commit

    def no_return(self, fact: o.NoReturn) -> None:
        self.operations[fact.op].no_return = True

    def replied(self, fact: o.ConsumerReplied) -> None:
        operation = self.operations[fact.op]
        agreed = fact.reason is NONE
        if not agreed:
            operation.noes.add(fact.consumer.name.lower())
            operation.named = fact.offset
        operation.answered(fact.consumer, fact.phase, agreed)

    def share_stored(self, fact: o.ShareStored) -> None:
        self.write("share", fact.start, fact.end, fact.to)
        self.devices.stored(fact)
        operation = self.operations.get(fact.op)
        if operation:
            operation.late = Reason.NONE
        if fact.to is SHARED:
            self.write("accepted", fact.start, fact.end, 0)
        elif operation and operation.begin.to is SHARED:
            self.taken_back(operation, fact.start, fact.end)

    def taken_back(self, operation: Operation, start: int, end: int) -> None:
        """A conversion that failed has undone its store: to the guest, what it had accepted is so still."""
        before = operation.before.get("accepted")
        for first, last, was in before.runs(start, end) if before else ():
            if was != UNTOUCHED:
                self.accepted.set(first, last, was)

    def folio_order(self, fact: o.FolioOrder) -> None:
        self.write("order", fact.start, fact.end, fact.order)
        if fact.order < 0:
            for operation in self.operations.values():
                operation.emptied = True
        if fact.order >= 0 and self.punched.fragments > 1:
            self.punched.set(fact.start, fact.end, 0)

    def hole(self, fact: o.Punched) -> None:
        self.punched.set(fact.start, fact.end, 1)
        self.accepted.set(fact.start, fact.end, 0)

    def memory_failed(self, fact: o.MemoryFailed) -> None:
        """Nothing of it is accepted any more, nobody may have it again, and no conversion has to bring it back."""
        self.accepted.set(fact.start, fact.end, 0)
        self.poison.set(fact.start, fact.end, 1)
        self.failed.set(fact.start, fact.end, 1)

    def stashed(self, fact: o.Stashed) -> None:
        self.stashing = True
        self.write("stash", fact.start, fact.end, int(fact.present))

    def poison_set(self, fact: o.PoisonSet) -> None:
        self.poison.set(fact.start, fact.end, 1)
        if fact.op in self.operations:
            self.operations[fact.op].poisoned.append((fact.start, fact.end))

    def left_mapped(self, fact: o.LeftMapped) -> None:
        if fact.op in self.operations and fact.trace != Trace.NONE:
            for start, end, size in self.order.runs(fact.start, fact.end):
                self.operations[fact.op].left.append((start, end, size, fact.trace))
        left = self.devices.left if fact.consumer is Consumer.IOMMU else self.left
        left.set(fact.start, fact.end, 1)

    def sept_set(self, fact: o.Sept) -> None:
        self.write("sept", fact.start, fact.end, fact.state)

    def pamt_counted(self, fact: o.PamtCounted) -> None:
        if self.pamt:
            self.pamt.told.set(fact.start, fact.end, fact.count)

    def seamcall(self, fact: o.SeamcallAnswered) -> None:
        again = bool(self.retrying) and fact.op in self.retrying
        if again:
            self.retrying.remove(fact.op)
        if fact.call == BLOCK:  # one that fails may have blocked what lies before
            self.blocked = self.epoch
        if fact.status != OK:
            self.key(fact)
            if fact.status == Status.BUSY and not again and fact.call not in FAULTS:
                self.retrying.add(fact.op)
            operation = self.operations.get(fact.op)
            if operation:
                operation.trouble = (fact.start, fact.end)
                aborts = operation.decided is False
                if aborts and operation.has_answered(self.consumer):
                    operation.call = Call(fact.call).name
        elif fact.call == TRACK:
            self.epoch += 1

    def epoch_drained(self, _: o.EpochDrained) -> None:
        self.drained = self.epoch
        self.all_out = self.kept_out >= 0

    def invalidation_begin(self, fact: o.InvalidationBegin) -> None:
        """Another range of a conversion widens the first, as in KVM."""
        start, end = self.frozen.get(fact.op) or (fact.start, fact.end)
        frozen = self.frozen[fact.op] = (min(start, fact.start), max(end, fact.end))
        operation = self.operations.get(fact.op)
        if operation:
            operation.frozen[fact.vm] = frozen
            operation.thawed = False

    def invalidation_end(self, fact: o.InvalidationEnd) -> None:
        self.frozen.pop(fact.op, None)
        operation = self.operations.get(fact.op)
        if operation:
            operation.frozen.pop(fact.vm, None)
            operation.thawed = True
            self.thawed = (self.now, operation)

    def leaf(self, fact: o.Leaf) -> None:
        if fact.share is PRIVATE:
            self.private.set(fact.start, fact.end, fact.level)
        else:
            self.shared.set(fact.start, fact.end, fact.level)
            if fact.op in self.operations:
                self.operations[fact.op].unflushed = True
        if not fact.level and self.left.fragments > 1:
            self.left.set(fact.start, fact.end, 0)

    def flushed(self, fact: o.TlbFlushed) -> None:
        if fact.op in self.operations:
            self.operations[fact.op].unflushed = False

    def vcpus_kept(self, fact: o.VcpusKept) -> None:
        self.kept_out = self.now if fact.out else -1
        self.all_out = False

    def host_pte(self, fact: o.HostPte) -> None:
        self.write("pte", fact.start, fact.end, int(fact.present))

    def mm_unmapped(self, fact: o.MmUnmapped) -> None:
        """Nobody's loss: what the mm takes from its own page tables, no conversion has to put back."""
        self.pte.set(fact.start, fact.end, 0)

    def dma_mapped(self, fact: o.Dma) -> None:
        for operation in self.operations.values():
            if not operation.settled:  # what goes after that has not to come back
                name = self.devices.names[fact.listener]
                operation.remember(name, self.devices.tables[name], fact.start, fact.end)
        self.devices.map(fact)

    def dmar_fault(self, fact: o.DmarFault) -> None:
        """The first one that meets what a conversion has taken away is worth telling, not a stream of them."""
        if self.devices.fault(fact):
            self.key(fact)

    def iotlb_queued(self, fact: o.IotlbQueued) -> None:
        self.devices.queued(fact, self.now)

    def side_discarded(self, fact: o.SideDiscarded) -> None:
        self.devices.discarded(fact)

    def bitmap_set(self, fact: o.Bitmap) -> None:
        self.bitmap.set(fact.start, fact.end, fact.to)

    def guest_accepted(self, fact: o.GuestAccepted) -> None:
        self.accepted.set(fact.start, fact.end, 1)
        if self.halfway.fragments > 1:
            self.halfway.set(fact.start, fact.end, 0)

    def guest_released(self, fact: o.GuestReleased) -> None:
        """No conversion that is under way has taken it, or has to bring it back."""
        self.accepted.set(fact.start, fact.end, 0)
        for operation in self.operations.values():
            before = operation.before.get("sept")
            if before is None:
                continue
            for start, end, was in before.runs(fact.start, fact.end):
                if was == Entry.MAPPED:
                    before.set(start, end, Entry.PENDING)

    def accessed(self, fact: o.GuestAccess) -> None:
        """docs/domain.md section 5: what was lost with a conversion is AN1, what half a MapGPA left is AN16."""
        start, end = fact.start, fact.end
        if fact.ok or self.dead or self.accepted.pages(start, end, 1):
            return
        self.own_faults += self.halfway.only(start, end, 0)

    def map_gpa_failed(self, fact: o.MapGpaFailed) -> None:
        self.halfway.set(fact.start, fact.start + fact.converted, 1)

    def huge_lost(self, fact: o.HugeLost) -> None:
        if fact.op in self.operations:
            self.operations[fact.op].lost += fact.leaves

    def lock(self, fact: o.LockOrder) -> None:
        rank, held = fact.rank, self.holding.get(fact.op)
        if fact.taken:
            if held is None:
                self.holding[fact.op] = [(rank, self.now)]
                return
            for outer, _ in held:
                if (outer, rank) not in self.nested:
                    self.nested.append((outer, rank))
            held.append((rank, self.now))
        elif held:
            for number in range(len(held) - 1, -1, -1):
                if held[number][0] == rank:
                    del held[number]
                    break
            if not held:
                del self.holding[fact.op]

    def references(self, fact: o.ReferencesFound) -> None:
        operation = self.operations[fact.op]
        operation.transient, operation.seen = fact.transient, fact.page

    def bugged(self, fact: o.VmBugged) -> None:
        self.dead = True
        if fact.site.endswith("commit"):
            for operation in self.operations.values():
                if not operation.settled:
                    operation.late = fact.reason

    def told(self, fact: o.Failed) -> None:
        """The conversion tells of the failure, as of any other."""
        operation = self.operations.get(fact.op)
        if operation is None:
            return
        operation.failed_at = fact.offset
        if operation.late is fact.reason:
            operation.late = Reason.NONE
        operation.blamed, operation.culprit = fact.consumer, operation.named

    def pinned(self, fact: o.Pinned) -> None:
        step = 1 if fact.held else -1
        for start, end, count in self.pins.runs(fact.start, fact.end):
            self.pins.set(start, end, max(count + step, 0))

    def counts_thawed(self, fact: o.CountsThawed) -> None:
        self.put_off.clear()
        if fact.op in self.operations:
            self.operations[fact.op].thawed_counts = True

    def gup_waits(self, fact: o.GupWaits) -> None:
        self.put_off.append((fact.start, fact.end, self.now))

    def reference_kept(self, fact: o.ReferenceKept) -> None:
        for start, end, count in self.kept.runs(fact.start, fact.end):
            self.kept.set(start, end, count + 1)

    def memory_refused(self, fact: o.MemoryRefused) -> None:
        self.pool.had -= fact.pages
        if fact.op in self.operations:
            operation = self.operations[fact.op]
            operation.short = True
            operation.pages -= fact.pages

    def reserving(self, fact: o.Reserving) -> None:
        self.pool.had += fact.pages
        operation = self.operations.get(fact.op)
        if operation:
            operation.pages += fact.pages

    def reserve_settled(self, fact: o.ReserveSettled) -> None:
        self.pool.owed += fact.returned
        operation = self.operations.get(fact.op)
        if operation:
            operation.pages -= fact.used + fact.returned

    def pages_returned(self, fact: o.PagesReturned) -> None:
        self.pool.returned(fact)

    def fault_parked(self, fact: o.FaultParked) -> None:
        self.parked[fact.access] = (fact.start, fact.end, self.now)

    def fault_resumed(self, fact: o.FaultResumed) -> None:
        self.parked.pop(fact.access, None)

    def re_entered(self, fact: o.ReEntered) -> None:
        at, _, times = self.stepping.get(fact.access, (fact.start, 0, 0))
        if at != fact.start:  # it has come on that far
            times = 0
        self.stepping[fact.access] = (fact.start, fact.end, times + 1)

    def came_on(self, fact: o.ListEmptied | o.FaultFailed) -> None:
        self.stepping.pop(fact.access, None)

    def guest_panicked(self, _: o.GuestPanicked) -> None:
        self.panicked = True

    def vmm_killed(self, _: o.VmmKilled) -> None:
        self.killed = True

    def notified(self, fact: o.NotifierCalled) -> None:
        if fact.site == EXIT_MMAP:
            self.exited = 1 + self.killed

    def stopped(self, _: o.VmStopped) -> None:
        self.dead = True

    def file_closed(self, _: o.FileClosed) -> None:
        self.closed = True


KEEP: dict[type, Callable[[Shadow, Any], None]] = {
    o.ConvertBegin: Shadow.convert_begin,
    o.Decided: Shadow.decided,
    o.NoReturn: Shadow.no_return,
    o.ConsumerReplied: Shadow.replied,
    o.ShareStored: Shadow.share_stored,
    o.FolioOrder: Shadow.folio_order,
    o.Stashed: Shadow.stashed,
    o.PoisonSet: Shadow.poison_set,
    o.Punched: Shadow.hole,
    o.MemoryFailed: Shadow.memory_failed,
    o.LeftMapped: Shadow.left_mapped,
    o.Sept: Shadow.sept_set,
    o.PamtCounted: Shadow.pamt_counted,
    o.SeamcallAnswered: Shadow.seamcall,
    o.EpochDrained: Shadow.epoch_drained,
    o.InvalidationBegin: Shadow.invalidation_begin,
    o.InvalidationEnd: Shadow.invalidation_end,
    o.Leaf: Shadow.leaf,
    o.TlbFlushed: Shadow.flushed,
    o.VcpusKept: Shadow.vcpus_kept,
    o.HostPte: Shadow.host_pte,
    o.MmUnmapped: Shadow.mm_unmapped,
    o.Dma: Shadow.dma_mapped,
    o.DmarFault: Shadow.dmar_fault,
    o.IotlbQueued: Shadow.iotlb_queued,
    o.SideDiscarded: Shadow.side_discarded,
    o.Bitmap: Shadow.bitmap_set,
    o.GuestAccepted: Shadow.guest_accepted,
    o.GuestReleased: Shadow.guest_released,
    o.GuestAccess: Shadow.accessed,
    o.MapGpaFailed: Shadow.map_gpa_failed,
    o.HugeLost: Shadow.huge_lost,
    o.LockOrder: Shadow.lock,
    o.ReferencesFound: Shadow.references,
    o.VmBugged: Shadow.bugged,
    o.Failed: Shadow.told,
    o.Pinned: Shadow.pinned,
    o.ReferenceKept: Shadow.reference_kept,
    o.CountsThawed: Shadow.counts_thawed,
    o.GupWaits: Shadow.gup_waits,
    o.MemoryRefused: Shadow.memory_refused,
    o.Reserving: Shadow.reserving,
    o.ReserveSettled: Shadow.reserve_settled,
    o.PagesReturned: Shadow.pages_returned,
    o.FaultParked: Shadow.fault_parked,
    o.FaultResumed: Shadow.fault_resumed,
    o.ReEntered: Shadow.re_entered,
    o.ListEmptied: Shadow.came_on,
    o.FaultFailed: Shadow.came_on,
    o.GuestPanicked: Shadow.guest_panicked,
    o.VmmKilled: Shadow.vmm_killed,
    o.NotifierCalled: Shadow.notified,
    o.VmStopped: Shadow.stopped,
    o.FileClosed: Shadow.file_closed,
}
