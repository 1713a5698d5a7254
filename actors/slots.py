"""Memory slots: which guest frames are which pages of which guest_memfd instance."""

import msgspec


class Slot(msgspec.Struct, frozen=True, array_like=True):
    """`pages` guest frames from `gfn` on are the pages from `index` on of guest_memfd number `gmem`."""

    gfn: int
    pages: int
    gmem: int
    index: int


Slots = tuple[Slot, ...]


def slot_of(slots: Slots, gfn: int) -> Slot:
    """The slot that holds `gfn`; the caller made sure that there is one."""
    for slot in slots:
        if slot.gfn <= gfn < slot.gfn + slot.pages:
            return slot
    raise AssertionError(f"gfn {gfn:#x} is in no memory slot")
