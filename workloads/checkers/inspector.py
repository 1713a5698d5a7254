"""The watcher that keeps every VM's books and holds the checks against them; counts and first findings."""

from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from actors import observations as o
from actors.address import host_of, name_of, vm_base
from actors.contract import Reason
from actors.intervals import IntervalMap
from actors.tdx_states import Entry
from workloads.checkers import story
from workloads.checkers.admitted import admits
from workloads.checkers.operation import Operation
from workloads.checkers.pamt import PamtBooks
from workloads.checkers.progress import still_open
from workloads.checkers.registry import ANOMALIES, INVARIANTS, Check
from workloads.checkers.restored import prefix
from workloads.checkers.shadow import KEEP, Shadow
from workloads.checkers.start import first_owners, new_shadow, small_leaves
from workloads.outcome.settings import of_scenario
from workloads.plan import Plan

FINDINGS_KEPT = 5  # of each kind: the first ones
Finding = list[Any]
"""[time in ns, id, VM's base address, op or -1, text, story]"""


Test = Callable[..., str | None]
Tests = list[tuple[Test, list[str]]]
"""Each test with the ids of the checks that share it."""


def by_test(pairs: Iterable[tuple[Test | None, str]]) -> Tests:
    """Checks with the same test have it run once."""
    found: dict[Test, list[str]] = {}
    for test, name in pairs:
        if test:
            found.setdefault(test, []).append(name)
    return list(found.items())


