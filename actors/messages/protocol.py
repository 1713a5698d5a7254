"""guest_memfd and its consumers: what a protocol's table can ask for."""

from actors.contract import Consumer, Message, Reason, Share, Trace
from actors.messages.ranges import Mapped, Parts


class Freeze(Message, frozen=True, tag=19):
    """guest_memfd -> KVM: begin an invalidation; faults in the range wait."""

    gmem: int
    op: int
    start: int
    end: int


class Frozen(Message, frozen=True, tag=20):
    """KVM -> guest_memfd."""

    op: int


class Prepare(Message, frozen=True, tag=21):
    """guest_memfd -> consumer: may this range change sides? Allocate, split, check; unmap nothing.

    `waits`: a reference that is there after the LRU batches were drained may go within the freeze budget; else one look
    decides. `early`: unmap now and keep a list to map again from. `busy_bugs`: a SEAMCALL that is BUSY twice, or fails
    otherwise, is KVM_BUG_ON and not a no. `parts` are on the other side still: whoever counts references counts those
    of these pages. `looks`: KVM, too, says no for what it could not unmap; for a guest with trusted IO, where everybody
    is asked.
    """

    gmem: int
    op: int
    start: int
    end: int
    to: Share
    waits: bool = True
    early: bool = False
    busy_bugs: bool = False
    parts: Parts = ()
    looks: bool = False


class Ready(Message, frozen=True, tag=22):
    """Consumer -> guest_memfd: nothing can stop this consumer from unmapping now."""

    op: int
    consumer: Consumer


class Refused(Message, frozen=True, tag=23):
    """Consumer -> guest_memfd: no. `offset` is the gfn of the page, or of the leaf's part in the range, that refuses.

    To PREPARE: and everything this consumer had begun is undone. To INVALIDATE: and what was unmapped stays so.
    """

    op: int
    consumer: Consumer
    reason: Reason
    offset: int


class Commit(Message, frozen=True, tag=24):
    """guest_memfd -> consumer: unmap the range, prepared or not. It cannot be refused.

    A page that cannot be unmapped for a bug is told of by `trace`, and is KVM_BUG_ON if `bugs`.
    """

    gmem: int
    op: int
    start: int
    end: int
    to: Share
    trace: Trace = Trace.CALLBACK
    bugs: bool = True


class Poison(Message, frozen=True, tag=25):
    """Consumer -> guest_memfd: a bug; these pages were not unmapped and must never be used again.

    A callback, or a flag that guest_memfd finds when it looks, after the last acknowledgement. `injected`: it comes of
    a fault point. KVM, which reports its own KVM_BUG_ON, does not say.
    """

    op: int
    consumer: Consumer
    reason: Reason
    start: int
    end: int
    injected: bool = False


class Committed(Message, frozen=True, tag=26):
    """Consumer -> guest_memfd: done, poison reported before."""

    op: int
    consumer: Consumer


class Abort(Message, frozen=True, tag=27):
    """guest_memfd -> consumer: put back what PREPARE changed; needs no memory and cannot fail."""

    gmem: int
    op: int


class Aborted(Message, frozen=True, tag=28):
    """Consumer -> guest_memfd."""

    op: int
    consumer: Consumer


class Invalidate(Message, frozen=True, tag=59):
    """guest_memfd -> consumer: unmap at once, allocating and splitting on the way; may fail half way.

    `whole`: a boundary leaf that cannot be split is unmapped as a whole. `trace` as in Commit. `listed`: say what you
    have unmapped, for a REMAP may come. `parts` as in Prepare. `refusable`: a no counts, so that what a guest with
    trusted IO holds may stay as it is.
    """

    gmem: int
    op: int
    start: int
    end: int
    to: Share
    whole: bool = False
    trace: Trace = Trace.NONE
    listed: bool = False
    parts: Parts = ()
    refusable: bool = False


class Invalidated(Message, frozen=True, tag=60):
    """Consumer -> guest_memfd: all of it is unmapped; else Refused. `unmapped` is what was there, if it was asked for.

    guest_memfd keeps the list as long as the conversion, and gives it back with a REMAP: no consumer has to.
    """

    op: int
    consumer: Consumer
    unmapped: tuple[Mapped, ...] = ()


class Remap(Message, frozen=True, tag=61):
    """guest_memfd -> consumer: map again what INVALIDATE unmapped, if you can."""

    gmem: int
    op: int
    start: int
    end: int
    to: Share
    unmapped: tuple[Mapped, ...] = ()


class WaitFailed(Message, frozen=True, tag=130):
    """Timer of the IOMMU driver: the wait for the invalidation of an unmap under way ends, and not well."""

    key: int
    reason: Reason


class Remapped(Message, frozen=True, tag=62):
    """Consumer -> guest_memfd: NONE, or why some of it is not mapped again."""

    op: int
    consumer: Consumer
    reason: Reason


class AwaitQuiet(Message, frozen=True, tag=63):
    """guest_memfd -> pins: freeze the folios' reference counts; wait, without bound, for unexpected ones to go.

    `parts` are in folios that change.
    """

    gmem: int
    op: int
    start: int
    end: int
    to: Share
    parts: Parts = ()


class Quiet(Message, frozen=True, tag=64):
    """Pins -> guest_memfd: no reference but the filemap's own."""

    op: int


class Recount(Message, frozen=True, tag=150):
    """guest_memfd -> pins: is there a reference but the filemap's own? One look, after the unmap.

    `parts` as in Prepare.
    """

    gmem: int
    op: int
    start: int
    end: int
    to: Share
    parts: Parts = ()


class Recounted(Message, frozen=True, tag=151):
    """Pins -> guest_memfd: yes or no; `page` (gfn) is the first one with a reference."""

    op: int
    extra: bool
    page: int = -1


class KeepReference(Message, frozen=True, tag=65):
    """Consumer -> guest_memfd and pins: one more reference on the range that nobody will ever drop: its only mark."""

    start: int
    end: int


class Proceed(Message, frozen=True, tag=66):
    """Timer of guest_memfd: the time of a step of its own is over; `event` is what comes of it."""

    op: int
    event: int


class SpinCheck(Message, frozen=True, tag=67):
    """Timer of guest_memfd: does it still wait for references, holding its lock?"""

    op: int


class Thaw(Message, frozen=True, tag=29):
    """guest_memfd -> KVM: end the invalidation; faults in the range go on."""

    gmem: int
    op: int


class Thawed(Message, frozen=True, tag=30):
    """KVM -> guest_memfd."""

    op: int


class PrepareTimeout(Message, frozen=True, tag=31):
    """Timer of guest_memfd: some consumer has not answered PREPARE."""

    op: int
