"""The balloon's path through the VMM: what the guest gives up becomes a hole in the file behind it."""

from typing import TYPE_CHECKING

from actors import messages as m
from actors.address import GMEM, GUEST
from actors.contract import Context, Reason
from actors.slots import slot_of

if TYPE_CHECKING:
    from actors.vmm.process import Vmm


def on_punch_hole(vmm: "Vmm", message: m.PunchHole, context: Context) -> None:
    """fallocate on guest_memfd; the conversion lock is not involved, the file's own lock is."""
    if vmm.dead:
        done(vmm, m.HolePunched(message.op, Reason.DEAD), context)
        return
    slot = slot_of(vmm.slots, message.start)
    shift = slot.index - slot.gfn
    call = m.PunchHole(message.op, message.start + shift, message.end + shift)
    context.send(vmm.vm | GMEM | slot.gmem, call, context.cost("vmm_overhead"))


def done(vmm: "Vmm", message: m.HolePunched, context: Context) -> None:
    """The balloon device answers its guest."""
    context.send(vmm.vm | GUEST, message, context.link)
