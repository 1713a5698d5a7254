"""Facts that actors report. Checkers, metrics and transcripts see these and nothing else.

Names follow docs/domain.md section 12. Ranges are [start, end) in gfn unless a fact says index; `vm` is the VM's base
address, durations are simulated ns. Adding a fact never changes what an actor does.
"""

from actors.contract import Consumer, Observation, Reason, Share

NO_LATENCY = -1


class ConvertBegin(Observation, frozen=True, tag=1):
    """guest_memfd holds its invalidate lock for this conversion (`op`); range in gfn."""

    gmem: int
    op: int
    start: int
    end: int
    to: Share


class ConvertEnd(Observation, frozen=True, tag=2):
    """guest_memfd drops the lock and answers.

    `offset` is the gfn at which it failed, or -1. With `prefix` the batches before that one may be converted, else all
    of the range is promised to be as it was.
    """

    gmem: int
    op: int
    reason: Reason
    offset: int
    redundant: bool
    held: int
    prefix: bool = False


class Decided(Observation, frozen=True, tag=3):
    """The one decision of a two-phase conversion."""

    gmem: int
    op: int
    commit: bool


class ConsumerReplied(Observation, frozen=True, tag=4):
    """A consumer answered PREPARE, COMMIT or ABORT (`phase`) after `took`; NONE means yes or done.

    With a no, `offset` is the gfn that it names.
    """

    gmem: int
    op: int
    phase: str
    consumer: Consumer
    reason: Reason
    took: int
    offset: int = -1


class ShareStored(Observation, frozen=True, tag=5):
    """The attribute of a range (gfn) has this value now."""

    gmem: int
    op: int
    start: int
    end: int
    to: Share


class FolioOrder(Observation, frozen=True, tag=6):
    """Folios of the range (gfn) have this order now; -1: taken out of the filemap."""

    gmem: int
    start: int
    end: int
    order: int


class PoisonSet(Observation, frozen=True, tag=7):
    """guest_memfd will never map, free or convert these pages again (gfn)."""

    gmem: int
    op: int
    start: int
    end: int


class FramesFreed(Observation, frozen=True, tag=8):
    """Host frames (pfn) went back to the allocator; they were the VM's frames from `gfn` on."""

    vm: int
    start: int
    end: int
    gfn: int


class Sept(Observation, frozen=True, tag=9):
    """Entries of the TD's secure EPT have this state and level now, for frames from `pfn` on.

    `owner` is whom the PAMT gives the frames now (a VM's base address, 0 for nobody), -1 where it has not changed.
    """

    vm: int
    start: int
    end: int
    state: int
    level: int
    pfn: int
    owner: int = -1


class SeamcallAnswered(Observation, frozen=True, tag=10):
    """Status of one batch of SEAMCALLs over a range; `cause` (actors.tdx_states.Cause) is why it is not OK.

    The TD's S-EPT tree lock is held for it from now on, for `held`.
    """

    vm: int
    call: int
    start: int
    end: int
    status: int
    op: int
    cause: int = 0
    held: int = 0


class CachesWritten(Observation, frozen=True, tag=303):
    """PHYMEM.PAGE.WBINVD of removed pages: no cache has anything of them under the TD's key."""

    vm: int
    start: int
    end: int


class EpochDrained(Observation, frozen=True, tag=11):
    """After a TRACK every vCPU has been out of the guest."""

    vm: int
    kicked: int
    count: int


class InvalidationBegin(Observation, frozen=True, tag=12):
    """Faults in the range wait from here on, for a conversion, a hole or an mmu_notifier (`op` says whose).

    `locked`: mmu_lock is held for it, for writing.
    """

    vm: int
    op: int
    start: int
    end: int
    locked: bool


class InvalidationEnd(Observation, frozen=True, tag=13):
    """And go on from here; `locked` as before."""

    vm: int
    op: int
    locked: bool


class Leaf(Observation, frozen=True, tag=14):
    """KVM has (`level` 1 or 2: 4 KiB, 2 MiB) or no longer has (0) leaves for the range, in mirror or shared EPT.

    `op` is the walk that has zapped them.
    """

    vm: int
    start: int
    end: int
    share: Share
    level: int
    op: int = -1


class VcpusKept(Observation, frozen=True, tag=168):
    """No vCPU may enter the guest (`out`) while a SEAMCALL is tried again, or all may once more."""

    vm: int
    out: bool


class TlbFlushed(Observation, frozen=True, tag=167):
    """No vCPU has a translation any more that this walk has taken from the shared EPT."""

    vm: int
    op: int


