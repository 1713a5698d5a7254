"""The TD guest: boot, accesses, acceptance, and its end."""

from actors.contract import Observation, Share


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


class Booted(Observation, frozen=True, tag=32):
    """A boot load has finished; `took` runs from the VM's start."""

    vm: int
    took: int


class MemoryTouched(Observation, frozen=True, tag=120):
    """A load has used or accepted the range, side by side on several vCPUs perhaps; `took` runs from its request."""

    vm: int
    start: int
    end: int
    share: Share
    took: int


class AcceptHonoured(Observation, frozen=True, tag=121):
    """KVM took mmu_lock for writing, `takes` times, because the guest accepts the range by 4 KiB."""

    vm: int
    start: int
    end: int
    takes: int


class MemoryRefused(Observation, frozen=True, tag=86):
    """The allocator has no memory for this operation, which has asked for so many pages."""

    vm: int
    op: int
    pages: int


class GuestPanicked(Observation, frozen=True, tag=87):
    """The guest gave up by itself."""

    vm: int


class VmStopped(Observation, frozen=True, tag=33):
    """The VMM gave the VM up, bugged or not: from here on nothing of it is put back. `regular`: it was to exit."""

    vm: int
    regular: bool = False
