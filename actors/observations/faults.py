"""A vCPU's fault: it waits, is parked, is tried again, fails."""

from actors.contract import Observation


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