class HostPte(Observation, frozen=True, tag=15):
    """The VMM's page tables map the range, or no longer do."""

    vm: int
    start: int
    end: int
    present: bool


class Pinned(Observation, frozen=True, tag=16):
    """A long-lived reference was taken on the range, or dropped."""

    vm: int
    start: int
    end: int
    held: bool


class Dma(Observation, frozen=True, tag=17):
    """A listener's IOMMU domain maps the range, or no longer does; IOTLB invalidation included."""

    vm: int
    start: int
    end: int
    mapped: bool
    listener: int = 0


class IotlbQueued(Observation, frozen=True, tag=18):
    """An invalidation of a range of the VM entered the unit's queue behind `depth` others and waited `wait`.

    Its driver waits for `took` in all, from now: until the wait descriptor completes, or it gives up. It is in the
    queue `ready` from now, and has the unit `busy` after its wait. `queue` is the host's, or the VM's own, by whose
    base address it is.
    """

    queue: int
    depth: int
    wait: int
    vm: int
    start: int
    end: int
    took: int = 0
    ready: int = 0
    busy: int = 0


class Bitmap(Observation, frozen=True, tag=19):
    """The VMM believes the range to be on this side."""

    vm: int
    start: int
    end: int
    to: Share


class GuestAccepted(Observation, frozen=True, tag=20):
    """The guest accepted the range as private memory, by this access."""

    vm: int
    start: int
    end: int
    access: int = -1


class GuestReleased(Observation, frozen=True, tag=186):
    """The guest has released the range: it is accepted no more, and the host may block it (trusted IO)."""

    vm: int
    start: int
    end: int


class GuestAccess(Observation, frozen=True, tag=21):
    """A vCPU used the range; `ok` is False when it met a page that was never accepted. `access` of private memory."""

    vm: int
    start: int
    end: int
    share: Share
    ok: bool
    access: int = -1


class MapGpaFailed(Observation, frozen=True, tag=22):
    """One MapGPA call returned an error after `converted` pages had changed sides."""

    vm: int
    start: int
    end: int
    converted: int


class VmBugged(Observation, frozen=True, tag=23):
    """KVM_BUG_ON: the VM will not run again. `injected`: the failure is a fault point's; contention is nobody's."""

    vm: int
    site: str
    reason: Reason
    injected: bool


class AugQueued(Observation, frozen=True, tag=272):
    """The part of an AUG that the TD's vCPUs cannot do side by side waits for those before, then takes `busy`."""

    vm: int
    wait: int
    busy: int


class Reserving(Observation, frozen=True, tag=26):
    """The allocator is asked for memory by an actor (`asker` is its address) for a conversion, or for a fault."""

    vm: int
    op: int
    pages: int
    asker: int


class Requested(Observation, frozen=True, tag=27):
    """The VMM took on a request, `late` after it was due, or a dead VM was asked for one."""

    vm: int
    request: int
    to: Share
    late: int = 0


class Retried(Observation, frozen=True, tag=28):
    """The VMM tries a request again, for the `attempt`-th time; for the `stuck`-th since it came any further."""

    vm: int
    request: int
    attempt: int
    stuck: int


class Answered(Observation, frozen=True, tag=29):
    """A request is over: `latency` runs from when it was due; NO_LATENCY if the VM was dead before."""

    vm: int
    request: int
    start: int
    end: int
    to: Share
    reason: Reason
    redundant: bool
    latency: int


class Failed(Observation, frozen=True, tag=30):
    """One attempt of a conversion failed: where, at whom and why, and at which gfn (-1: at none)."""

    vm: int
    op: int
    phase: str
    consumer: str
    reason: Reason
    offset: int = -1


class HugeLost(Observation, frozen=True, tag=31):
    """2 MiB mappings that were split for a conversion, by how many; nothing promotes them again."""

    vm: int
    op: int
    leaves: int


class Booted(Observation, frozen=True, tag=32):
    """A boot load has finished; `took` runs from the VM's start."""

    vm: int
    took: int


class VmStopped(Observation, frozen=True, tag=33):
    """The VMM gave the VM up, bugged or not: from here on nothing of it is put back. `regular`: it was to exit."""

    vm: int
    regular: bool = False


class VmmKilled(Observation, frozen=True, tag=185):
    """SIGKILL: the VMM's bitmap is gone with it. VmStopped follows."""

    vm: int


class Stashed(Observation, frozen=True, tag=34):
    """The metadata of the huge folios in the range (gfn) is kept aside (`present`) or taken back."""

    gmem: int
    start: int
    end: int
    present: bool


class Spinning(Observation, frozen=True, tag=35):
    """guest_memfd has waited `waited` ns for references to go, holding its lock, and goes on waiting."""

    gmem: int
    op: int
    waited: int


