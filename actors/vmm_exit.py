"""A VMM that exits of its own accord: its address space goes first (N8 of the no-fail callers), then its files."""

from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors import vmm_kill
from actors.contract import Context
from actors.vmm_kill import Life

if TYPE_CHECKING:
    from actors.vmm import Vmm


def on_exit(vmm: "Vmm", _: m.Exit, context: Context) -> None:
    """exit_mmap over everything that is mapped; a VMM that is gone already exits no more."""
    if vmm.dead:
        return
    if vmm.life is not msgspec.UNSET:
        vmm.life = Life.EXITING
    vmm_kill.exit_mmap(vmm, context)


def on_notifier_done(vmm: "Vmm", _: m.NotifierDone, context: Context) -> None:
    """Nobody looks at what exit_mmap returned: the files are closed, and the VM is torn down with them."""
    if vmm.dead:
        vmm_kill.left(vmm, context)
    else:
        vmm.stop(context, regular=True)
