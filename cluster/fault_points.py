"""The places where a failure can be injected, the classes of failure, and the words that scenarios use for them."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from actors.contract import Reason

# docs/domain.md section 3: F1 to F6.
CLASSES: dict[str, Reason] = {
    "no-memory": Reason.NO_MEMORY,
    "references": Reason.REFERENCES,
    "busy": Reason.BUSY,
    "interrupted": Reason.INTERRUPTED,
    "timeout": Reason.TIMEOUT,
    "bug": Reason.BUG,
}
WORDS: dict[Reason, str] = {reason: word for word, reason in CLASSES.items()}


class Phase(NamedTuple):
    """When a point is met, and what a failure does there whatever its class."""

    when: str
    then: str


# Where a point lies in a conversion, or beside it. IP1 to IP3 are those of docs/domain.md section 4.C.
PHASES = {
    "list": Phase(
        "guest_memfd lists the ranges to convert (B, B1)",
        "by B.swallow_enomem the list ends there and the call goes on; without it the call fails",
    ),
    "reserve": Phase(
        "guest_memfd sets aside what it will need itself, before anybody is asked (IP1)",
        "the call fails with the class's error, and nothing was begun",
    ),
    "prepare": Phase(
        "a consumer is asked whether it could let go (IP2), or to let go if it can (A, B)",
        "the consumer says no with the class; KVM first tries a busy SEAMCALL again",
    ),
    "commit": Phase(
        "a consumer lets go and must not fail, after the decision (IP3)",
        "what is still mapped is marked as the protocol does, and the VM dies; KVM first tries a busy SEAMCALL again",
    ),
    "mark": Phase(
        "guest_memfd wants memory for the mark on a page that could not be unmapped (protocol.mark d, f, g)",
        "the mark names the whole folio (f, g), or there is none (d)",
    ),
    "store": Phase(
        "guest_memfd stores the new attribute, where nothing was set aside (A, B, B1)",
        "the call fails with the class's error, and what was unmapped stays so or is mapped again",
    ),
    "restructure": Phase(
        "guest_memfd waits for references and splits or merges folios (A, B, B1, B2H)",
        "the call fails with the class's error; a reference only makes it wait",
    ),
    "undo": Phase(
        "what was done before a failure is taken back (A, B, B1)",
        "it is logged, and what it was about stays as it is",
    ),
    "map": Phase(
        "the VMM maps for its devices what the call has made shared",
        "the request fails with the class's error; the memory is shared, and the devices do not see it",
    ),
    "mapgpa": Phase(
        "KVM has converted one piece of a MapGPA, and the next one is due",
        "the guest is told to go on at the next piece; a bug ends the VM",
    ),
    "notifier": Phase(
        "somebody else than guest_memfd invalidates a range of the VMM's mm (A)",
        "the caller gets the error, whether it can bear one or not",
    ),
    "release": Phase(
        "a guest with trusted IO lets go of what it has pinned, before it asks for a conversion (vm.td_pinned)",
        "the page stays pinned until the guest tries again: who asks first refuses it, who unmaps at once cannot",
    ),
    "teardown": Phase(
        "a file is closed and KVM takes out what it maps, when the VM is gone",
        "what fails stays mapped until the TD is reclaimed, and is marked as the protocol does; the rest goes on",
    ),
    "life": Phase(
        "the VMM carries out a conversion: each microsecond from its turn to its answer, in slices of 100 us",
        "SIGKILL: the kernel ends what it has begun, then the mm goes (N8), the files and the VM, whatever the class",
    ),
    "move": Phase(
        "a VM moves to another host: the target is asked to take it, or its memory crosses the link (moves.kind)",
        "it goes on at its source, whatever the class",
    ),
    "race": Phase(
        "KVM has looked up what a vCPU's fault wants, and has yet to take mmu_lock to install it",
        "the vCPU's thread is out for as long as vcpu_preempted, whatever the class; what it knew may be old by then",
    ),
    "fault": Phase(
        "KVM installs private memory that a vCPU has touched, or guest_memfd fills a hole",
        "the vCPU faults again, a thousand times at most, and a bug ends the VM; a hole that is not filled is an error",
    ),
}


class FaultPoint(msgspec.Struct, frozen=True):
    """A place where a failure can be injected; `reason` is its own class, for want of another in the rule.

    `classes` are those that a kernel can meet there, its own first; `registry` are ids of docs/domain.md section 12.
    """

    name: str
    phases: tuple[str, ...]
    classes: tuple[Reason, ...]
    registry: tuple[str, ...]
    meaning: str

    @property
    def reason(self) -> Reason:
        """The class of a failure here unless a rule says otherwise; a point without one ends the VM."""
        return self.classes[0] if self.classes else Reason.DEAD


def points(rows: Iterable[tuple[str, str, str, str, str]]) -> dict[str, FaultPoint]:
    """By name, from rows whose lists are words: classes are F1 to F6, the point's own first."""
    found = {}
    for name, phases, classes, registry, meaning in rows:
        reasons = tuple(Reason(int(word.removeprefix("F"))) for word in classes.split())
        found[name] = FaultPoint(
            name, tuple(phases.split()), reasons, tuple(registry.split()), meaning
        )
    return found