class LeftMapped(Observation, frozen=True, tag=36):
    """A consumer could not unmap the range after the point of no return; `trace` is how it left word of it."""

    vm: int
    op: int
    start: int
    end: int
    trace: int
    consumer: Consumer = Consumer.KVM_MMU


class ReferenceKept(Observation, frozen=True, tag=37):
    """A reference that nobody will ever drop was taken on the range."""

    vm: int
    start: int
    end: int


class ReferencesFound(Observation, frozen=True, tag=38):
    """A conversion was refused for references; `transient` when all of them go by themselves soon.

    `page` (gfn) is the first one that has one.
    """

    vm: int
    op: int
    start: int
    end: int
    transient: bool
    page: int


class PrepareUndone(Observation, frozen=True, tag=39):
    """COMMIT met a boundary leaf, or a mapping, that was not there when this consumer said READY."""

    vm: int
    op: int
    start: int
    end: int


class NoReturn(Observation, frozen=True, tag=40):
    """From here on the conversion has nothing that may fail (the point of no return where nobody decides)."""

    gmem: int
    op: int


class UndoFailed(Observation, frozen=True, tag=41):
    """A step of an undo failed; the kernel would leave a WARNING (`what`: readd, store or restructure)."""

    gmem: int
    op: int
    what: str


class FramesKept(Observation, frozen=True, tag=42):
    """Host frames (pfn) of a file that is gone did not go back to the allocator; they were the VM's from `gfn` on."""

    vm: int
    start: int
    end: int
    gfn: int


class VmAdmitted(Observation, frozen=True, tag=187):
    """The host has given the place of a VM that is gone (`before`, 0 for a new place) to this one.

    FramesReused says on what frames.
    """

    vm: int
    before: int


class FramesReused(Observation, frozen=True, tag=43):
    """The allocator gave frames (pfn) of the host that had been freed to somebody else."""

    host: int
    start: int
    end: int


class FramesTaken(Observation, frozen=True, tag=165):
    """The allocator gave guest_memfd frames (pfn) for a hole; they are the VM's from `gfn` on.

    With `pages` of its pool for the metadata of split folios.
    """

    vm: int
    start: int
    end: int
    gfn: int
    pages: int = 0


class FrameOwned(Observation, frozen=True, tag=166):
    """The TDX module refused to map `pfn` at `start` of this range (gfn): the PAMT gives it an owner already."""

    vm: int
    start: int
    end: int
    op: int
    pfn: int


class NotifierCalled(Observation, frozen=True, tag=60):
    """A caller of actors.notifier_sites (`site` is its label) begins to invalidate a range of the VMM's mm."""

    vm: int
    site: str
    start: int
    end: int


class NotifierError(Observation, frozen=True, tag=61):
    """The callback returned an error to its caller; `no_fail` callers cannot bear any."""

    vm: int
    site: str
    no_fail: bool
    blocking: bool
    reason: Reason


class MmUnmapped(Observation, frozen=True, tag=62):
    """The mm itself took host PTEs of the range away; no conversion has to put them back."""

    vm: int
    site: str
    start: int
    end: int


class Punched(Observation, frozen=True, tag=63):
    """The range (gfn) is a hole: its folios are about to go, and nothing in it is accepted any more."""

    gmem: int
    start: int
    end: int


class MemoryTouched(Observation, frozen=True, tag=120):
    """A load has used or accepted the range, side by side on several vCPUs perhaps; `took` runs from its request."""

    vm: int
    start: int
    end: int
    share: Share
    took: int


class WalkOvertaken(Observation, frozen=True, tag=302):
    """Under mmu_lock a walk does not find the leaves it came for: another one was first, and left `level` (0: none)."""

    vm: int
    op: int
    start: int
    end: int
    level: int


class AcceptHonoured(Observation, frozen=True, tag=121):
    """KVM took mmu_lock for writing, `takes` times, because the guest accepts the range by 4 KiB."""

    vm: int
    start: int
    end: int
    takes: int


class FaultWaited(Observation, frozen=True, tag=80):
    """A page fault on the range, the guest's or the VMM's, was granted a lock after a wait above zero."""

    vm: int
    start: int
    end: int
    lock: str
    wait: int


class FaultParked(Observation, frozen=True, tag=81):
    """A guest's fault waits for an invalidation of its range to end, for the `times`-th time."""

    vm: int
    access: int
    start: int
    end: int
    times: int


class FaultResumed(Observation, frozen=True, tag=82):
    """The invalidation is over and the fault starts anew, after `waited`."""

    vm: int
    access: int
    start: int
    end: int
    waited: int


