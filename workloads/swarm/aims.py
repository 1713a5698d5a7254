"""What chance alone seldom comes to, and the keys that lead there: every other seed aims at one of these."""

from typing import NamedTuple

from actors.protocols.marks import MARKS
from workloads.swarm.space import MOVING, Way, Ways, one_of, some

UNDOING = ("undo", "undo-split-first")
HUGE = ("failable-notifier", *UNDOING, "in-place-huge")
TWO_PHASE = ("two-phase", "two-phase-refcount", "two-phase-untraced")
WITH_MEMORY = tuple(name for name, mark in MARKS.items() if mark.takes)
# Firmware of 2 MiB pages: boundary leaves are split, folios as well.
LEAVES: Ways = {
    "vm.page_order": one_of(9),
    "vm.start": one_of("mapped-2m"),
    "vm.accept_level": one_of("2m"),
    "vm.memory": one_of("8MiB", "16MiB"),
    "vm.td_pinned": one_of(None),
    "fleet.reuse": one_of("others", "nobody"),
}
SMALL: Ways = {"vm.start": one_of("mapped-4k", "unaccepted"), "vm.accept_level": one_of("4k")}
# Ranges of both sides that are converted as one: work lists, and huge pages one after the other.
LONG = {"size_mean": one_of("1MiB", "4MiB"), "size_max": one_of("8MiB")}


class Aim(NamedTuple):
    """`points` strike in it, often; `keys` are of the sections; the first workload has this `kind` and `load`."""

    points: Way = one_of(())
    keys: Ways = {}
    kind: Way = one_of("churn")
    load: Ways = {}


OFTEN: Ways = {
    "probability": one_of(0.03, 0.3, 1.0, 1.0),
    "nth": some([1], [2], [1, 3]),
    "lasts": some("50us", "1ms"),
}
"""Keys of a fault that is aimed at, over those of any."""

