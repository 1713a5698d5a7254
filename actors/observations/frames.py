"""guest_memfd and the host's allocator: folios, frames, reserves, holes, memory that fails."""

from actors.contract import Observation


class FolioOrder(Observation, frozen=True, tag=6):
    """Folios of the range (gfn) have this order now; -1: taken out of the filemap."""

    gmem: int
    start: int
    end: int
    order: int


class Stashed(Observation, frozen=True, tag=34):
    """The metadata of the huge folios in the range (gfn) is kept aside (`present`) or taken back."""

    gmem: int
    start: int
    end: int
    present: bool


class PoisonSet(Observation, frozen=True, tag=7):
    """guest_memfd will never map, free or convert these pages again (gfn)."""

    gmem: int
    op: int
    start: int
    end: int


class Reserving(Observation, frozen=True, tag=26):
    """The allocator is asked for memory by an actor (`asker` is its address) for a conversion, or for a fault."""

    vm: int
    op: int
    pages: int
    asker: int


class ReserveSettled(Observation, frozen=True, tag=162):
    """Of the pages that an actor had reserved for a conversion `used` are in use from here on, `returned` go back.

    Below zero: so many that were in use before go back as well, or stand in for what was asked for.
    """

    gmem: int
    op: int
    used: int
    returned: int


class PagesReturned(Observation, frozen=True, tag=212):
    """So many pages that the VM had of the host's pool are in it again.

    Of what conversion `op` had reserved and not used, or (-1) for any other reason.
    """

    vm: int
    op: int
    pages: int


class FramesFreed(Observation, frozen=True, tag=8):
    """Host frames (pfn) went back to the allocator; they were the VM's frames from `gfn` on."""

    vm: int
    start: int
    end: int
    gfn: int


class FramesKept(Observation, frozen=True, tag=42):
    """Host frames (pfn) of a file that is gone did not go back to the allocator; they were the VM's from `gfn` on."""

    vm: int
    start: int
    end: int
    gfn: int


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


class FramesReused(Observation, frozen=True, tag=43):
    """The allocator gave frames (pfn) of the host that had been freed to somebody else."""

    host: int
    start: int
    end: int


class VmAdmitted(Observation, frozen=True, tag=187):
    """The host has given the place of a VM that is gone (`before`, 0 for a new place) to this one.

    FramesReused says on what frames.
    """

    vm: int
    before: int


class Punched(Observation, frozen=True, tag=63):
    """The range (gfn) is a hole: its folios are about to go, and nothing in it is accepted any more."""

    gmem: int
    start: int
    end: int


class FileClosed(Observation, frozen=True, tag=161):
    """The last close of a guest_memfd: its VM's memory is nobody's from here on, but for what still maps it."""

    gmem: int


class MemoryFailed(Observation, frozen=True, tag=141):
    """A frame of the folio at the range (gfn) is bad: nobody maps it any more, and its contents are lost."""

    gmem: int
    start: int
    end: int
