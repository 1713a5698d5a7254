"""Pages that the KVM MMU has at hand for what it is about to install: page tables, and pairs for the dynamic PAMT.

As in the kernel, a fault tops the VM's cache up before it takes mmu_lock, for the worst case, and what it did not
need serves the next one; a split reserves its own. What nobody has taken goes back to the host with the VM.
"""

from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors.address import ALLOCATOR, KVM, host_base
from actors.contract import Context
from actors.kvm.plans import Walk
from actors.kvm.tables import TAKEN, lacking
from actors.kvm.tickets import FAULT
from actors.locks.holders import FAULT_OP
from actors.observations import ReserveSettled
from actors.tdx.pamt import PAIR, regions
from actors.tdx.states import LEVEL_2M, LEVEL_4K, TABLE_SPAN

if TYPE_CHECKING:
    from actors.kvm.fault import PageFault
    from actors.kvm.mmu import KvmMmu

TABLE_PAGES = 2  # an S-EPT page and its mirror
# Where nobody counts what a region holds, a pair comes with every table that a split makes, and stays with it.
SPLIT_PAGES = TABLE_PAGES + PAIR
AT_SPLIT, DYNAMIC, STATIC = "at-split", "dynamic", "static"  # fleet.pamt


class PageCache(msgspec.Struct):
    """Of one VM; UNSET where PAMT pages come with splits and faults want none. `pamt` is fleet.pamt.

    `lent` is access -> pages that its fault has in hand, `asked` what more it waits for.
    """

    pamt: str
    pages: int = 0
    lent: dict[int, int] = {}
    asked: dict[int, int] = {}
    closed: bool = False


def counts(kvm: "KvmMmu") -> bool:
    """Is the PAMT dynamic, and counted by region?"""
    return kvm.cache is not msgspec.UNSET and kvm.cache.pamt == DYNAMIC


def table_pages(kvm: "KvmMmu", level: int = LEVEL_4K) -> int:
    """What a page table of such leaves keeps for as long as the VM lives."""
    kept = kvm.cache is msgspec.UNSET or kvm.cache.pamt == AT_SPLIT
    return SPLIT_PAGES if kept and level == LEVEL_4K else TABLE_PAGES


def split_pages(kvm: "KvmMmu", leaves: int, tables: int) -> int:
    """What it takes to split so many leaves, of which some need a new table."""
    return table_pages(kvm) * tables + PAIR * leaves * counts(kvm)


def split_pairs(kvm: "KvmMmu") -> int:
    """Pairs that come with a DEMOTE: none where the PAMT is static."""
    return int(kvm.cache is msgspec.UNSET or kvm.cache.pamt != STATIC)


def give_back(kvm: "KvmMmu", pages: int, context: Context, ticket: int = -1) -> None:
    """To the host's pool; `ticket` is the walk that settles it."""
    if pages:
        unused = m.GiveBack(pages, kvm.vm, ticket)
        context.send(host_base(kvm.vm) | ALLOCATOR, unused, context.link)


# --- a walk's -------------------------------------------------------------------------------------


def use(walk: Walk, pages: int) -> None:
    """So many of what it has reserved serve for as long as the VM lives, or until the PAMT gives them back."""
    walk.reserved -= pages
    walk.used += pages


def spare(kvm: "KvmMmu", walk: Walk, context: Context) -> None:
    """What it has not used goes back."""
    if walk.reserved:
        give_back(kvm, walk.reserved, context, walk.op)
        walk.returned += walk.reserved
        walk.reserved = 0
        settled(walk, context)


def settled(walk: Walk, context: Context) -> None:
    """Tell what has become of what it had reserved."""
    if walk.used or walk.returned:
        context.observe(ReserveSettled(walk.gmem, walk.op, walk.used, walk.returned))
        walk.used = walk.returned = 0


# --- a fault's ------------------------------------------------------------------------------------


def top_up(kvm: "KvmMmu", fault: "PageFault", context: Context) -> bool:
    """Has the private fault all it may need in hand? Else the rest is asked for, and the fault goes on with that."""
    cache = kvm.cache
    if cache is msgspec.UNSET:
        return True
    wanted = sum(table_pages(kvm, level) for level in lacking(kvm, fault))
    if cache.pamt == DYNAMIC:
        wanted += PAIR * regions(fault.pfn, fault.pfn + fault.end - fault.start)
    wanted -= cache.lent.get(fault.access, 0)
    if wanted <= 0:
        return True
    found = min(cache.pages, wanted)
    cache.pages -= found
    cache.lent[fault.access] = cache.lent.get(fault.access, 0) + found
    if found == wanted:
        return True
    cache.asked[fault.access] = wanted - found
    ticket = FAULT_OP | fault.access
    request = m.Reserve(kvm.vm | KVM, ticket, wanted - found, start=fault.start, end=fault.end)
    context.send(host_base(kvm.vm) | ALLOCATOR, request, context.link)
    return False


def spend(kvm: "KvmMmu", access: int, level: int) -> None:
    """The fault's pages have become a table."""
    assert kvm.cache is not msgspec.UNSET, "a table from a VM without a cache"
    kvm.cache.lent[access] -= table_pages(kvm, level)


def lent_pairs(kvm: "KvmMmu", access: int) -> int:
    """Pairs of PAMT pages that come with a fault's AUG."""
    return 0 if kvm.cache is msgspec.UNSET else kvm.cache.lent.get(access, 0) // PAIR


def granted(kvm: "KvmMmu", access: int, granted: bool, context: Context) -> bool:
    """The pool's answer to a fault: has it all it may need?"""
    cache = kvm.cache
    assert cache is not msgspec.UNSET, "pages for a VM without a cache"
    pages = cache.asked.pop(access)
    if granted and not cache.closed:
        cache.lent[access] = cache.lent.get(access, 0) + pages
        return True
    if granted:
        give_back(kvm, pages, context)
    release(kvm, access, context)
    return False


def release(kvm: "KvmMmu", access: int, context: Context) -> None:
    """The fault is over: what it has not used is for the next one."""
    cache = kvm.cache
    if cache is msgspec.UNSET:
        return
    pages = cache.lent.pop(access, 0)
    if cache.closed:
        give_back(kvm, pages, context)
    else:
        cache.pages += pages


def moved(kvm: "KvmMmu", what: int, number: int, pairs: int, context: Context) -> None:
    """The dynamic PAMT took pairs from who made the call, or gave some back."""
    if pairs < 0:
        give_back(kvm, -pairs * PAIR, context)
    elif what == FAULT:
        assert kvm.cache is not msgspec.UNSET, "pairs from a VM without a cache"
        kvm.cache.lent[number] -= pairs * PAIR
    else:
        use(kvm.walks[number], pairs * PAIR)


def close(kvm: "KvmMmu", context: Context) -> None:
    """The VM is gone, and with mmu_lock held for writing no fault is at the TDX module: all goes back."""
    levels = [(LEVEL_4K, kvm.tables)]
    if kvm.sept is not msgspec.UNSET:
        levels.append((LEVEL_2M, kvm.sept.large))
    for level, tables in levels:
        kept = tables.pages(0, tables.starts[-1] + 1, TAKEN) // TABLE_SPAN[level]
        give_back(kvm, kept * table_pages(kvm, level), context)
        tables.starts[:], tables.values[:] = [0], [0]
    cache = kvm.cache
    if cache is msgspec.UNSET:
        return
    cache.closed = True
    give_back(kvm, cache.pages, context)
    cache.pages = 0
    for access in list(cache.lent):
        release(kvm, access, context)
