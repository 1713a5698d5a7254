"""S-EPT page tables in the KVM MMU, and mirror entries that are being changed (docs/domain.md sections 2.2 and 2.3).

A private fault freezes the entry that it is about to change, adds the tables that it lacks from the top (SEPT.ADD),
then its leaf (PAGE.AUG). Whoever meets a frozen entry meanwhile goes back to the guest and faults again. Tables stay
when their leaves go. One table has 512 leaves of 4 KiB (2 MiB of memory) or of 2 MiB (1 GiB); those above are there.
"""

from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors.intervals import IntervalMap
from actors.kvm.tickets import FAULT, TICKETS
from actors.tdx.states import LEVEL_2M, LEVEL_4K, TABLE_SPAN, Call

if TYPE_CHECKING:
    from actors.kvm.fault import PageFault
    from actors.kvm.mmu import KvmMmu

TAKEN, BUILT = (
    1,
    2,
)  # a table whose pages are from the host's pool, and one that was there from the start


class SeptTables(msgspec.Struct):
    """UNSET in a VM whose tables cost nothing (vm.sept_add). Tables of small leaves are `KvmMmu.tables`.

    `large` is gfn -> TAKEN or BUILT where leaves of 2 MiB have a table, `frozen` gfn -> 1 + access of who changes it.
    """

    large: IntervalMap = msgspec.field(default_factory=lambda: IntervalMap.filled(0))
    frozen: IntervalMap = msgspec.field(default_factory=lambda: IntervalMap.filled(0))


def lacking(kvm: "KvmMmu", fault: "PageFault") -> list[int]:
    """The levels of leaves for which there is no table yet, from the top."""
    if kvm.sept is msgspec.UNSET:
        return []
    found = [] if kvm.sept.large.get(fault.start) else [LEVEL_2M]
    if fault.level == LEVEL_4K and not kvm.tables.get(fault.start):
        found.append(LEVEL_4K)
    return found


def span(fault: "PageFault", level: int) -> tuple[int, int]:
    """The memory under the table of such leaves in which the fault lies."""
    size = TABLE_SPAN[level]
    start = fault.start // size * size
    return start, start + size


def freeze(kvm: "KvmMmu", fault: "PageFault") -> bool:
    """Is the entry ours to change? It stands for the leaves, or for the highest table that is missing."""
    if kvm.sept is msgspec.UNSET:
        return True
    missing = lacking(kvm, fault)
    start, end = span(fault, missing[0]) if missing else (fault.start, fault.end)
    mine = fault.access + 1
    if any(holder not in (0, mine) for *_, holder in kvm.sept.frozen.runs(start, end)):
        return False
    kvm.sept.frozen.set(start, end, mine)
    return True


def thaw(kvm: "KvmMmu", fault: "PageFault") -> None:
    """What the fault had frozen is an entry like any other again."""
    if kvm.sept is msgspec.UNSET or kvm.sept.frozen.fragments == 1:
        return
    for start, end, holder in kvm.sept.frozen.runs(*span(fault, LEVEL_2M)):
        if holder == fault.access + 1:
            kvm.sept.frozen.set(start, end, 0)


def addition(kvm: "KvmMmu", fault: "PageFault", level: int) -> m.Seamcall:
    """SEPT.ADD of the table for leaves of this level."""
    start, end = span(fault, level)
    ticket = fault.access * TICKETS + FAULT
    return m.Seamcall(kvm.vm, ticket, Call.SEPT_ADD, start, end, level, 1, -1, fault.access, 0)


def added(kvm: "KvmMmu", fault: "PageFault", level: int) -> None:
    """The table is there."""
    assert kvm.sept is not msgspec.UNSET, "a table for a VM that does not count them"
    table = kvm.tables if level == LEVEL_4K else kvm.sept.large
    table.set(*span(fault, level), TAKEN)
