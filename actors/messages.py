"""Every message, in the order in which a conversion meets them. Ranges are [start, end) in pages of 4 KiB.

`start` and `end` are guest frame numbers (gfn) except where a message says index (page offset in the guest_memfd).
`op` names one attempt of one conversion: the request's number << 16 | the attempt. Tags are stable for ever.
"""

from actors.contract import Consumer, Message, Place, Reason, Share, Trace

ATTEMPT_BITS = 16

Mapped = tuple[int, int, int]
"""(first gfn, the one after the last, leaf level)"""

Parts = tuple[Place, ...]
"""Which parts of a message's range it is about; none: all of it."""


# --- the load and the TD guest -------------------------------------------------------------------


class Tick(Message, frozen=True, tag=1):
    """Timer of the load: the next job of a lane is due."""

    lane: int


class Ask(Message, frozen=True, tag=2):
    """Load -> guest: convert this range; whole (one request at the VMM) or by MapGPA. `since`: intended start.

    Private memory is always accepted afterwards; shared memory is used if `use` says so.
    """

    task: int
    start: int
    end: int
    to: Share
    since: int
    whole: bool
    use: bool


class Touch(Message, frozen=True, tag=3):
    """Load -> guest: use this range as private or shared memory."""

    task: int
    start: int
    end: int
    share: Share


class Online(Message, frozen=True, tag=120):
    """Load -> guest: the guest has brought up its vCPUs; `ticking` of those that run there take timer ticks now."""

    ticking: int


class TaskDone(Message, frozen=True, tag=4):
    """Guest -> load: what became of the task."""

    task: int
    reason: Reason


class MapGpa(Message, frozen=True, tag=5):
    """Guest -> KVM: TDVMCALL MapGPA; KVM cuts it into 2 MiB pieces. The last three name the first (actors.names)."""

    task: int
    start: int
    end: int
    to: Share
    since: int
    piece: int = 0
    again: int = 0
    back: bool = False


class MapGpaDone(Message, frozen=True, tag=6):
    """KVM -> guest: NONE, or what stopped it; `resume` is the first gfn not converted.

    POISONED and DEAD read as INVALID_OPERAND, anything else as TDVMCALL RETRY. `fresh`: nobody was asked for `resume`.
    """

    task: int
    reason: Reason
    resume: int
    fresh: bool = False


# --- the VMM ------------------------------------------------------------------------------------


class ConvertRequest(Message, frozen=True, tag=7):
    """KVM or guest -> VMM: one request, by MapGPA piece, trace line or memory fault. `since`: when it was due."""

    request: int
    start: int
    end: int
    to: Share
    since: int
    reply_to: int


class ConvertAnswer(Message, frozen=True, tag=8):
    """VMM -> whoever asked."""

    request: int
    reason: Reason
    offset: int


class Retry(Message, frozen=True, tag=9):
    """Timer of the VMM: try a request again."""

    request: int


class DropPins(Message, frozen=True, tag=10):
    """VMM -> pins: a cooperative VMM lets go of its own pins over a range before it tries again."""

    start: int
    end: int


class Convert(Message, frozen=True, tag=11):
    """VMM -> guest_memfd: the conversion ioctl. Range in index."""

    op: int
    start: int
    end: int
    to: Share


class Converted(Message, frozen=True, tag=12):
    """guest_memfd -> VMM: rc and error_offset (an index); `redundant` when the range already had the state."""

    op: int
    reason: Reason
    offset: int
    redundant: bool


class DmaMap(Message, frozen=True, tag=13):
    """VMM -> IOMMU driver: map a range that became shared in the domain of one of the VMM's listeners."""

    vm: int
    op: int
    start: int
    end: int
    listener: int = 0


class DmaMapped(Message, frozen=True, tag=14):
    """IOMMU driver -> VMM."""

    op: int
    reason: Reason


# --- host page allocator ------------------------------------------------------------------------


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


# --- guest_memfd and its consumers: what a protocol's table can ask for -------------------------


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


# --- KVM MMU and TDX module ---------------------------------------------------------------------


class Seamcall(Message, frozen=True, tag=32):
    """KVM -> TDX module: one SEAMCALL on each of `count` leaves of the range, as one batch.

    `attempt` is 1 when it is the one retry after BUSY, -1 in ABORT. `pfn` is the frame of `start`, -1 the one it had.
    `pairs` of pages for the dynamic PAMT come with it, for the module to take what it needs.
    """

    vm: int
    ticket: int
    call: int
    start: int
    end: int
    level: int
    count: int
    pfn: int
    op: int
    attempt: int
    pairs: int = 0


