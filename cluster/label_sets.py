"""Closed sets of label values, and which of them go together. None grows with hosts or VMs."""

from collections.abc import Callable, Iterable
from itertools import product
from typing import NamedTuple

from actors.contract import ERRNO, Consumer
from actors.contract import Reason as R
from actors.tdx_states import Call

SETS_MAX = 100  # label sets of one family
Labels = tuple[str, ...]
"""Label values, in the order of the family's label names."""


class Run(NamedTuple):
    """What label sets depend on beside this module's tables."""

    protocol: str
    partitions: int
    about: Labels  # values of run_info's labels
    build: Labels  # and of build_info's
    injected: tuple[R, ...] = ()  # classes that a fault has instead of its point's own


DIRECTIONS = ("private_to_shared", "shared_to_private")
OUTCOMES = ("completed", "failed")
PHASES = ("prepare", "commit", "abort", "invalidate", "remap")
CONSUMERS = tuple(consumer.name.lower() for consumer in Consumer)
LOCKS = ("vmm", "ilock", "mmu_lock", "iommu_queue")
CALLS = tuple(call.name.lower() for call in Call)
INVARIANTS = (
    *(f"I{n}" for n in (1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17, 19, 22, 23)),
    *("L1", "L3"),
)
ANOMALIES = tuple(f"AN{n}" for n in (1, 3, 4, 7, 8, 11, 12, 15, 16, 18, 19, 24, 28))
REST = "other"  # the one label for all partitions beyond the first 99

# protocol -> (phase, consumer, reasons). Phases are stages of its table; "map" is the VMM's device
# mapping after the ioctl. Reasons are those of docs/domain.md section 3, and two that any consumer
# may meet: no answer in time (section 4.C, step 4), and EIO where the VM had died before.
Failures = tuple[tuple[str, str, tuple[R, ...]], ...]

SPLIT = (R.NO_MEMORY, R.BUSY, R.INTERRUPTED, R.DEAD)
UNMAP = (R.BUSY, R.BUG, R.DEAD)
DMA: Failures = (("map", "iommu", (R.NO_MEMORY, R.DEAD)),)
OWN_FOLIOS: Failures = (
    ("storing", "gmem", (R.NO_MEMORY,)),
    ("restructuring", "gmem", (R.NO_MEMORY,)),
)
TWO_PHASE: Failures = (
    ("reserving", "gmem", (R.NO_MEMORY,)),
    ("preparing", "kvm_mmu", (*SPLIT, R.TIMEOUT)),
    ("preparing", "host_map", (R.TIMEOUT,)),
    ("preparing", "pins", (R.REFERENCES, R.TIMEOUT)),
    ("preparing", "iommu", (R.NO_MEMORY, R.TIMEOUT, R.DEAD)),
    ("committing", "kvm_mmu", UNMAP),
    ("committing", "iommu", (R.TIMEOUT,)),
    *DMA,
)
TO_PRIVATE: Failures = (
    ("invalidating", "pins", (R.REFERENCES,)),
    ("invalidating", "iommu", (R.NO_MEMORY, R.TIMEOUT, R.DEAD)),
)
IN_PLACE: Failures = (
    ("reserving", "gmem", (R.NO_MEMORY,)),
    ("checking", "pins", (R.REFERENCES,)),
    ("checking", "iommu", (R.NO_MEMORY, R.TIMEOUT)),
    *DMA,
)
FAILURES: dict[str, Failures] = {
    "failable-notifier": (
        ("invalidating", "kvm_mmu", (*SPLIT, R.BUG)),
        *TO_PRIVATE,
        *OWN_FOLIOS,
        *DMA,
    ),
    "undo": (
        ("listing", "gmem", (R.NO_MEMORY,)),
        ("invalidating", "kvm_mmu", (R.DEAD,)),
        *TO_PRIVATE,
        *OWN_FOLIOS,
        *DMA,
    ),
    "undo-split-first": (
        ("listing", "gmem", (R.NO_MEMORY,)),
        ("splitting", "kvm_mmu", SPLIT),
        ("checking", "gmem", (R.BUG,)),
        ("invalidating", "kvm_mmu", (R.DEAD,)),
        *TO_PRIVATE,
        *OWN_FOLIOS,
        *DMA,
    ),
    "in-place": IN_PLACE,
    "in-place-huge": (
        *IN_PLACE,
        ("splitting", "kvm_mmu", SPLIT),
        ("restructuring", "gmem", (R.NO_MEMORY,)),
    ),
    "two-phase": TWO_PHASE,
    "two-phase-refcount": (*TWO_PHASE, ("checking", "gmem", (R.BUG,))),
    "two-phase-untraced": TWO_PHASE,
}

Sets = Callable[[Run], Iterable[Labels]]


def each(*values: Labels) -> Sets:
    """Every combination; with no labels there is one, the empty one."""
    return lambda _: product(*values)


def by_protocol(*values: Labels) -> Sets:
    """The same under the run's protocol."""
    return lambda run: product((run.protocol,), *values)


def failures(run: Run) -> Iterable[Labels]:
    """What can fail where, and for which reason; a class that was asked for can come up anywhere."""
    for phase, consumer, reasons in FAILURES[run.protocol]:
        for reason in dict.fromkeys((*reasons, *run.injected)):
            yield run.protocol, phase, consumer, ERRNO[reason]


def partition_label(partition: int) -> str:
    """A number, as long as there are few enough of them."""
    return str(partition) if partition < SETS_MAX - 1 else REST


def partitions(run: Run) -> Iterable[Labels]:
    """The run's partitions."""
    return ((partition_label(n),) for n in range(min(run.partitions, SETS_MAX)))
