"""Facts about locks: who asks, gets one after a wait, and gives it back; and what guests hold in the TDX module.

`lock` is vmm, ilock, mmu_lock; `op` is who: the number of a request, of a conversion or the like (holders.py).
"""

from actors.contract import Observation


class LockAsked(Observation, frozen=True, tag=270):
    """Somebody asks for a lock of the VM's, and has it at once or `waits`."""

    vm: int
    lock: str
    op: int
    waits: bool


class LockWaited(Observation, frozen=True, tag=24):
    """One who had to wait has the lock now (`wait` is 0 if it was free in the same nanosecond again)."""

    vm: int
    lock: str
    op: int
    wait: int


class LockLeft(Observation, frozen=True, tag=271):
    """One who asked for it `took` ago gives the lock back, or (`waits`) goes away without it."""

    vm: int
    lock: str
    op: int
    took: int
    waits: bool = False


class TdxLocked(Observation, frozen=True, tag=291):
    """A TDCALL or VP.ENTER has a lock of the TD's for `took` ns from now on; SeamcallAnswered tells of SEAMCALLs'."""

    vm: int
    lock: str
    by: str
    start: int
    end: int
    took: int
