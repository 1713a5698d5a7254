"""The watcher that keeps every VM's books and holds the checks against them; counts and first findings."""

from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from actors import observations as o
from actors.address import file_of, host_of, name_of, owner_base, vm_base, vm_of
from actors.contract import Reason
from actors.intervals import IntervalMap
from actors.locks.observations import LockAsked, LockLeft, LockWaited
from actors.tdx.states import Entry
from workloads.checkers import story
from workloads.checkers.admitted import admits
from workloads.checkers.checks import RANKS, i4_new, i15_freed
from workloads.checkers.keep import KEEP
from workloads.checkers.operation import Operation
from workloads.checkers.pamt import PamtBooks
from workloads.checkers.progress import T_HOLD_NS, still_open
from workloads.checkers.registry import ANOMALIES, INVARIANTS, Check
from workloads.checkers.restored import prefix
from workloads.checkers.shadow import Shadow
from workloads.checkers.slowest import Slowest
from workloads.checkers.start import (
    PLACE_BITS,
    first_owners,
    new_shadow,
    place_of,
    small_leaves,
    vm_at,
)
from workloads.checkers.tracks import Row, rows_of
from workloads.checkers.words import span
from workloads.outcome.settings import of_scenario
from workloads.plan import Plan

FINDINGS_KEPT = 5  # of each kind: the first ones
Finding = list[Any]
"""[time in ns, id, VM's base address, op or -1, text, story, rows of its timeline]"""


NONE, FREE = Reason.NONE, Entry.FREE  # a member is slow to look up
TITLES = {
    **{check.id: f"{check.id} is broken ({check.name})" for check in INVARIANTS},
    **{check.id: f"{check.id}, {check.name}" for check in ANOMALIES},
}
Test = Callable[..., str | None]
Tests = dict[Test, list[str]]
"""Each test with the ids of the checks that share it, in the checks' order."""


def by_test(pairs: Iterable[tuple[Test | None, str]]) -> Tests:
    """Checks with the same test have it run once."""
    found: Tests = {}
    for test, name in pairs:
        if test:
            found.setdefault(test, []).append(name)
    return found


