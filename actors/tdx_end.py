"""The end of a TD in the TDX module: its pages are taken out, then its HKID goes."""

from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors.address import ALLOCATOR, host_base, vm_base
from actors.contract import Context
from actors.tdx_entries import enter
from actors.tdx_pamt import PAIR
from actors.tdx_states import Entry

if TYPE_CHECKING:
    from actors.tdx_module import TdxModule


def on_teardown(module: "TdxModule", message: m.Teardown, context: Context) -> None:
    """The file is closed: what can be removed is. The rest goes with the HKID; its frames may be gone by then."""
    vm = vm_base(message.gmem)
    td, pairs = module.tds[vm], 0
    for start, end, value in td.sept.runs(0, td.sept.starts[-1] + 1):
        for first, last, stuck in td.stuck.runs(start, end) if value else ():
            if not stuck:
                pairs += enter(module, td, vm, first, last, Entry.FREE, 0, context)
    give_back(vm, pairs, context)
    context.send(message.gmem, m.TornDown(), context.link)
    context.after(context.cost("hkid_reclaim"), m.Reclaim(vm))


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
