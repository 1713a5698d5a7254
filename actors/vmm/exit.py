"""A VMM that exits of its own accord: its address space goes first (N8 of the no-fail callers), then its files."""

from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors.contract import Context
from actors.vmm import kill as vmm_kill
from actors.vmm.kill import Life

if TYPE_CHECKING:
    from actors.vmm.process import Vmm


def on_exit(vmm: "Vmm", _: m.Exit, context: Context) -> None:
    """exit_mmap, once the thread that is in the kernel for a conversion is through; who is gone exits no more."""
    if vmm.dead:
        return
    vmm.exits = True
    go_on(vmm, context)


def go_on(vmm: "Vmm", context: Context) -> None:
    """Nobody begins anything any more; when the last one is out of the kernel, over everything that is mapped."""
    if not vmm.idle or vmm.leaving or vmm.dead:
        return
    vmm.leaving = True
    if vmm.life is not msgspec.UNSET:
        vmm.life = Life.EXITING
    vmm_kill.exit_mmap(vmm, context)


def on_notifier_done(vmm: "Vmm", _: m.NotifierDone, context: Context) -> None:
    """Nobody looks at what exit_mmap returned: the files are closed, and the VM is torn down with them."""
    if vmm.dead:
        vmm_kill.left(vmm, context)
    else:
        vmm.stop(context, regular=True)
