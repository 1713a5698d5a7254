"""Who maps or holds frames of a file that is closed: he answers guest_memfd once he has let go, and not before."""

from typing import Protocol

import msgspec

from actors import messages as m
from actors.address import vm_base
from actors.contract import Context

Waiting = list[int] | msgspec.UnsetType
"""Files that wait for an answer."""


class Holder(Protocol):
    """Whoever may hold frames; `owed` are files that wait for his answer."""

    owed: Waiting


def asked(holder: Holder, gmem: int, gone: bool, context: Context) -> None:
    """`gone`: nothing of the file's VM is held, nor will be."""
    if gone:
        context.send(gmem, m.TornDown(), context.link)
    elif holder.owed is msgspec.UNSET:
        holder.owed = [gmem]
    else:
        holder.owed.append(gmem)


def let_go(holder: Holder, vm: int, context: Context) -> None:
    """Nothing of the VM is held any more."""
    if holder.owed is msgspec.UNSET:
        return
    waiting = [gmem for gmem in holder.owed if vm_base(gmem) == vm]
    holder.owed = [gmem for gmem in holder.owed if gmem not in waiting] or msgspec.UNSET
    for gmem in waiting:
        context.send(gmem, m.TornDown(), context.link)
