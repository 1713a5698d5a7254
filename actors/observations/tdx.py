"""The TDX module: S-EPT, SEAMCALLs, the PAMT."""

from actors.contract import Observation


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
    """Status of one batch of SEAMCALLs over a range; `cause` (actors.tdx.states.Cause) is why it is not OK.

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


class AugQueued(Observation, frozen=True, tag=272):
    """The part of an AUG that the TD's vCPUs cannot do side by side waits for those before, then takes `busy`."""

    vm: int
    wait: int
    busy: int


class PamtCounted(Observation, frozen=True, tag=140):
    """The dynamic PAMT counts so many leaves of 4 KiB in each of the 2 MiB regions [start, end) of host memory.

    A region's number is pfn // 512. For this change `pairs` of pages came, or went back (below zero).
    """

    vm: int
    start: int
    end: int
    count: int
    pairs: int