class SeamcallDone(Message, frozen=True, tag=33):
    """TDX module -> KVM: status of the batch; `index` is the first leaf that failed, `injected`: by a fault point.

    The dynamic PAMT took `pairs` of pages; below zero, it gave them back.
    """

    ticket: int
    call: int
    status: int
    index: int
    pairs: int = 0
    level: int = 0
    injected: bool = False


class Kick(Message, frozen=True, tag=34):
    """KVM -> guest: every vCPU out of the guest, `count` times over (once for each TRACK).

    `stay`: none may enter again before LetIn (KVM's wait_for_sept_zap).
    """

    ticket: int
    count: int
    stay: bool = False


class LetIn(Message, frozen=True, tag=102):
    """KVM -> guest: the SEAMCALL that had met BUSY is through; vCPUs may enter again."""


class VpExits(Message, frozen=True, tag=35):
    """Guest -> TDX module: every vCPU has left and may enter in the new epoch."""

    vm: int
    ticket: int
    kicked: int


class Kicked(Message, frozen=True, tag=36):
    """TDX module -> KVM: no vCPU is left in an older epoch."""

    ticket: int


# --- memory accesses ----------------------------------------------------------------------------


class Flush(Message, frozen=True, tag=53):
    """KVM -> guest: remote TLB flush of shared mappings on every vCPU."""

    ticket: int


class Flushed(Message, frozen=True, tag=54):
    """Guest -> KVM."""

    ticket: int


class Step(Message, frozen=True, tag=55):
    """Timer of KVM: the time of a step that needs no other actor is over."""

    ticket: int


class VpEnter(Message, frozen=True, tag=56):
    """KVM -> TDX module: a vCPU enters after a fault that installed nothing, or one that is suspicious.

    `elsewhere`: it gives the access up, and goes on with something else.
    """

    vm: int
    access: int
    elsewhere: bool = False


class Honoured(Message, frozen=True, tag=121):
    """Timer of KVM: the level at which the guest accepts is noted, under mmu_lock for writing."""

    access: int


class FaultDone(Message, frozen=True, tag=57):
    """Timer of KVM: a shared mapping is installed."""

    access: int


class FaultScheduled(Message, frozen=True, tag=301):
    """Timer of KVM: the thread of a vCPU that was preempted in a fault runs again."""

    access: int


class Access(Message, frozen=True, tag=37):
    """Guest -> TDX module (private) or KVM (shared): the vCPU's walk; with `accept`, TDG.MEM.PAGE.ACCEPT at `level`.

    `ticking` vCPUs of the TD take timer ticks meanwhile, and get into the way of an ACCEPT.
    """

    vm: int
    access: int
    start: int
    end: int
    level: int
    accept: bool
    ticking: int = 0


class Violation(Message, frozen=True, tag=38):
    """TDX module -> KVM: EPT violation; the range has no entries, or (`pending`) entries nobody accepted.

    `accept`: it came of an ACCEPT, so `level` is the guest's; the entries may also be there and larger than that.
    `suspect`: the module looks for zero-stepping when the vCPU enters again, with the tree lock.
    """

    access: int
    start: int
    end: int
    level: int
    pending: bool
    accept: bool = False
    suspect: bool = False


class Release(Message, frozen=True, tag=187):
    """Guest -> TDX module: TDG.MEM.PAGE.RELEASE of these parts of a task's memory, which trusted IO has pinned.

    TDX module -> guest: they are PENDING again.
    """

    vm: int
    task: int
    parts: Parts


class Accessed(Message, frozen=True, tag=39):
    """TDX module or KVM -> guest: outcome of an access (see actors.guest.Outcome)."""

    access: int
    outcome: int


class GetPfn(Message, frozen=True, tag=40):
    """KVM -> guest_memfd: the folio behind an index range, for a fault of this kind."""

    access: int
    start: int
    end: int
    share: Share


class GotPfn(Message, frozen=True, tag=41):
    """guest_memfd -> KVM: NONE with the smallest folio order of the range and its first pfn, or why not.

    REFERENCES stands for a kind mismatch: the attribute says the other side. POISONED and `failed`: EHWPOISON.
    """

    access: int
    reason: Reason
    order: int
    pfn: int
    failed: bool = False


