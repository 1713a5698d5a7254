"""Closed sets of label values, and which of them go together. None grows with VMs; hosts are in 16 groups at most."""

from collections.abc import Callable, Iterable
from itertools import product
from typing import NamedTuple

from actors.contract import ERRNO, WORDS
from actors.contract import Reason as R
from actors.tdx.states import Call
from cluster.failures import failures_of

SETS_MAX = 100  # label sets of one family
GROUPS_MAX = 16  # of hosts
Labels = tuple[str, ...]
"""Label values, in the order of the family's label names."""


class Run(NamedTuple):
    """What label sets depend on beside this module's tables."""

    protocol: str
    partitions: int
    about: Labels  # values of run_info's labels
    build: Labels  # and of build_info's
    injected: tuple[R, ...] = ()  # classes that a fault has instead of its point's own
    hosts: int = 1


DIRECTIONS = ("private_to_shared", "shared_to_private")
OUTCOMES = ("completed", "failed")
PHASES = ("prepare", "commit", "abort", "invalidate", "remap")
CONSUMERS = tuple(dict.fromkeys(WORDS.values()))
LOCKS = ("vmm", "ilock", "mmu_lock", "iommu_queue")
DMA_OUTCOMES = ("done", "stale", "fault")
MOVE_OUTCOMES = (
    "moved", "no_place", "not_quiet", "unmovable", "vm_gone", "transfer_failed", "import_failed",
)  # fmt: skip
REQUEST_STAGES = ("came", "refused", "queued", "placed", "turned_away", "left")
# Those that can find a lock held: of a TD without HKID nobody holds any.
CALLS = tuple(call.name.lower() for call in Call if call is not Call.RECLAIM)
INVARIANTS = (
    *(f"I{n}" for n in range(1, 30)),
    *(f"L{n}" for n in range(1, 13)),
)
ANOMALIES = tuple(f"AN{n}" for n in range(1, 29))
REST = "other"  # the one label for all partitions beyond the first 99

Sets = Callable[[Run], Iterable[Labels]]


def each(*values: Labels) -> Sets:
    """Every combination; with no labels there is one, the empty one."""
    return lambda _: product(*values)


def by_protocol(*values: Labels) -> Sets:
    """The same under the run's protocol."""
    return lambda run: product((run.protocol,), *values)


def failures(run: Run) -> Iterable[Labels]:
    """What can fail where, and for which reason; a class that was asked for can come up anywhere."""
    for phase, consumer, reasons in failures_of(run.protocol):
        for reason in dict.fromkeys((*reasons, *run.injected)):
            yield run.protocol, phase, consumer, ERRNO[reason]


def partition_label(partition: int) -> str:
    """A number, as long as there are few enough of them."""
    return str(partition) if partition < SETS_MAX - 1 else REST


def partitions(run: Run) -> Iterable[Labels]:
    """The run's partitions."""
    return ((partition_label(n),) for n in range(min(run.partitions, SETS_MAX)))


def group_size(hosts: int) -> int:
    """How many hosts with numbers in a row make a group; the last one may have fewer."""
    return -(-hosts // GROUPS_MAX)


def group_labels(hosts: int) -> tuple[str, ...]:
    """Group -> its label: 7 of a host alone, 0-3 of the first four."""
    size = group_size(hosts)
    ends = ((first, min(first + size, hosts) - 1) for first in range(0, hosts, size))
    return tuple(str(first) if first == last else f"{first}-{last}" for first, last in ends)


def host_groups(*values: Labels) -> Sets:
    """Every combination under each group of the run's hosts."""
    return lambda run: product(group_labels(run.hosts), *values)
