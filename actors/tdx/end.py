"""The end of a TD in the TDX module: its pages are taken out batch by batch, its HKID goes, then what is left of it.

With an HKID a page leaves as in a conversion: BLOCK, TRACK, REMOVE (Dynamic Page Removal). No vCPU runs any more, so
that TRACK needs no kick and nothing is BUSY. Without, the TD is in TD_TEARDOWN: PHYMEM.PAGE.RECLAIM alone.
"""

from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors.address import ALLOCATOR, KVM, host_base
from actors.contract import Context, Place, opportunity
from actors.locks.holders import RELEASE_OP
from actors.observations import SeamcallAnswered
from actors.tdx.entries import LEVEL_SHIFT, Td, enter
from actors.tdx.pamt import PAIR
from actors.tdx.states import LEVEL_2M, LEVEL_4K, PAGES, RULES, Call, Cause, Entry, Status

if TYPE_CHECKING:
    from actors.tdx.module import TdxModule

# What takes a leaf out, by whether the HKID is freed, and the call that fails for a bug.
CALLS = {False: (Call.BLOCK, Call.TRACK, Call.REMOVE, Call.WBINVD), True: (Call.RECLAIM,)}
FAILS = {False: Call.REMOVE, True: Call.RECLAIM}


def on_take_out(module: "TdxModule", message: m.TakeOut, context: Context) -> None:
    """A batch of a closed file. What a COMMIT could not remove nobody tries again: KVM has no entry for it."""
    td, pairs, left = module.tds[message.vm], 0, list[Place]()
    count = {LEVEL_4K: 0, LEVEL_2M: 0}
    for start, end, value in td.sept.runs(message.start, message.end):
        level = value >> LEVEL_SHIFT
        for first, last, stuck in td.stuck.runs(start, end) if value else ():
            if not stuck:
                count[level] += (last - first) // PAGES[level]
                pairs += take_out(module, td, message, (first, last, level), left, context)
    give_back(message.vm, pairs, context)
    took = sum(time_of(td, level, leaves, context) for level, leaves in count.items() if leaves)
    reply = m.TakenOut(message.instance, message.start, message.end, tuple(left))
    context.send(message.vm | KVM, reply, max(took, context.link))


def take_out(
    module: "TdxModule",
    td: Td,
    message: m.TakeOut,
    leaves: m.Mapped,
    left: list[Place],
    context: Context,
) -> int:
    """Leaves of one run, but for those that a bug leaves where they are. Returns as `enter`."""
    start, end, level = leaves
    size, pairs = PAGES[level], 0
    while start < end:
        key = opportunity(message.vm, message.instance, start)
        fault = context.choose("tdx.teardown", (end - start) // size, key, size)
        stop = start + fault.first * size if fault else end
        if start < stop:
            pairs += enter(module, td, message.vm, start, stop, Entry.FREE, 0, context)
        if fault:
            stays(td, message, (stop, stop + size), context)
            left.append((stop, stop + size))
        start = stop + size
    return pairs


def stays(td: Td, message: m.TakeOut, leaf: Place, context: Context) -> None:
    """The PAMT has it as the TD's until the TD itself is reclaimed."""
    start, end = leaf
    td.stuck.set(start, end, 1)
    call, op = FAILS[td.keyless], RELEASE_OP | message.instance
    failed = SeamcallAnswered(message.vm, call, start, end, Status.BUG, op, Cause.FAULT)
    context.observe(failed)


def time_of(td: Td, level: int, leaves: int, context: Context) -> int:
    """How long so many leaves take, one after the other."""
    names = [name for call in CALLS[td.keyless] for name in RULES[call].costs[level]]
    return sum(context.cost(name, leaves) for name in names)


def on_free_hkid(module: "TdxModule", message: m.FreeHkid, context: Context) -> None:
    """VP.FLUSH, PHYMEM.CACHE.WB, MNG.KEY.FREEID."""
    module.tds[message.vm].keyless = True
    took = context.cost("hkid_reclaim")
    context.send(message.vm | KVM, m.HkidFreed(), max(took, context.link))


def on_reclaim(module: "TdxModule", message: m.Reclaim, context: Context) -> None:
    """No frame of the TD is owned by anybody."""
    td, pairs = module.tds[message.vm], 0
    for start, end, value in td.sept.runs(0, td.sept.starts[-1] + 1):
        if value:
            pairs += enter(module, td, message.vm, start, end, Entry.FREE, 0, context)
    give_back(message.vm, pairs, context)
    if module.readmits is not msgspec.UNSET:
        context.send(host_base(message.vm) | ALLOCATOR, message, context.link)


def give_back(vm: int, pairs: int, context: Context) -> None:
    """The last leaves of some regions are gone (`pairs` below zero): their pages are the host's again."""
    if pairs:
        pool = host_base(vm) | ALLOCATOR
        context.send(pool, m.GiveBack(-pairs * PAIR, vm), context.link)
