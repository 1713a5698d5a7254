"""The host page allocator."""

from actors.contract import Message, Reason


class Reserve(Message, frozen=True, tag=15):
    """Anyone -> allocator: that many order-0 pages, all or none. `ticket` is the asker's own."""

    reply_to: int
    ticket: int
    pages: int
    vm: int = 0  # on whose behalf, where the asker is no actor of the VM
    op: int = -1  # and for which conversion, where the ticket does not say
    start: int = 0  # for which guest memory (gfn); empty where it is for none in particular
    end: int = 0


class Reserved(Message, frozen=True, tag=16):
    """Allocator -> asker: granted, or the pool cannot serve it."""

    ticket: int
    granted: bool
    reason: Reason = Reason.NO_MEMORY  # of a refusal


class GiveBack(Message, frozen=True, tag=17):
    """Anyone -> allocator: reserved pages that were not used, or are used no more.

    `ticket` is the conversion or walk that had asked for them, -1 where they are not what it settles.
    """

    pages: int
    vm: int
    ticket: int = -1


class FreeMemory(Message, frozen=True, tag=18):
    """guest_memfd -> allocator: these host frames (pfn) may be used again; of a `hole` that may be filled again."""

    start: int
    end: int
    hole: bool = False


class NoHole(Message, frozen=True, tag=256):
    """guest_memfd -> allocator: the file is gone, and with it the hole that might have wanted these frames (pfn)."""

    start: int
    end: int