AIMS: tuple[Aim, ...] = (
    Aim(  # the way back of B and B1, and what fails there
        one_of(
            ("gmem.readd", "gmem.undo_readd"),
            ("gmem.readd", "gmem.undo_restructure"),
            ("gmem.tree", "gmem.undo_tree"),
            ("gmem.vmemmap", "gmem.undo_restructure"),
            ("gmem.stash", "gmem.undo_tree"),
        ),
        {**LEAVES, "protocol.name": one_of(*UNDOING)},
        load=LONG,
    ),
    Aim(  # restructuring that fails, in whatever order it comes
        one_of(("gmem.readd",), ("gmem.vmemmap",), ("gmem.stash",), ("gmem.tree",), ("gmem.work",)),
        {
            **LEAVES,
            "protocol.name": one_of(*HUGE, "in-place-huge"),
            "protocol.store_first": some(True),
            "protocol.zap_first": some("no", "mixed"),
            "protocol.on_error": some("remap"),
            "protocol.swallow_enomem": some(False),
        },
        load=LONG,
    ),
    Aim(  # a boundary leaf that cannot be split
        one_of(
            ("tdx.demote_busy",), ("tdx.interrupted",), ("kvm.split_memory",), ("tdx.busy",),
            ("tdx.track_busy",),
        ),
        {
            **LEAVES,
            "protocol.name": one_of(*HUGE, *TWO_PHASE),
            "protocol.store_first": some(True),
            "protocol.zap_first": some("no", "mixed"),
            "protocol.prepare_busy": some("refuse", "bug"),
        },
    ),
    Aim(  # a bug after the decision, and how it is marked
        one_of(
            ("tdx.bug",), ("tdx.bug", "gmem.mark"), ("tdx.remove_busy", "gmem.mark"),
            ("tdx.wbinvd_busy", "gmem.mark"), ("tdx.bug", "tdx.teardown"),
        ),
        {
            **LEAVES,
            "protocol.name": one_of(*TWO_PHASE),
            "protocol.mark": one_of(*MARKS, *WITH_MEMORY, *WITH_MEMORY),
            "protocol.bug_on": some("yes", "no"),
            "protocol.on_poison": some("proceed-rest"),
        },
    ),
    Aim(  # nobody answers in time, or only after the decision
        one_of((), ("iommu.outlier",), ("pins.long",), ("iommu.slots",), ("kvm.split_memory",)),
        {
            "protocol.name": one_of(*TWO_PHASE),
            "protocol.prepare_timeout": one_of("2us", "5us", "20us"),
            "protocol.freeze_at": some("commit"),
            "protocol.iommu_prepare": some("unmap-early"),
            "protocol.freeze_budget": some("10us"),
        },
    ),
    Aim(  # two who refuse
        one_of(
            ("pins.long", "iommu.slots"), ("pins.private", "kvm.split_memory"),
            ("pins.transient", "iommu.outlier"), ("pins.lru", "tdx.demote_busy"),
        ),
        {
            "protocol.name": one_of(*TWO_PHASE, "in-place", "in-place-huge"),
            "protocol.iommu_prepare": some("unmap-early"),
            "protocol.host_unmap": some("early-saved"),
            "vm.iommu": one_of("notify"),
            "vm.backend": one_of(None),
        },
        one_of("churn", "dma-storm"),
    ),
    Aim(  # file by file
        one_of((), ("kvm.file_split",), ("tdx.demote_busy",)),
        {
            **LEAVES,
            "protocol.name": one_of(*UNDOING, "undo-split-first"),
            "protocol.per_file": some(True),
            "vm.files_per_inode": one_of(2, 3),
            "vm.backend": one_of(None),
        },
        load=LONG,
    ),
    Aim(  # what the guest holds
        one_of(("guest.release",), ()),
        {**SMALL, "vm.td_pinned": one_of(True), "vm.page_order": one_of(9, 0)},
        one_of("churn", "hot-range", "balloon"),
    ),
    Aim(  # callbacks of the mm that fail
        one_of(("kvm.notifier",)),
        {"protocol.name": one_of("failable-notifier"), "protocol.notifier_scope": one_of(None)},
        one_of("notifier-storm"),
        {"chains": one_of(0.5), "reaper": one_of(0.02, 0.5), "rate": one_of(2000.0, 5000.0)},
    ),
    Aim(  # faults that know the old side
        one_of(("kvm.preempted",)),
        {"protocol.name": one_of("in-place-huge", "in-place-huge", *TWO_PHASE), "vm.page_order": one_of(9)},
        one_of("hostile", "hot-range"),
        {"access": one_of("accept"), "touch": one_of(0.0)},
    ),
    Aim(  # faults that cannot be served at once
        one_of(("tdx.sept_add_busy",), ("tdx.aug_busy",), ("tdx.background",), ("alloc.pages",)),
        {"vm.start": one_of("unaccepted"), "vm.sept_add": one_of(True)},
        one_of("boot", "churn", "hot-range"),
    ),
    Aim(  # BUSY by rate
        one_of(("tdx.accepting",), ("tdx.accept_storm",)),
        {
            "vm.busy": one_of("rate"), "vm.start": one_of("unaccepted"),
            "vm.ticking_vcpus": one_of(0, 1), "vm.busy_vcpus": one_of(2, 4),
        },
        one_of("hot-range", "hostile"),
        {"vcpus": one_of(3), "access": one_of("accept")},
    ),
    Aim(  # a MapGPA in pieces
        one_of(("kvm.interrupt",), ("kvm.interrupt", "gmem.tree")),
        {"vm.memory": one_of("16MiB", "32MiB"), "vm.interrupt_probability": one_of(0.0, 0.5)},
        load=LONG,
    ),
    Aim(  # moves that come to nothing
        one_of(("move.transfer",), ("move.refused",)),
        {**MOVING, "moves.kind": one_of("poisson", "evacuate")},
    ),
    Aim(  # devices that lose what is theirs
        one_of(("iommu.timeout",), ("iommu.outlier",), ("iommu.map",), ("iommu.slots",), ("pins.long",)),
        {
            "protocol.iommu_prepare": some("unmap-early"),
            "vm.devices": one_of(1, 2),
            "vm.files_per_inode": one_of(1),
            "vmm.listeners": one_of(1, 2),
        },
        one_of("dma-storm"),
    ),
    Aim(  # two backends, told of or not
        one_of((), ("iommu.map",), ("iommu.timeout",)),
        {
            "vm.backend": one_of("two-backends"), "vm.iommu": one_of("pin"), "vm.devices": one_of(1, 2),
            "vm.files_per_inode": one_of(1), "vmm.listeners": one_of(0, 1, 2),
        },
        one_of("dma-storm"),
    ),
    Aim(  # conversions of what is poisoned, or of nobody's memory any more
        one_of((), ("vmm.kill",)),
        {"vm.memory": one_of("8MiB"), "vmm.retry": one_of("backoff", "cooperative")},
        one_of("memory-failure"),
        {"rate": one_of(1000.0, 5000.0), "outstanding": one_of(4)},
    ),
    Aim(  # pages that a dead VM leaves
        one_of(("tdx.teardown",), ("tdx.bug", "tdx.teardown"), ("tdx.remove_busy",)),
        {
            "protocol.bug_on": some("yes", "no"), "protocol.mark": some(*MARKS),
            "fleet.reuse": one_of("others", "readmit"), "vm.terminate": some(True),
        },
        one_of("churn", "shutdown", "hot-range"),
    ),
)  # fmt: skip
