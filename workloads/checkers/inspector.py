"""The watcher that keeps every VM's books and holds the checks against them; counts and first findings."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from actors import observations as o
from actors.address import host_of, name_of, vm_address, vm_base
from actors.intervals import IntervalMap
from actors.slots import slot_of
from actors.tdx_states import Entry
from workloads.checkers.registry import ANOMALIES, INVARIANTS, Check
from workloads.checkers.shadow import KEEP, Shadow
from workloads.plan import Plan
from workloads.vm_shape import (
    entry_at_start,
    folios_at_start,
    inode_pages,
    leaves_at_start,
    number_of,
    shapes,
    slots_of,
)

FINDINGS_KEPT = 5  # of each kind and host
Finding = list[Any]
"""[time in ns, id, VM's base address, op or -1, text]"""


class Inspector:
    """One partition's checks."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.shadows: dict[int, Shadow] = {}
        self.owners: dict[int, IntervalMap] = {}  # host -> pfn -> VM's base address
        self.counts: Counter[str] = Counter()
        self.kept: Counter[tuple[int, str]] = Counter()
        self.findings: list[Finding] = []
        self.checks: tuple[Check, ...] = INVARIANTS + ANOMALIES

    def watches(self) -> Mapping[type, Callable[[int, Any], None]]:
        """See cluster.world.Watcher."""
        kinds: set[type] = {*KEEP, o.ConvertEnd, o.FramesFreed}
        for check in self.checks:
            kinds |= {kind for kind, _ in (*check.on, *check.after)}
        special: dict[type, Callable[[int, Any], None]] = {
            o.ConvertEnd: self.convert_end,
            o.FramesFreed: self.freed,
            o.Sept: self.sept,
        }
        return {kind: special.get(kind) or self.watch(kind) for kind in kinds}

    def watch(self, kind: type) -> Callable[[int, Any], None]:
        """Checks before, the books, checks after: one function for this kind of fact."""
        before = [(c.id, test) for c in self.checks for k, test in c.on if k is kind]
        after = [(c.id, test) for c in self.checks for k, test in c.after if k is kind]
        keep = KEEP.get(kind)

        def look(now: int, fact: Any) -> None:
            shadow = self.shadow(fact)
            for name, test in before:
                text = test(shadow, fact)
                if text:
                    self.found(now, name, shadow, getattr(fact, "op", -1), text)
            if keep:
                keep(shadow, fact)
            for name, test in after:
                text = test(shadow, fact)
                if text:
                    self.found(now, name, shadow, getattr(fact, "op", -1), text)

        return look

    def shadow(self, fact: Any) -> Shadow:
        """The books of the VM that the fact is about."""
        vm = fact.vm if hasattr(fact, "vm") else vm_base(fact.gmem)
        found = self.shadows.get(vm)
        if found is None:
            found = self.shadows[vm] = new_shadow(self.plan, vm)
        return found

    def found(self, now: int, name: str, shadow: Shadow, op: int, text: str) -> None:
        """Count a finding; keep the first ones."""
        self.counts[name] += 1
        # By host, for only within one is the order of events the same on every executor.
        here = (host_of(shadow.vm), name)
        self.kept[here] += 1
        if self.kept[here] <= FINDINGS_KEPT:
            self.findings.append([now, name, shadow.vm, op, text])

    def convert_end(self, now: int, fact: o.ConvertEnd) -> None:
        """Everything that must hold when a conversion is over."""
        shadow = self.shadow(fact)
        operation = shadow.operations.pop(fact.op)
        if fact.redundant:
            return
        for check in self.checks:
            if check.at_end:
                text = check.at_end(shadow, fact, operation)
                if text:
                    self.found(now, check.id, shadow, fact.op, text)

    def sept(self, now: int, fact: o.Sept) -> None:
        """I3: who owns the frames behind secure EPT entries."""
        shadow = self.shadow(fact)
        KEEP[o.Sept](shadow, fact)
        owners = self.owners_of(fact.vm)
        last = fact.pfn + fact.end - fact.start
        others = [run for run in owners.runs(fact.pfn, last) if run[2] not in (0, fact.vm)]
        if fact.state == Entry.FREE:
            owners.set(fact.pfn, last, 0)
            return
        owners.set(fact.pfn, last, fact.vm)
        if others:
            start, end, owner = others[0]
            text = f"pfn {start:#x}..{end:#x} is in the secure EPT of {place(owner)} as well"
            self.found(now, "I3", shadow, -1, text)

    def freed(self, now: int, fact: o.FramesFreed) -> None:
        """I4, I19 and AN11: frames that go back to the allocator."""
        shadow = self.shadow(fact)
        owned = [run for run in self.owners_of(fact.vm).runs(fact.start, fact.end) if run[2]]
        if owned:
            text = f"freed pfn {owned[0][0]:#x}..{owned[0][1]:#x} is still in a secure EPT"
            self.found(now, "I4", shadow, -1, text)
            self.found(now, "AN11", shadow, -1, text)
        self.freed_range(now, shadow, fact.gfn, fact.gfn + fact.end - fact.start)

    def owners_of(self, vm: int) -> IntervalMap:
        """pfn -> VM that has the frame in its secure EPT, for the VM's host."""
        host = host_of(vm)
        found = self.owners.get(host)
        if found is None:
            found = self.owners[host] = first_owners(self.plan, host)
        return found

    def freed_range(self, now: int, shadow: Shadow, start: int, end: int) -> None:
        """A freed frame is mapped by nobody, and was not poisoned."""
        tables = {"host page table": shadow.pte, "shared EPT": shadow.shared, "IOMMU": shadow.dma}
        for name, table in tables.items():
            if not table.only(start, end, 0):
                self.found(now, "I4", shadow, -1, f"freed memory is still in the {name}")
        if not shadow.poison.only(start, end, 0):
            self.found(now, "I19", shadow, -1, "poisoned memory went back to the allocator")

    def unanswered(self) -> int:
        """L1: conversions that hold a lock and were never answered."""
        return sum(len(shadow.operations) for shadow in self.shadows.values())

    def result(self) -> dict[str, Any]:
        """See cluster.world.Watcher."""
        return {
            "counts": dict(self.counts),
            "findings": sorted(self.findings),
            "unanswered": self.unanswered(),
        }


def place(vm: int) -> str:
    """For people: h0/v3."""
    return name_of(vm).rpartition("/")[0]


def first_owners(plan: Plan, host: int) -> IntervalMap:
    """pfn -> VM, at time 0."""
    owners = IntervalMap.filled(0)
    for number, shape in enumerate(shapes(plan, host)):
        for start, end, _ in leaves_at_start(plan, shape.slots):
            slot = slot_of(shape.slots, start)
            pfn = shape.frames[slot.gmem] + slot.index + start - slot.gfn
            owners.set(pfn, pfn + end - start, vm_address(host, number))
    return owners


def new_shadow(plan: Plan, vm: int) -> Shadow:
    """The books of a VM at time 0."""
    slots = slots_of(plan, number_of(plan, vm))
    sept, leaves, order = (IntervalMap.filled(value) for value in (Entry.FREE, 0, -1))
    for start, end, level in leaves_at_start(plan, slots):
        sept.set(start, end, entry_at_start(plan))
        leaves.set(start, end, level)
    pages = inode_pages(slots)
    for slot in slots:
        for first, last, size in folios_at_start(plan, pages[slot.gmem]):
            start, end = max(first, slot.index), min(last, slot.index + slot.pages)
            if start < end:
                shift = slot.gfn - slot.index
                order.set(start + shift, end + shift, size)
    return Shadow(vm, sept, leaves, order)
