"""What a guest and its guest_memfd add to the image of a VM that moves."""

from typing import TYPE_CHECKING

import msgspec

from actors.address import AGENT, GMEM, host_base, vm_base
from actors.contract import Context, Share
from actors.fleet.move_messages import Carried, Ranges
from actors.fleet.move_observations import ImageTold
from actors.gmem.folios import HOLE
from actors.intervals import IntervalMap

if TYPE_CHECKING:
    from actors.gmem.inode import Gmem
    from actors.guest.td import Guest


def by_guest(guest: "Guest", message: Carried, context: Context) -> None:
    """What it has accepted. Who is dead goes nowhere."""
    if not guest.dead:
        end = guest.accepted.starts[-1] + 1
        image = msgspec.structs.replace(message.image, accepted=only(guest.accepted, 0, end, 1))
        context.send(guest.vm | GMEM, Carried(image), context.link)


def by_file(gmem: "Gmem", message: Carried, context: Context) -> None:
    """What is shared, what is a hole, and whether all can be read. What changes under way is no image."""
    if gmem.released or gmem.conversions or gmem.punches:
        return
    (binding,) = gmem.bindings  # VMs that come and go have one slot
    first, last = binding.index, binding.index + binding.pages
    shift = binding.gfn - binding.index
    shared = only(gmem.share, first, last, Share.SHARED, shift)
    whole = gmem.poison.only(first, last, 0) and gmem.kept.only(first, last, 0)
    holes = only(gmem.folios, first, last, HOLE, shift)
    image = msgspec.structs.replace(message.image, shared=shared, whole=whole, holes=holes)
    vm = vm_base(gmem.address)
    context.observe(ImageTold(vm, False, shared, image.accepted, holes))
    context.send(host_base(vm) | AGENT, Carried(image), context.link)


def only(table: IntervalMap, first: int, last: int, value: int, shift: int = 0) -> Ranges:
    """Where a map has this value."""
    return tuple((s + shift, e + shift) for s, e, has in table.runs(first, last) if has == value)
