"""A VMM that exits of its own accord: its address space goes first (N8 of the no-fail callers), then its files."""

from typing import TYPE_CHECKING

from actors import messages as m
from actors.address import HOST_MAP, VMM
from actors.contract import Context
from actors.notifier_sites import EXIT_MMAP

if TYPE_CHECKING:
    from actors.vmm import Vmm


def on_exit(vmm: "Vmm", _: m.Exit, context: Context) -> None:
    """exit_mmap over everything that is mapped; a VMM that is gone already exits no more."""
    if vmm.dead:
        return
    end = max(slot.gfn + slot.pages for slot in vmm.slots)
    call = m.NotifierCall(EXIT_MMAP, 0, end, vmm.vm | VMM)
    context.send(vmm.vm | HOST_MAP, call, context.cost("memory_fault_exit"))


def on_notifier_done(vmm: "Vmm", _: m.NotifierDone, context: Context) -> None:
    """Nobody looks at what exit_mmap returned: the files are closed, and the VM is torn down with them."""
    vmm.stop(context, regular=True)