class Inspector:
    """One partition's checks."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.shadows: dict[int, Shadow] = {}  # by the VM's base address
        self.known: dict[int, Shadow] = {}  # by any address of the VM's that a fact has named
        self.owners: dict[int, IntervalMap] = {}  # host -> pfn -> VM's base address
        self.pamts: dict[int, PamtBooks] = {}  # by host, where the PAMT is dynamic
        scenario = plan.scenario
        self.window = admits("AN20", scenario.protocol.name, of_scenario(scenario))
        self.counts: Counter[str] = Counter()
        self.first: dict[str, list[Finding]] = {}  # id -> in order of time
        self.checks: tuple[Check, ...] = INVARIANTS + ANOMALIES
        self.at_end = by_test((check.at_end, check.id) for check in self.checks)
        self.refused = by_test((check.refused, check.id) for check in self.checks)

    def watches(self) -> Mapping[type, Callable[[int, Any], None]]:
        """See cluster.world.Watcher."""
        special: dict[type, Callable[[int, Any], None]] = {
            o.ConvertEnd: self.convert_end,
            o.FramesFreed: self.freed,
            o.FramesReused: self.reused,
            o.Sept: self.sept,
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
        known, own = self.known, "vm" in kind.__struct_fields__  # type: ignore[attr-defined]

        def look(now: int, fact: Any) -> None:
            address = fact.vm if own else fact.gmem
            shadow = known.get(address) or self.books(address)
            shadow.now = now
            if told and (worth is None or worth(fact)):
                shadow.story.append((now, fact))
            for test, names in before:
                text = test(shadow, fact)
                if text:
                    self.found(names, shadow, fact, text)
            if keep:
                keep(shadow, fact)
            for test, names in after:
                text = test(shadow, fact)
                if text:
                    self.found(names, shadow, fact, text)

        return look

    def books(self, address: int) -> Shadow:
        """The books of the VM that has this address."""
        found = self.known.get(address)
        if found is None:
            vm = vm_base(address)
            if vm not in self.shadows:
                self.shadows[vm] = new_shadow(self.plan, vm)
                self.shadows[vm].window = self.window
                if self.plan.scenario.fleet.pamt == "dynamic":
                    self.shadows[vm].pamt = self.pamt_of(vm)
            found = self.known[address] = self.shadows[vm]
        return found

    def found(self, names: Iterable[str], shadow: Shadow, fact: Any, text: str) -> None:
        """Count a finding of these checks; the first ones are kept, with their stories."""
        for name in names:
            self.counts[name] += 1
            first = self.first.setdefault(name, [])
            here = [shadow.now, name, shadow.vm, getattr(fact, "op", -1), text]
            # By time: hosts of a partition run one after the other.
            if len(first) < FINDINGS_KEPT or here < first[-1]:
                insort(first, [*here, how(shadow, fact)])
                del first[FINDINGS_KEPT:]

    def convert_end(self, now: int, fact: o.ConvertEnd) -> None:
        """Everything that must hold when a conversion is over."""
        shadow = self.books(fact.gmem)
        shadow.now = now
        shadow.story.append((now, fact))
        operation = shadow.operations.pop(fact.op)
        shadow.last = (now, operation)
        if fact.reason is not Reason.NONE:
            operation.prefix = prefix(shadow, fact, operation)
        operation.differences = {}
        if not fact.redundant:
            self.hold(self.at_end, shadow, fact, operation)
        if fact.reason is not Reason.NONE:
            self.hold(self.refused, shadow, fact, operation)
            shadow.refused = (operation, list(shadow.story))
        shadow.devices.ended(fact, operation)

    def hold(self, tests: Tests, shadow: Shadow, fact: o.ConvertEnd, operation: Operation) -> None:
        """Tests against a conversion that is over."""
        for test, names in tests:
            text = test(shadow, fact, operation)
            if text:
                self.found(names, shadow, fact, text)

    # --- host frames, which are no VM's own -------------------------------------------------------

    def sept(self, now: int, fact: o.Sept) -> None:
        """I3: who owns the frames behind secure EPT entries."""
        shadow = self.books(fact.vm)
        shadow.now = now
        shadow.story.append((now, fact))
        KEEP[o.Sept](shadow, fact)
        if shadow.pamt:
            shadow.pamt.sept(fact)
        owners = self.owners_of(fact.vm)
        last = fact.pfn + fact.end - fact.start
        if fact.state == Entry.FREE:
            owners.set(fact.pfn, last, 0)
            return
        if owners.only(fact.pfn, last, fact.vm):
            return
        others = [run for run in owners.runs(fact.pfn, last) if run[2] not in (0, fact.vm)]
        owners.set(fact.pfn, last, fact.vm)
        if others:
            start, end, owner = others[0]
            text = f"pfn {start:#x}..{end:#x} is in the secure EPT of {place(owner)} as well"
            self.found(["I3"], shadow, fact, text)

    def freed(self, now: int, fact: o.FramesFreed) -> None:
        """I4 and I19: frames that go back to the allocator."""
        shadow = self.books(fact.vm)
        shadow.now = now
        shadow.story.append((now, fact))
        for start, end, owner in self.owners_of(fact.vm).runs(fact.start, fact.end):
            if owner:
                text = f"freed pfn {start:#x}..{end:#x} is still in a secure EPT"
                self.found(["I4"], shadow, fact, text)
                break
        self.freed_range(shadow, fact)

    def reused(self, now: int, fact: o.FramesReused) -> None:
        """AN11: frames that the allocator hands out."""
        for start, end, owner in self.owners_of(fact.host).runs(fact.start, fact.end):
            if owner:
                shadow = self.books(owner)
                shadow.now = now
                shadow.story.append((now, fact))
                text = f"pfn {start:#x}..{end:#x} is in use again and still in a secure EPT"
                self.found(["AN11"], shadow, fact, text)
                break

    def owners_of(self, address: int) -> IntervalMap:
        """pfn -> VM that has the frame in its secure EPT, for the host of this address."""
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
        outside = {f"in the {name}": table for name, table in shadow.outside.items()}
        tables = {**outside, "pinned": shadow.pins}
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
            "counts": dict(self.counts),
            "findings": self.findings,
            "open": dict(numbers),
            "guest_faults": sum(shadow.own_faults for shadow in self.shadows.values()),
            "open_findings": [[*f, how(self.shadows[f[2]], None)] for f in first],
        }


def how(shadow: Shadow, fact: Any) -> list[str]:
    """The story of what is found with this fact: of the conversion in hand, or of one that was refused before."""
    operation = next(iter(shadow.operations.values()), shadow.last[1] if shadow.last else None)
    if isinstance(fact, o.GuestAccess) and shadow.refused:
        before, told = shadow.refused
        if before is not operation and before.covers(fact.start, fact.end):
            return story.lines([*told, (shadow.now, fact)], before)
    return story.lines(shadow.story, operation)


def place(vm: int) -> str:
    """For people: h0/v3."""
    return name_of(vm).rpartition("/")[0]
