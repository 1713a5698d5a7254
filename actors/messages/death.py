"""Death."""

from actors.contract import Message, Trace
from actors.messages.ranges import Parts


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