class HostTouch(Message, frozen=True, tag=42):
    """Guest -> host mapping: a device backend in the VMM reads or writes shared memory."""

    start: int
    end: int


class HostFault(Message, frozen=True, tag=43):
    """Host mapping -> guest_memfd: page fault on an mmap of the file (index); holds ilock until HostFaulted."""

    reply_to: int
    ticket: int
    start: int
    end: int


class HostPage(Message, frozen=True, tag=44):
    """guest_memfd -> host mapping: the page may be installed, or SIGBUS."""

    ticket: int
    allowed: bool


class HostFaulted(Message, frozen=True, tag=45):
    """Host mapping -> guest_memfd: PTEs are installed, the lock may go."""

    ticket: int


class TakePin(Message, frozen=True, tag=46):
    """Load -> pins: GUP, udmabuf or VFIO takes a reference on a range and holds it for `hold` ns."""

    start: int
    end: int
    hold: int


class Unpin(Message, frozen=True, tag=47):
    """Timer of pins: the holder lets go."""

    start: int
    end: int
    pin: int


class AwaitThaw(Message, frozen=True, tag=210):
    """Pins -> guest_memfd: somebody wants a reference on what this conversion, which commits, has frozen."""

    op: int


class ConversionOver(Message, frozen=True, tag=211):
    """guest_memfd -> pins: so it is, and counts are thawed."""

    gmem: int
    op: int


class PinsDecided(Message, frozen=True, tag=48):
    """Timer of pins: a short reference is gone (NONE), or has lasted beyond the freeze budget."""

    gmem: int
    op: int
    start: int
    end: int
    reason: Reason
    offset: int


# --- death --------------------------------------------------------------------------------------


class VmDead(Message, frozen=True, tag=49):
    """KVM -> VMM and guest, VMM -> the rest: the VM is bugged and will not run again."""


class Detach(Message, frozen=True, tag=58):
    """VMM -> IOMMU driver: the VM's devices are closed, its domain goes."""

    vm: int


class ReleaseFile(Message, frozen=True, tag=50):
    """VMM -> guest_memfd: last close of the file."""


class Terminate(Message, frozen=True, tag=224):
    """VMM -> KVM: KVM_TDX_TERMINATE_VM; the HKID goes before the private memory does."""


class Teardown(Message, frozen=True, tag=51):
    """guest_memfd -> who maps or holds its frames: the file is closed, let go; `trace` tells KVM how to leave word."""

    gmem: int
    trace: Trace = Trace.NONE


class TakeOut(Message, frozen=True, tag=220):
    """KVM -> TDX module: take out of the S-EPT what it has of this file's range, at most a batch of it."""

    vm: int
    instance: int
    start: int
    end: int


class TakenOut(Message, frozen=True, tag=221):
    """TDX module -> KVM: it is out, but for the leaves that are `left` for a bug."""

    instance: int
    start: int
    end: int
    left: Parts = ()


class TornDown(Message, frozen=True, tag=52):
    """In answer: all is let go that could be. What KVM could not unmap is owned until the TD is reclaimed."""


class FreeHkid(Message, frozen=True, tag=222):
    """KVM -> TDX module: flush the vCPUs and the caches, and free the HKID. The TD will not run again."""

    vm: int


class HkidFreed(Message, frozen=True, tag=223):
    """TDX module -> KVM."""


class Reclaim(Message, frozen=True, tag=68):
    """KVM -> TDX module: nothing is left to take out, the TD itself is reclaimed, and no frame of it is owned any more.

    TDX module -> allocator, where another VM may be admitted then.
    """

    vm: int


class Admit(Message, frozen=True, tag=188):
    """Allocator -> guest_memfd and load of a VM that comes after another: it may boot, on these frames.

    `frames` are (first index, the one after the last, first pfn); `used` of their pages others have had before.
    """

    frames: tuple[tuple[int, int, int], ...]
    used: int


class HandOver(Message, frozen=True, tag=189):
    """Load of a VM -> load of the one before: give me your place; `to` is 0 in the answer, with how far it has come."""

    to: int
    steps: tuple[int, ...] = ()
    requests: int = 0


# --- mmu_notifiers: everybody else who changes the VMM's page tables -------------------------------


class NotifierCall(Message, frozen=True, tag=70):
    """Load or VMM -> host mapping: a caller of actors.notifier_sites is about to change a range of the VMM's mm.

    `reply_to` is told when it is through; 0 is nobody.
    """

    caller: int
    start: int
    end: int
    reply_to: int = 0