# fmt: off
FAULT_POINTS = points((
    # name, phases, classes, registry, meaning
    ("alloc.pages", "reserve prepare undo fault", "F1", "FI-tree FI-splitmem", "the page allocator refuses a request"),
    ("gmem.tree", "reserve store", "F1", "FI-tree", "no tree nodes for the attribute store"),
    ("gmem.work", "list", "F1", "FI-work", "no memory for the list of ranges to convert (B, B1)"),
    ("gmem.vmemmap", "reserve restructure", "F1", "FI-vmemmap", "no vmemmap to split a huge folio"),
    ("gmem.stash", "reserve restructure", "F1", "FI-stash", "no record for a huge folio's metadata"),
    ("gmem.mark", "mark", "F1", "FI-bug FI-vmemmap", "no memory for the mark of a bug (protocol.mark d, f, g)"),
    ("gmem.readd", "restructure", "F1", "FI-readd FI-xa", "a folio cannot be added after a split or merge"),
    ("gmem.undo_readd", "undo", "F1", "FI-readd", "nor can it be added as it was before (B, B1: AN5)"),
    ("gmem.undo_tree", "undo", "F1", "FI-tree", "no tree nodes to store the old attribute again (B, B1: AN4)"),
    ("gmem.undo_restructure", "undo", "F1", "FI-xa", "a folio cannot be merged or split back (B, B1: AN6, AN7)"),
    ("guest.release", "release", "F2", "FI-refs", "the guest leaves a page out that it should have released"),
    ("iommu.map", "map undo", "F1", "FI-vfio", "the VMM cannot map a range that became shared for its devices"),
    ("iommu.outlier", "prepare commit", "F5", "FI-iotlb", "an invalidation is held up for as long as iotlb_outlier"),
    ("iommu.slots", "prepare", "F1 F5", "", "the IOMMU driver finds no room to unmap in PREPARE"),
    ("iommu.timeout", "prepare commit", "F5 F6", "FI-iotlb", "an IOTLB invalidation does not complete (AN28)"),
    ("kvm.file_split", "prepare", "F1 F3 F4", "FI-splitmem", "another file's KVM cannot split (vm.files_per_inode)"),
    ("kvm.interrupt", "mapgpa", "F4", "", "an interrupt is pending between two pieces of a MapGPA"),
    ("kvm.notifier", "notifier", "F1 F3", "", "KVM's callback fails, where its caller allows that at all (AN13, AN14)"),
    ("kvm.preempted", "race", "F4", "", "a vCPU's thread is preempted in a fault, for as long as vcpu_preempted"),
    ("kvm.split_memory", "prepare", "F1", "FI-splitmem", "no page-table or mirror page to split a boundary leaf"),
    ("move.refused", "move", "F1", "", "the host to which a VM is to move has no memory for it"),
    ("move.transfer", "move", "F5", "", "the link fails while a block of 2 MiB crosses it"),
    ("pins.long", "prepare", "F2", "FI-refs", "a long-lived pin is taken on a page just before PREPARE"),
    ("pins.lru", "prepare", "F2", "FI-refs", "an LRU batch has a reference on a page; a drain ends it"),
    ("pins.private", "prepare restructure", "F2", "FI-refs", "somebody astray holds a reference on a private page"),
    ("pins.transient", "prepare restructure", "F2", "FI-refs", "GUP-fast has a reference on a page, for transient_ref"),
    ("tdx.accept_storm", "prepare commit", "F3", "FI-busy", "by rate: RANGE.BLOCK beside an ACCEPT while vCPUs tick"),
    ("tdx.accepting", "prepare commit", "F3", "FI-busy", "by rate: RANGE.BLOCK while a vCPU faults or accepts"),
    ("tdx.aug_busy", "fault undo", "F3 F6", "", "PAGE.AUG finds a lock held; the fault is taken again"),
    ("tdx.background", "prepare commit fault undo", "F3", "FI-busy", "a SEAMCALL meets a lock from outside the model"),
    ("tdx.bug", "commit", "F6", "FI-bug", "PAGE.REMOVE fails in COMMIT for a bug: the poison callback"),
    ("tdx.busy", "prepare commit", "F3 F6", "FI-busy FI-bug", "RANGE.BLOCK finds a lock held"),
    ("tdx.demote_busy", "prepare", "F3 F1 F6", "FI-busy FI-splitmem FI-bug", "PAGE.DEMOTE finds a lock held"),
    ("tdx.interrupted", "prepare", "F4", "FI-intr", "PAGE.DEMOTE is interrupted (modules before 1.5.28)"),
    ("tdx.remove_busy", "commit", "F3 F6", "FI-busy FI-bug", "PAGE.REMOVE finds a lock held"),
    ("tdx.sept_add_busy", "fault", "F3 F6", "", "SEPT.ADD of a missing page table finds a lock held (vm.sept_add)"),
    ("tdx.teardown", "teardown", "F6", "FI-bug", "a closed file's page cannot be removed or reclaimed (AN10, AN11)"),
    ("tdx.track_busy", "prepare commit", "F3 F6", "FI-busy FI-bug", "MEM.TRACK finds the epoch lock held"),
    ("tdx.wbinvd_busy", "commit", "F3 F6", "FI-busy FI-bug", "PHYMEM.PAGE.WBINVD of a removed page finds a lock held"),
    ("vmm.kill", "life", "", "FI-kill", "the VMM is killed in the middle of a conversion"),
))
# fmt: on
