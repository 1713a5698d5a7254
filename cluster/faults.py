"""The fault plan: where, how often and to whom injected failures happen, drawn by the name of the opportunity."""

import math
from collections import defaultdict
from collections.abc import Iterable

import msgspec

from actors.address import host_of, vm_of
from actors.contract import VM_KEY_SHIFT, Fault, Reason
from cluster.draws import key_of, uniform


class FaultPoint(msgspec.Struct, frozen=True):
    """A place where a failure can be injected."""

    name: str
    reason: Reason
    meaning: str


_POINTS = [
    ("alloc.pages", Reason.NO_MEMORY, "the host page allocator refuses a reservation"),
    ("gmem.tree", Reason.NO_MEMORY, "no tree nodes for the attribute store"),
    ("gmem.work", Reason.NO_MEMORY, "no memory for the list of ranges to convert (B, B1)"),
    ("gmem.vmemmap", Reason.NO_MEMORY, "no vmemmap to split a huge folio"),
    ("gmem.stash", Reason.NO_MEMORY, "no record for a huge folio's metadata"),
    (
        "gmem.readd",
        Reason.NO_MEMORY,
        "a folio cannot be added to the filemap after a split or merge",
    ),
    ("gmem.undo_readd", Reason.NO_MEMORY, "nor can it be added as it was before (B, B1: AN5)"),
    (
        "gmem.undo_tree",
        Reason.NO_MEMORY,
        "no tree nodes to store the old attribute again (B, B1: AN4)",
    ),
    (
        "gmem.undo_restructure",
        Reason.NO_MEMORY,
        "an undo cannot merge or split a folio back (B, B1: AN6, AN7)",
    ),
    (
        "iommu.map",
        Reason.NO_MEMORY,
        "the VMM cannot map a range that became shared for its devices",
    ),
    ("iommu.slots", Reason.NO_MEMORY, "the IOMMU driver finds no room to unmap in PREPARE"),
    (
        "iommu.timeout",
        Reason.TIMEOUT,
        "the IOTLB invalidation of a COMMIT does not complete (AN28)",
    ),
    ("kvm.interrupt", Reason.INTERRUPTED, "an interrupt is pending between two pieces of a MapGPA"),
    (
        "kvm.notifier",
        Reason.NO_MEMORY,
        "KVM's callback fails to invalidate, where its caller allows that at all (AN13, AN14)",
    ),
    ("kvm.split_memory", Reason.NO_MEMORY, "no page-table or mirror page to split a boundary leaf"),
    ("pins.long", Reason.REFERENCES, "a long-lived pin is taken on a page just before PREPARE"),
    ("pins.private", Reason.REFERENCES, "somebody astray holds a reference on a private page"),
    ("pins.transient", Reason.REFERENCES, "a short-lived reference is on a page at PREPARE"),
    ("tdx.aug_busy", Reason.BUSY, "PAGE.AUG finds a lock held; the fault is taken again"),
    ("tdx.bug", Reason.BUG, "PAGE.REMOVE fails in COMMIT for a bug: the poison callback"),
    ("tdx.busy", Reason.BUSY, "RANGE.BLOCK finds a lock held"),
    ("tdx.demote_busy", Reason.BUSY, "PAGE.DEMOTE finds a lock held"),
    ("tdx.interrupted", Reason.INTERRUPTED, "PAGE.DEMOTE is interrupted (modules before 1.5.28)"),
    ("tdx.remove_busy", Reason.BUSY, "PAGE.REMOVE finds a lock held"),
    ("tdx.track_busy", Reason.BUSY, "MEM.TRACK finds the epoch lock held"),
]
FAULT_POINTS = {name: FaultPoint(name, reason, meaning) for name, reason, meaning in _POINTS}


class FaultRule(msgspec.Struct, frozen=True, array_like=True):
    """One entry of the plan. Times are simulated ns, `until` 0 is the end; empty hosts and vms mean all."""

    point: str
    probability: float
    start: int = 0
    until: int = 0
    hosts: tuple[int, ...] = ()
    vms: tuple[int, ...] = ()

    def covers(self, now: int, vm: int) -> bool:
        """Is the rule in force now, for the VM with this base address?"""
        return (
            self.start <= now
            and (not self.until or now < self.until)
            and (not self.hosts or host_of(vm) in self.hosts)
            and (not self.vms or vm_of(vm) in self.vms)
        )


class FaultPlan:
    """Decides `choose`: the same seed and opportunity always meet the same fate."""

    def __init__(self, seed: int, rules: Iterable[FaultRule]) -> None:
        self._rules: dict[str, list[tuple[bytes, FaultRule]]] = defaultdict(list)
        for rule in rules:
            number = len(self._rules[rule.point])
            key = key_of(seed, "fault", rule.point, number)
            self._rules[rule.point].append((key, rule))
        self._rules = dict(self._rules)

    def choose(self, point: str, count: int, key: int, now: int) -> Fault | None:
        """The first of `count` opportunities that fails, by one geometric draw for each rule in force."""
        rules = self._rules.get(point)
        if rules is None:
            return None
        struck = None
        for secret, rule in rules:
            if rule.probability and rule.covers(now, key >> VM_KEY_SHIFT):
                first = first_failure(uniform(secret, key), rule.probability)
                if first < count and (struck is None or first < struck):
                    struck = first
        return None if struck is None else Fault(FAULT_POINTS[point].reason, struck)


def first_failure(draw: float, probability: float) -> int:
    """Index of the first failure in endless independent tries (geometric), from one uniform draw."""
    if probability >= 1:
        return 0
    return int(math.log1p(-draw) / math.log1p(-probability))
