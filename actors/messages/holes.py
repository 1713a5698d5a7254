"""Holes in guest_memfd: memory that a guest gives up."""

from actors.contract import Message, Reason, Share, Trace


class GiveUp(Message, frozen=True, tag=76):
    """Load -> guest: the balloon takes this range; whoever uses it again has to accept it anew."""

    task: int
    start: int
    end: int


class PunchHole(Message, frozen=True, tag=77):
    """Guest -> VMM (gfn), VMM -> guest_memfd (index): fallocate(PUNCH_HOLE) over whole pages of the file."""

    op: int
    start: int
    end: int


class HolePunched(Message, frozen=True, tag=78):
    """guest_memfd -> VMM -> guest: NONE, or why the memory is still there."""

    op: int
    reason: Reason


class Zap(Message, frozen=True, tag=79):
    """guest_memfd -> KVM: begin an invalidation and unmap the range, which cannot be refused.

    `to` is the other side, as in Commit; so are `trace` and `bugs`.
    """

    gmem: int
    op: int
    start: int
    end: int
    trace: Trace
    bugs: bool
    to: Share = Share.SHARED


class NotZapped(Message, frozen=True, tag=80):
    """KVM -> guest_memfd: a bug; these pages are still mapped and must never be used again. Before Zapped."""

    op: int
    start: int
    end: int


class Zapped(Message, frozen=True, tag=81):
    """KVM -> guest_memfd: nothing else of the range is mapped."""

    op: int


class ZapEnd(Message, frozen=True, tag=82):
    """guest_memfd -> KVM: the folios are gone, end the invalidation."""

    op: int


class ZapEnded(Message, frozen=True, tag=83):
    """KVM -> guest_memfd."""

    op: int


class TakeFrames(Message, frozen=True, tag=84):
    """guest_memfd -> allocator: these frames (pfn) back for a hole at `gfn`, all or none.

    They make `folios` folios, and take `pages` of the pool for metadata.
    """

    reply_to: int
    ticket: int
    start: int
    end: int
    folios: int
    pages: int
    gfn: int = 0


class FramesTaken(Message, frozen=True, tag=85):
    """Allocator -> guest_memfd: granted, with `pages` of metadata, or somebody else has them."""

    ticket: int
    granted: bool
    pages: int
