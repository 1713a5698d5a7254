"""The watcher that keeps every VM's books and holds the checks against them; counts and first findings."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from actors import observations as o
from actors.address import host_of, name_of, vm_base
from actors.contract import Reason
from actors.intervals import IntervalMap
from actors.tdx_states import Entry
from workloads.checkers.progress import still_open
from workloads.checkers.registry import ANOMALIES, INVARIANTS, Check
from workloads.checkers.restored import prefix
from workloads.checkers.shadow import KEEP, Shadow
from workloads.checkers.start import first_owners, new_shadow
from workloads.plan import Plan

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
        self.at_end = [(check.id, check.at_end) for check in self.checks if check.at_end]

    def watches(self) -> Mapping[type, Callable[[int, Any], None]]:
        """See cluster.world.Watcher."""
        special: dict[type, Callable[[int, Any], None]] = {
            o.ConvertEnd: self.convert_end,
            o.FramesFreed: self.freed,
            o.FramesReused: self.reused,
            o.Sept: self.sept,
        }
        kinds: set[type] = {*KEEP, *special}
        for check in self.checks:
            kinds |= {kind for kind, _ in (*check.on, *check.after)}
        return {kind: special.get(kind) or self.watch(kind) for kind in kinds}

    def watch(self, kind: type) -> Callable[[int, Any], None]:
        """Checks before, the books, checks after: one function for this kind of fact."""
        before = [(c.id, test) for c in self.checks for k, test in c.on if k is kind]
        after = [(c.id, test) for c in self.checks for k, test in c.after if k is kind]
        keep = KEEP.get(kind)

        def look(now: int, fact: Any) -> None:
            shadow = self.shadow(fact)
            shadow.now = now
            for name, test in before:
                text = test(shadow, fact)
                if text:
                    self.found(name, shadow, getattr(fact, "op", -1), text)
            if keep:
                keep(shadow, fact)
            for name, test in after:
                text = test(shadow, fact)
                if text:
                    self.found(name, shadow, getattr(fact, "op", -1), text)

        return look

    def shadow(self, fact: Any) -> Shadow:
        """The books of the VM that the fact is about."""
        return self.books(fact.vm if hasattr(fact, "vm") else vm_base(fact.gmem))

    def books(self, vm: int) -> Shadow:
        """The books of the VM with this base address."""
        found = self.shadows.get(vm)
        if found is None:
            found = self.shadows[vm] = new_shadow(self.plan, vm)
        return found

    def found(self, name: str, shadow: Shadow, op: int, text: str) -> None:
        """Count a finding; keep the first ones."""
        self.counts[name] += 1
        # By host, for only within one is the order of events the same on every executor.
        here = (host_of(shadow.vm), name)
        self.kept[here] += 1
        if self.kept[here] <= FINDINGS_KEPT:
            self.findings.append([shadow.now, name, shadow.vm, op, text])

    def convert_end(self, now: int, fact: o.ConvertEnd) -> None:
        """Everything that must hold when a conversion is over."""
        shadow = self.shadow(fact)
        shadow.now = now
        operation = shadow.operations.pop(fact.op)
        shadow.last = (now, operation)
        if fact.reason is not Reason.NONE:
            operation.prefix = prefix(shadow, fact, operation)
        for name, test in self.at_end if not fact.redundant else ():
            text = test(shadow, fact, operation)
            if text:
                self.found(name, shadow, fact.op, text)
        shadow.devices.ended(fact, operation)

    # --- host frames, which are no VM's own -------------------------------------------------------

    def sept(self, now: int, fact: o.Sept) -> None:
        """I3: who owns the frames behind secure EPT entries."""
        shadow = self.shadow(fact)
        shadow.now = now
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
            self.found("I3", shadow, -1, text)

    def freed(self, now: int, fact: o.FramesFreed) -> None:
        """I4 and I19: frames that go back to the allocator."""
        shadow = self.shadow(fact)
        shadow.now = now
        for start, end, owner in self.owners_of(fact.vm).runs(fact.start, fact.end):
            if owner:
                text = f"freed pfn {start:#x}..{end:#x} is still in a secure EPT"
                self.found("I4", shadow, -1, text)
                break
        self.freed_range(shadow, fact.gfn, fact.gfn + fact.end - fact.start)

    def reused(self, now: int, fact: o.FramesReused) -> None:
        """AN11: frames that the allocator hands out."""
        for start, end, owner in self.owners_of(fact.host).runs(fact.start, fact.end):
            if owner:
                shadow = self.books(owner)
                shadow.now = now
                text = f"pfn {start:#x}..{end:#x} is in use again and still in a secure EPT"
                self.found("AN11", shadow, -1, text)
                break

    def owners_of(self, address: int) -> IntervalMap:
        """pfn -> VM that has the frame in its secure EPT, for the host of this address."""
        host = host_of(address)
        found = self.owners.get(host)
        if found is None:
            found = self.owners[host] = first_owners(self.plan, host)
        return found

    def freed_range(self, shadow: Shadow, start: int, end: int) -> None:
        """A freed frame is mapped by nobody, and was not poisoned."""
        outside = {f"in the {name}": table for name, table in shadow.outside().items()}
        tables = {**outside, "pinned": shadow.pins}
        for name, table in tables.items():
            if not table.only(start, end, 0):
                self.found("I4", shadow, -1, f"freed memory is still {name}")
        if not shadow.poison.only(start, end, 0):
            self.found("I19", shadow, -1, "poisoned memory went back to the allocator")

    # --- what came of it ---------------------------------------------------------------------------

    def open(self) -> list[Finding]:
        """What is a breach unless it ends: conversions without an answer, locks that are held, faults that wait."""
        return sorted(
            [shadow.now, name, shadow.vm, op, text]
            for shadow in self.shadows.values()
            for name, op, text in still_open(shadow)
        )

    def result(self) -> dict[str, Any]:
        """See cluster.world.Watcher."""
        still = self.open()
        return {
            "counts": dict(self.counts),
            "findings": sorted(self.findings),
            "open": dict(Counter(name for _, name, *_ in still)),
            "open_findings": first_of_each(still),
        }


def first_of_each(findings: list[Finding]) -> list[Finding]:
    """As many of each kind and host as are kept."""
    kept: Counter[tuple[int, str]] = Counter()
    found = []
    for finding in findings:
        here = (host_of(finding[2]), finding[1])
        kept[here] += 1
        if kept[here] <= FINDINGS_KEPT:
            found.append(finding)
    return found


def place(vm: int) -> str:
    """For people: h0/v3."""
    return name_of(vm).rpartition("/")[0]