class FaultRetried(Observation, frozen=True, tag=300):
    """Under mmu_lock a guest's fault finds what it had looked up outdated, and starts anew.

    `frozen`: an invalidation of its range is under way; else one has ended since, of whatever range.
    """

    vm: int
    access: int
    start: int
    end: int
    frozen: bool


class FaultFailed(Observation, frozen=True, tag=83):
    """The fault cannot be served; the vCPU gives the access up."""

    vm: int
    access: int


class ReEntered(Observation, frozen=True, tag=84):
    """A vCPU executes an access to the range again although its fault installed nothing: zero-stepping looks so."""

    vm: int
    access: int
    start: int
    end: int


class ListEmptied(Observation, frozen=True, tag=85):
    """The TDX module takes the access for one that has come on, and looks closer no more."""

    vm: int
    access: int


class MemoryRefused(Observation, frozen=True, tag=86):
    """The allocator has no memory for this operation, which has asked for so many pages."""

    vm: int
    op: int
    pages: int


class GuestPanicked(Observation, frozen=True, tag=87):
    """The guest gave up by itself."""

    vm: int


class DmaDone(Observation, frozen=True, tag=100):
    """A device has read or written the range; `stale` when only its IOTLB still knew it."""

    vm: int
    start: int
    end: int
    listener: int
    write: bool
    stale: bool


class DmarFault(Observation, frozen=True, tag=101):
    """A device met this range with no translation: a DMAR fault in the host's log, and the DMA is lost."""

    host: int
    vm: int
    start: int
    end: int
    listener: int
    write: bool


class DmaHeld(Observation, frozen=True, tag=102):
    """A stream of DMA stood still for `wait` while the VMM moved its window."""

    vm: int
    wait: int


class SideDiscarded(Observation, frozen=True, tag=103):
    """With two backends: the VMM gave up this side's pages of the range; who still maps them has stale ones."""

    vm: int
    start: int
    end: int
    side: Share


class PamtCounted(Observation, frozen=True, tag=140):
    """The dynamic PAMT counts so many leaves of 4 KiB in each of the 2 MiB regions [start, end) of host memory.

    A region's number is pfn // 512. For this change `pairs` of pages came, or went back (below zero).
    """

    vm: int
    start: int
    end: int
    count: int
    pairs: int


class CountsRead(Observation, frozen=True, tag=170):
    """Reference counts of the folios at the range, summed over its pages: `extra` above the filemap's own."""

    vm: int
    op: int
    start: int
    end: int
    extra: int


class CountsThawed(Observation, frozen=True, tag=210):
    """References on what a conversion had frozen may grow again: it is aborted, or over and somebody waits."""

    vm: int
    op: int


class GupWaits(Observation, frozen=True, tag=211):
    """Somebody who wants a reference on the range waits, for its counts are frozen.

    By conversion `op` before its decision; after that (-1) by whichever guest_memfd says that it is not over.
    """

    vm: int
    op: int
    start: int
    end: int


class MemoryFailed(Observation, frozen=True, tag=141):
    """A frame of the folio at the range (gfn) is bad: nobody maps it any more, and its contents are lost."""

    gmem: int
    start: int
    end: int


class FileClosed(Observation, frozen=True, tag=161):
    """The last close of a guest_memfd: its VM's memory is nobody's from here on, but for what still maps it."""

    gmem: int


class PagesReturned(Observation, frozen=True, tag=212):
    """So many pages that the VM had of the host's pool are in it again.

    Of what conversion `op` had reserved and not used, or (-1) for any other reason.
    """

    vm: int
    op: int
    pages: int


class ReserveSettled(Observation, frozen=True, tag=162):
    """Of the pages that an actor had reserved for a conversion `used` are in use from here on, `returned` go back.

    Below zero: so many that were in use before go back as well, or stand in for what was asked for.
    """

    gmem: int
    op: int
    used: int
    returned: int


class FaultStruck(Observation, frozen=True, tag=175):
    """The fault plan made this point fail, with this class: a failure that nothing in the simulated host led to.

    What the opportunity was about is told (gfn) where it is known; elsewhere `start` is `end`. `op` is the number that
    the opportunity has: a conversion's, an access's, or a ticket.
    """

    vm: int
    op: int
    point: str
    reason: Reason
    start: int
    end: int


class ErrorDropped(Observation, frozen=True, tag=176):
    """An error that `consumer` met while `phase`, and that nobody hears of: the protocol, or its VMM, goes on."""

    vm: int
    op: int
    consumer: str
    phase: str
    reason: Reason
