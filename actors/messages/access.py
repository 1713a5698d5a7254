"""Memory accesses."""

from actors.contract import Message, Reason, Share
from actors.messages.ranges import Parts


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
    `again`: how often the access has faulted here before.
    """

    access: int
    start: int
    end: int
    level: int
    pending: bool
    accept: bool = False
    suspect: bool = False
    again: int = 0


class Release(Message, frozen=True, tag=187):
    """Guest -> TDX module: TDG.MEM.PAGE.RELEASE of these parts of a task's memory, which trusted IO has pinned.

    TDX module -> guest: they are PENDING again.
    """

    vm: int
    task: int
    parts: Parts


class Accessed(Message, frozen=True, tag=39):
    """TDX module or KVM -> guest: outcome of an access (see actors.guest.td.Outcome)."""

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
