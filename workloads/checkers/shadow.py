"""What is known of a VM from observations alone: a second set of books, kept beside the actors' own."""

from collections import deque
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from actors.address import file_of
from actors.contract import KVMS, Consumer
from actors.intervals import IntervalMap
from actors.protocols.marks import MARKS, Mark
from actors.tdx.states import Entry
from workloads.checkers.dma import DeviceBooks
from workloads.checkers.operation import UNTOUCHED, Difference, Operation
from workloads.checkers.pamt import PamtBooks
from workloads.checkers.pool import PoolBooks
from workloads.checkers.story import KEPT, KEYS_KEPT, REFUSED_KEPT, Told

Hold = tuple[str, int]
"""A lock of docs/domain.md section 2.9, and since when it is held (ns)."""
Wait = tuple[int, int, int]
"""A range, and since when (ns)."""


def zero() -> IntervalMap:
    """A map that is 0 everywhere: private, absent, none."""
    return IntervalMap.filled(0)


@dataclass(
    slots=True, eq=False
)  # every fact comes by here, and so many attributes would else be a large dictionary
class Shadow:
    """One VM's books; maps are by gfn. `now` is when the fact in hand was reported (ns)."""

    vm: int
    sept: IntervalMap  # Entry
    private: IntervalMap  # level of the leaf in the mirror
    order: IntervalMap
    huge: IntervalMap  # order of the folios of the file's own size that it began with, 0 elsewhere
    devices: DeviceBooks
    now: int = 0
    consumer: Consumer = Consumer.KVM_MMU  # which one its KVM is
    mark: Mark = MARKS["callback"]  # of a page that could not be unmapped
    trusted_io: bool = False  # what the guest has accepted the module keeps until it lets go
    window: bool = False  # the protocol is made to store after the end of the invalidation (RW1)
    pamt: PamtBooks | None = None  # the host's, where its PAMT is dynamic
    pool: PoolBooks = field(default_factory=PoolBooks)  # what it has of the host's pool
    neighbours: list["Shadow"] = field(default_factory=list)  # the books of all VMs of its host

    # Memory.
    share: IntervalMap = field(default_factory=zero)
    bitmap: IntervalMap = field(default_factory=zero)  # the VMM's
    accepted: IntervalMap = field(default_factory=zero)
    shared: IntervalMap = field(default_factory=zero)  # level of the leaf in the shared EPT
    pte: IntervalMap = field(default_factory=zero)  # the host's page table
    stash: IntervalMap = field(default_factory=zero)
    stashing: bool = False  # huge folios have their metadata set aside when they are split
    pins: IntervalMap = field(default_factory=zero)  # references that will be dropped some time
    kept: IntervalMap = field(default_factory=zero)  # and those that will not
    poison: IntervalMap = field(default_factory=zero)
    failed: IntervalMap = field(default_factory=zero)  # poisoned, for the frame behind it is bad
    left: IntervalMap = field(default_factory=zero)  # KVM said that it could not unmap
    punched: IntervalMap = field(default_factory=zero)  # holes of guest_memfd
    freed: IntervalMap = field(default_factory=zero)  # the frame behind a page is the host's again
    cached: IntervalMap = field(default_factory=zero)  # removed, and not written back from caches
    strays: IntervalMap = field(default_factory=zero)  # it has an owner, and no S-EPT entry
    halfway: IntervalMap = field(default_factory=zero)  # converted by a MapGPA that then failed
    # By name: what maps the VM's memory outside the TD, and inside; by whom a page is referred to.
    outside: dict[str, IntervalMap] = field(init=False)
    inside: dict[str, IntervalMap] = field(init=False)
    counted: dict[str, IntervalMap] = field(init=False)
    # Of every VM that has the inode open, the owner's first.
    mirrors: list[IntervalMap] = field(init=False)
    shared_epts: list[IntervalMap] = field(init=False)

    # Conversions, by op; the last that ended, and the one whose invalidation did, with the times.
    operations: dict[int, Operation] = field(default_factory=dict)
    last: tuple[int, Operation] | None = None
    thawed: tuple[int, Operation] | None = None
    holding: dict[int, list[Hold]] = field(default_factory=dict)  # op -> the locks it holds
    nested: list[tuple[str, str]] = field(default_factory=list)  # the second taken inside the first
    frozen: dict[int, tuple[int, int]] = field(default_factory=dict)  # op -> its invalidation

    # vCPUs: faults by access, with a range and since when, or how often they came again.
    parked: dict[int, Wait] = field(default_factory=dict)
    stepping: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    put_off: list[Wait] = field(default_factory=list)  # who waits for a reference
    kept_out: int = -1  # since when (ns) no vCPU may enter; -1 while they may
    all_out: bool = False  # all have been out since
    retrying: set[int] = field(default_factory=set)  # walks that met BUSY and are to try once more
    busy: tuple[int, int] = (
        -1,
        0,
    )  # the walk that met BUSY last, and how often in a row by somebody's doing
    stuck: tuple[int, int] | None = None  # what the SEAMCALL that was BUSY twice was about
    epoch: int = 0
    drained: int = 0
    blocked: int = -1
    in_hand: tuple[int, int, int] = (-1, 0, 0)  # the last BLOCK: whose, and of what

    # Stories: the last facts that are told; those that decide of the last conversion.
    story: deque[Told] = field(default_factory=lambda: deque(maxlen=KEPT))
    keys: list[Told] = field(default_factory=list)
    refused: deque[tuple[Operation, list[Told]]] = field(
        default_factory=lambda: deque(maxlen=REFUSED_KEPT)
    )

    # Its end. With `closed` its files are, too: its memory matters only where it is freed, or mapped still.
    dead: bool = False
    panicked: bool = False
    killed: bool = False
    closed: bool = False
    own_faults: int = 0  # deaths that the guest has brought on itself
    exited: int = 0  # exit_mmap() has come (1), after a kill (2)

    def __post_init__(self) -> None:
        self.neighbours = [self]
        apart = self.devices.backing.apart  # what maps another file for the VM is not looked at
        elsewhere = {} if apart else {"host page table": self.pte, **self.devices.tables}
        self.outside = {"shared EPT": self.shared, **elsewhere}
        self.inside = {"S-EPT": self.sept, "mirror": self.private}
        self.counted = {"pins": self.pins, "pages that could not be unmapped": self.kept}
        if not apart:
            self.counted |= {"host PTEs": self.pte}
            self.counted |= self.devices.tables if self.devices.backing.pins else {}
        self.mirrors, self.shared_epts = [self.private], [self.shared]
        for start, end, state in self.sept.runs(0, self.sept.starts[-1] + 1):
            if state == Entry.MAPPED:
                self.accepted.set(start, end, 1)

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
        found.retrying, found.all_out, found.busy = set(), False, (-1, 0)
        found.stuck, found.in_hand = None, (-1, 0, 0)
        self.mirrors.append(found.private)
        self.shared_epts.append(found.shared)
        self.inside[f"mirror of file {file}"] = found.private
        self.outside[f"shared EPT of file {file}"] = found.shared
        return found

    def holds(self, start: int, end: int) -> bool:
        """Does a guest with trusted IO hold a page of the range?"""
        return self.trusted_io and self.sept.pages(start, end, Entry.MAPPED) > 0

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