class NotifierDone(Message, frozen=True, tag=71):
    """Host mapping -> whoever wants to know: the caller is through; `reason` is what its callback returned."""

    caller: int
    reason: Reason


class Exit(Message, frozen=True, tag=75):
    """Load -> VMM: the guest has shut down, the VMM exits of its own accord."""


class LifeSlice(Message, frozen=True, tag=185):
    """Timer of the VMM: slice `number` of a conversion's life begins, where a fault plan may end the VMM's own."""

    op: int
    number: int


class Kill(Message, frozen=True, tag=186):
    """Timer of the VMM, or whoever has the right to: SIGKILL."""


class RangeStart(Message, frozen=True, tag=72):
    """Host mapping -> KVM: invalidate_range_start. `may_fail` says whether the mm allows this callback to fail.

    A callback that is not `blocking` should return -EAGAIN rather than wait; one that `protect`s keeps the leaves.
    """

    number: int
    start: int
    end: int
    may_fail: bool
    blocking: bool
    protect: bool


class RangeStarted(Message, frozen=True, tag=73):
    """KVM -> host mapping: the leaves are gone and nobody has a stale translation, or the callback's error."""

    number: int
    reason: Reason


class RangeEnd(Message, frozen=True, tag=74):
    """Host mapping -> KVM: invalidate_range_end; faults in the range go on."""

    number: int


# --- holes in guest_memfd: memory that a guest gives up ------------------------------------------


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


# --- more that loads ask for ---------------------------------------------------------------------


class Write(Message, frozen=True, tag=86):
    """Load -> guest: use a range on whichever side the guest believes it to be by then."""

    task: int
    start: int
    end: int


class UseAlias(Message, frozen=True, tag=101):
    """Load -> guest: use the private alias of a range, whoever may be converting it: `accept` it, or read it."""

    task: int
    start: int
    end: int
    accept: bool


class GetPages(Message, frozen=True, tag=87):
    """Load -> host mapping: get_user_pages on shared memory, for a holder that keeps it for `hold` ns."""

    start: int
    end: int
    hold: int


class LetGo(Message, frozen=True, tag=88):
    """Timer of the load: pages of the host's pool that it holds go back; the VM whose load it was then."""

    pages: int
    vm: int


# --- devices: DMA, and what the VMM maps for them ------------------------------------------------


class DmaAccess(Message, frozen=True, tag=90):
    """Device -> IOMMU: one DMA to this range (iova = gfn) through the domain of a listener of the VMM."""

    vm: int
    start: int
    end: int
    listener: int
    write: bool


class DmaUnmap(Message, frozen=True, tag=91):
    """VMM -> IOMMU driver: unmap a range in one listener's domain, invalidate the IOTLB, wait."""

    vm: int
    op: int
    start: int
    end: int
    listener: int


class DmaUnmapped(Message, frozen=True, tag=92):
    """IOMMU driver -> VMM: NONE; or TIMEOUT, when devices may still have the translation."""

    op: int
    reason: Reason


class StartDma(Message, frozen=True, tag=93):
    """Load -> devices: the pool is shared, begin to use it, or go on (`again`), for the VM that `origin` was."""

    again: bool = False
    origin: int = 0


class StopDma(Message, frozen=True, tag=94):
    """Load -> devices: no DMA from here on."""


class DmaDue(Message, frozen=True, tag=95):
    """Timer of the devices: a stream's next DMA, of this number."""

    stream: int
    number: int = 0


class WindowDue(Message, frozen=True, tag=96):
    """Timer of the devices: a stream is to move its window, for the time of this number."""

    stream: int
    number: int = 0


class MoveWindow(Message, frozen=True, tag=97):
    """Devices -> VMM: unmap this range for the stream's device and map it again; its DMA waits meanwhile."""

    stream: int
    start: int
    end: int
    listener: int


class WindowMoved(Message, frozen=True, tag=98):
    """VMM -> devices."""

    stream: int


class HostDiscard(Message, frozen=True, tag=99):
    """VMM -> host mapping: the shared side's own file has a hole here now; its page table entries are gone."""

    start: int
    end: int


class Discarded(Message, frozen=True, tag=100):
    """Timer of the VMM: the side that memory has left is discarded."""

    op: int


# --- memory that fails ---------------------------------------------------------------------------


class MemoryFailure(Message, frozen=True, tag=140):
    """Load -> guest_memfd: the frame behind a page of the file (index) has an error that cannot be corrected."""

    page: int
