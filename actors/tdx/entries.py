"""What the TDX module keeps of each TD: S-EPT entries, locks, epochs; and how an entry changes, PAMT owners with it."""

from typing import TYPE_CHECKING

import msgspec

from actors.contract import Context
from actors.intervals import IntervalMap
from actors.observations import PamtCounted, Sept
from actors.tdx import pamt as tdx_pamt
from actors.tdx.states import LEVEL_4K, Entry
from actors.tdx.tables import Tables

if TYPE_CHECKING:
    from actors.tdx.module import TdxModule

FREE, OWNING = Entry.FREE, (Entry.FREE, Entry.PENDING)  # a member is slow to look up
LEVEL_SHIFT = 3  # an entry's value is state | level << LEVEL_SHIFT
STATE_MASK = (1 << LEVEL_SHIFT) - 1


class Stuck(msgspec.Struct):
    """EPT violations of one access at one place; `again`: its vCPU has entered although nothing was installed."""

    start: int
    times: int = 0
    again: bool = False


class Td(msgspec.Struct):
    """The module's part of one TD. Times are until when (ns) a lock is held."""

    sept: IntervalMap
    frames: IntervalMap  # gfn -> pfn minus gfn
    epoch: int = 0
    drained: int = 0  # the epoch in which no vCPU of an older one is left
    blocked_in: int = 0  # the epoch of the youngest BLOCK
    tree_shared_until: int = 0
    tree_exclusive_until: int = 0  # held by another caller: a kick does not end it
    zero_step_until: int = 0  # held by VP.ENTER: a kick does
    entry_start: int = 0  # the guest's ACCEPT holds these entries
    entry_end: int = 0
    entry_until: int = 0
    serial_until: int = 0  # how far the work that its vCPUs do one after the other is dealt out
    stuck: IntervalMap = msgspec.field(
        default_factory=lambda: IntervalMap.filled(0)
    )  # REMOVE failed for a bug
    faults: dict[int, Stuck] = {}  # by access
    keyless: bool = False  # its HKID is freed
    tables: Tables | msgspec.UnsetType = msgspec.UNSET  # where they are not taken for granted
    pins: bool | msgspec.UnsetType = msgspec.UNSET  # trusted IO: what is MAPPED, the guest holds


def enter(
    module: "TdxModule",
    td: Td,
    vm: int,
    start: int,
    end: int,
    state: int,
    level: int,
    context: Context,
) -> int:
    """Entries, which were all alike, have this state and level now; PAMT owners follow.

    Returns how many pairs of pages the dynamic PAMT took for it; below zero, gave back.
    """
    pairs = step = 0
    if module.dynamic is not msgspec.UNSET:
        before = td.sept.get(start) >> LEVEL_SHIFT == LEVEL_4K
        step = (state != FREE and level == LEVEL_4K) - before
    td.sept.set(start, end, state | level << LEVEL_SHIFT if state else 0)
    for first, last, shift in td.frames.runs(start, end):
        owner = -1
        if state in OWNING:
            own(module.pamt, first + shift, last + shift, vm if state else 0)
            owner = module.pamt.get(first + shift)
        context.observe(Sept(vm, first, last, state, level, first + shift, owner))
        if step and module.dynamic is not msgspec.UNSET:
            for counted in tdx_pamt.count(module.dynamic, first + shift, last + shift, step):
                pairs += counted.pairs
                part = (counted.start, counted.end, counted.after, counted.pairs)
                context.observe(PamtCounted(vm, *part))
    return pairs


def own(pamt: IntervalMap, first: int, last: int, vm: int) -> None:
    """The frames have this owner now, 0 for none."""
    pamt.set(first, last, vm)