class Inspector:
    """One partition's checks."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.shadows: dict[int, Shadow] = {}  # by the VM's base address
        self.known: dict[int, Shadow] = {}  # by any address of the VM's that a fact has named
        self.neighbours: dict[int, list[Shadow]] = {}  # by host
        self.owners: dict[int, IntervalMap] = {}  # host -> pfn -> place in a secure EPT
        self.strays: dict[int, IntervalMap] = {}  # host -> pfn -> owner by the PAMT alone, a VM
        self.pamts: dict[int, PamtBooks] = {}  # by host, where the PAMT is dynamic
        scenario = plan.scenario
        self.window = admits("AN20", scenario.protocol.name, of_scenario(scenario))
        self.counts: Counter[str] = Counter()
        self.first: dict[str, list[Finding]] = {}  # id -> in order of time
        # The last story and its timeline, and the fact that ends it.
        self.told: tuple[Any, list[str], list[Row]] = (None, [], [])
        self.slowest = Slowest()
        self.checks: tuple[Check, ...] = INVARIANTS + ANOMALIES
        self.at_end = by_test((check.at_end, check.id) for check in self.checks)
        self.refused = by_test((check.refused, check.id) for check in self.checks)

    def watches(self) -> Mapping[type, Callable[[int, Any], None]]:
        """See cluster.world.Watcher."""
        special: dict[type, Callable[[int, Any], None]] = {
            o.Answered: self.slowest.after(self.watch(o.Answered), self.books),
            o.ConvertEnd: self.convert_end,
            o.FrameOwned: self.owned_frame,
            o.FramesFreed: self.freed,
            o.FramesReused: self.reused,
            o.FramesTaken: self.taken,
            o.Sept: self.sept,
            o.FaultStruck: self.struck,
            LockAsked: self.lock_taken(LockAsked),
            LockWaited: self.lock_taken(LockWaited),
            LockLeft: self.lock_left(),
        }
        kinds: set[type] = {*KEEP, *story.KINDS, *special}
        for check in self.checks:
            kinds |= {kind for kind, _ in (*check.on, *check.after)}
        return {kind: special.get(kind) or self.watch(kind) for kind in kinds}

    def watch(self, kind: type) -> Callable[[int, Any], None]:
        """The story, checks before, the books, checks after: one function for this kind of fact."""
        before = by_test((test, c.id) for c in self.checks for k, test in c.on if k is kind)
        after = by_test((test, c.id) for c in self.checks for k, test in c.after if k is kind)
        keep, told, worth = KEEP.get(kind), kind in story.KINDS, story.WORTH.get(kind)
        key = kind in story.KEYS and told
        plain = told and not key and worth is None
        known, own = self.known, "vm" in kind.__struct_fields__  # type: ignore[attr-defined]

        def look(now: int, fact: Any) -> None:
            address = fact.vm if own else fact.gmem
            try:
                shadow = known[address]
            except KeyError:
                shadow = self.books(address)
            shadow.now = now
            if plain:
                shadow.story.append((now, fact))
            elif key:
                shadow.key(fact)
            elif told and worth and worth(fact):
                shadow.story.append((now, fact))
            for test in before:
                if text := test(shadow, fact):
                    self.found(before[test], shadow, fact, text)
            if keep:
                keep(shadow, fact)
            for test in after:
                if text := test(shadow, fact):
                    self.found(after[test], shadow, fact, text)

        return look

    def books(self, address: int) -> Shadow:
        """The books of the VM that has this address."""
        found = self.known.get(address)
        if found is None:
            vm = vm_base(address)
            if vm not in self.shadows and file_of(vm):
                self.shadows[vm] = self.books(owner_base(vm)).of_file(vm)
            elif vm not in self.shadows:
                self.shadows[vm] = new_shadow(self.plan, vm)
                self.shadows[vm].window = self.window
                here = self.neighbours.setdefault(host_of(vm), [])
                here.append(self.shadows[vm])
                self.shadows[vm].neighbours = here
                if self.plan.scenario.fleet.pamt == "dynamic":
                    self.shadows[vm].pamt = self.pamt_of(vm)
            found = self.known[address] = self.shadows[vm]
        return found

    def found(
        self,
        names: Iterable[str],
        shadow: Shadow,
        fact: Any,
        text: str,
        operation: Operation | None = None,
    ) -> None:
        """Count a finding of these checks; the first ones are kept, with their stories."""
        for name in names:
            self.counts[name] += 1
            first = self.first.setdefault(name, [])
            here = [shadow.now, name, shadow.vm, getattr(fact, "op", -1), text]
            # By time: hosts of a partition run one after the other.
            if len(first) < FINDINGS_KEPT or here < first[-1]:
                if self.told[0] is not fact:  # what is found with one fact came about in one way
                    bare = story.bare(shadow, fact, operation)
                    self.told = (fact, story.tell(shadow, bare), rows_of(bare.facts))
                _, lines, rows = self.told
                insort(first, [*here, [*lines, found_as(name, text)], rows])
                del first[FINDINGS_KEPT:]

    def convert_end(self, now: int, fact: o.ConvertEnd) -> None:
        """Everything that must hold when a conversion is over."""
        shadow = self.books(fact.gmem)
        shadow.now = now
        shadow.key(fact)
        operation = shadow.operations.pop(fact.op)
        shadow.last = (now, operation)
        if fact.reason is not NONE:
            operation.prefix = prefix(shadow, fact, operation)
        operation.differences = {}
        if not fact.redundant:
            self.hold(self.at_end, shadow, fact, operation)
        if fact.reason is not NONE:
            self.hold(self.refused, shadow, fact, operation)
            first = story.kept_apart(shadow, shadow.story, operation)
            shadow.refused.append((operation, [*first, *shadow.story]))
        shadow.devices.ended(fact, operation)

    def hold(self, tests: Tests, shadow: Shadow, fact: o.ConvertEnd, operation: Operation) -> None:
        """Tests against a conversion that is over."""
        for test in tests:
            if text := test(shadow, fact, operation):
                self.found(tests[test], shadow, fact, text, operation)

    def struck(self, now: int, fact: o.FaultStruck) -> None:
        """An injected failure belongs to the story of whose VM it befell, if it is a VM's."""
        if vm_of(fact.vm) >= 0:
            shadow = self.books(fact.vm)
            shadow.now = now
            shadow.key(fact)
            KEEP[o.FaultStruck](shadow, fact)

    # --- locks, of which nearly all are taken by who holds none -----------------------------------

    def lock_taken(self, kind: type[LockAsked | LockWaited]) -> Callable[[int, Any], None]:
        """Where nothing else is held there is nothing to look at; and the VMM's own lock is not the kernel's."""
        look, known, books = self.watch(kind), self.known, self.books

        def taken(now: int, fact: Any) -> None:
            lock = fact.lock
            if lock not in RANKS or (kind is LockAsked and fact.waits):
                return
            holding = (known.get(fact.vm) or books(fact.vm)).holding
            if fact.op in holding:
                look(now, fact)
            else:
                holding[fact.op] = [(lock, now)]

        return taken

    def lock_left(self) -> Callable[[int, Any], None]:
        """Where nothing else was held, and not for long, the same."""
        look, known, books = self.watch(LockLeft), self.known, self.books

        def left(now: int, fact: LockLeft) -> None:
            if fact.lock not in RANKS:
                return
            holding = (known.get(fact.vm) or books(fact.vm)).holding
            held = holding.get(fact.op, ())
            if len(held) == 1 and held[0][0] == fact.lock and now - held[0][1] <= T_HOLD_NS:
                del holding[fact.op]
            else:
                look(now, fact)

        return left

    # --- host frames, which are no VM's own -------------------------------------------------------

    def sept(self, now: int, fact: o.Sept) -> None:
        """I3: at which gfn of which secure EPT frames are. I20: the PAMT says the same of their owner."""
        shadow = self.books(fact.vm)
        shadow.now = now
        shadow.story.append((now, fact))
        if len(shadow.freed.starts) > 1 and (text := i4_new(shadow, fact)):
            self.found(["I4"], shadow, fact, text)
        KEEP[o.Sept](shadow, fact)
        if shadow.pamt:
            shadow.pamt.sept(fact)
        owners = self.owners_of(fact.vm)
        start, end = fact.pfn, fact.pfn + fact.end - fact.start
        free = fact.state == FREE
        value = 0 if free else place_of(fact.vm, fact.start - fact.pfn)
        if not owners.only(start, end, value):
            here = place_of(fact.vm, fact.start - fact.pfn)
            for first, last, other in owners.runs(start, end):
                if other in (0, here):  # who was there first stays in the books
                    owners.set(first, last, value)
                elif not free:
                    also = f"is in the secure EPT of {at(other, first)}, too"
                    self.found(["I3"], shadow, fact, f"{span(first, last, 'pfn')} {also}")
        due = 0 if free else fact.vm
        if fact.owner >= 0 and (fact.owner != due or len(shadow.strays.starts) > 1):
            self.owned(shadow, fact, due)

    def owned(self, shadow: Shadow, fact: o.Sept, due: int) -> None:
        """I20: whom the PAMT gives frames now, and whom it should; an owner without an entry is astray."""
        start, end = fact.pfn, fact.pfn + fact.end - fact.start
        if fact.owner != due:
            text = (
                f"the PAMT gives {span(start, end, 'pfn')} to {place(fact.owner)}, not {place(due)}"
            )
            self.found(["I20"], shadow, fact, text)
        strays = self.strays.setdefault(host_of(fact.vm), IntervalMap.filled(0))
        strays.set(start, end, 0 if due else fact.owner)
        shadow.strays.set(fact.start, fact.end, int(not due and fact.owner > 0))

    def owned_frame(self, now: int, fact: o.FrameOwned) -> None:
        """I3: the TDX module has kept a frame from being mapped again; what a dead TD left is AN11's."""
        shadow = self.books(fact.vm)
        shadow.now = now
        shadow.story.append((now, fact))
        held = self.owners_of(fact.vm).get(fact.pfn)
        if not held or not self.books(vm_at(held)).dead:
            text = f"AUG of gfn {fact.start:#x} met pfn {fact.pfn:#x}, which has an owner"
            self.found(["I3"], shadow, fact, text)

    def freed(self, now: int, fact: o.FramesFreed) -> None:
        """I4, I15 and I19: frames that go back to the allocator."""
        shadow = self.books(fact.vm)
        shadow.now = now
        shadow.story.append((now, fact))
        if text := i15_freed(shadow, fact):
            self.found(["I15"], shadow, fact, text)
        for start, end, held in self.owners_of(fact.vm).runs(fact.start, fact.end):
            if held:
                text = f"freed {span(start, end, 'pfn')} is still in a secure EPT"
                self.found(["I4"], shadow, fact, text)
                break
        self.freed_range(shadow, fact)
        shadow.freed.set(fact.gfn, fact.gfn + fact.end - fact.start, 1)

    def taken(self, now: int, fact: o.FramesTaken) -> None:
        """AN11: frames that the allocator hands out for a hole."""
        self.handed_out(now, fact, fact.vm)
        shadow = self.books(fact.vm)
        shadow.freed.set(fact.gfn, fact.gfn + fact.end - fact.start, 0)
        shadow.pool.had += fact.pages

    def reused(self, now: int, fact: o.FramesReused) -> None:
        """AN11: frames that the allocator hands out."""
        self.handed_out(now, fact, fact.host)

    def handed_out(self, now: int, fact: o.FramesTaken | o.FramesReused, address: int) -> None:
        """AN11: of this host; nobody has them in a secure EPT, nor has the PAMT an owner for them."""
        strays = self.strays.get(host_of(address))
        found = [
            (*run[:2], vm_at(run[2]), "in a secure EPT")
            for run in self.owners_of(address).runs(fact.start, fact.end)
        ]
        if strays:
            found += [(*run, "with an owner") for run in strays.runs(fact.start, fact.end)]
        for start, end, vm, still in found:
            if vm:
                shadow = self.books(vm)
                shadow.now = now
                shadow.story.append((now, fact))
                text = f"{span(start, end, 'pfn')} is in use again and still {still}"
                self.found(["AN11"], shadow, fact, text)
                break

    def owners_of(self, address: int) -> IntervalMap:
        """pfn -> the frame's place in a secure EPT, for the host of this address."""
        host = host_of(address)
        found = self.owners.get(host)
        if found is None:
            found = self.owners[host] = first_owners(self.plan, host)
        return found

    def pamt_of(self, address: int) -> PamtBooks:
        """Leaves of 4 KiB and what the dynamic PAMT says of them, for the host of this address."""
        host = host_of(address)
        found = self.pamts.get(host)
        if found is None:
            found = self.pamts[host] = PamtBooks(small_leaves(self.plan, host))
        return found

    def freed_range(self, shadow: Shadow, fact: o.FramesFreed) -> None:
        """A freed frame is mapped by nobody, and was not poisoned."""
        start, end = fact.gfn, fact.gfn + fact.end - fact.start
        # By frame the S-EPT was looked at before.
        inside = {name: table for name, table in shadow.inside.items() if name != "S-EPT"}
        inside["PAMT, with an owner"] = shadow.strays
        maps = {f"in the {name}": table for name, table in (inside | shadow.outside).items()}
        tables = {**maps, "pinned": shadow.pins}
        for name, table in tables.items():
            if not table.only(start, end, 0):
                self.found(["I4"], shadow, fact, f"freed memory is still {name}")
        if not shadow.poison.only(start, end, 0):
            self.found(["I19"], shadow, fact, "poisoned memory went back to the allocator")

    # --- what came of it ---------------------------------------------------------------------------

    def open(self) -> list[Finding]:
        """What is a breach unless it ends: conversions without an answer, locks that are held, faults that wait."""
        return sorted(
            [shadow.now, name, shadow.vm, op, text]
            for shadow in self.shadows.values()
            for name, op, text in still_open(shadow)
        )

    @property
    def findings(self) -> list[Finding]:
        """The first ones of each kind, in order of time."""
        return sorted(finding for found in self.first.values() for finding in found)

    def result(self) -> dict[str, Any]:
        """See cluster.world.Watcher."""
        still = self.open()
        numbers = Counter(name for _, name, *_ in still)
        first = [f for name in numbers for f in [f for f in still if f[1] == name][:FINDINGS_KEPT]]
        return {
            **self.so_far(),
            "findings": self.findings,
            "open": dict(numbers),
            "open_findings": [[*f, *self.unended(f)] for f in first],
            "slowest": self.slowest.result(),
        }

    def so_far(self) -> dict[str, Any]:
        """See cluster.world.Watcher. Counts alone: nobody reads stories before the end, and what is open may end."""
        return {
            "counts": dict(self.counts),
            "findings": [],
            "open": {},
            "guest_faults": sum(shadow.own_faults for shadow in self.shadows.values()),
            "open_findings": [],
            "slowest": [],
        }

    def unended(self, finding: Finding) -> tuple[list[str], list[Row]]:
        """The story of what never ends, and its timeline."""
        _, name, vm, op, text = finding
        shadow = self.shadows[vm]
        bare = story.bare(shadow, None, shadow.operations.get(op))
        return [*story.tell(shadow, bare), found_as(name, text)], rows_of(bare.facts)


def found_as(name: str, text: str) -> str:
    """The last line of a story."""
    return f"=> {TITLES[name]}: {text}"


def place(vm: int) -> str:
    """For people: h0/v3."""
    return name_of(vm).rpartition("/")[0] if vm else "nobody"


def at(held: int, pfn: int) -> str:
    """For people: h0/v3, and the gfn at which this frame is there."""
    gfn = (pfn + held) % (1 << PLACE_BITS)
    return f"{place(vm_at(held))} at gfn {gfn:#x}"
