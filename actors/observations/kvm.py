"""KVM's MMU: leaves, invalidations, kicks."""

from actors.contract import Consumer, Observation, Share


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


class HugeLost(Observation, frozen=True, tag=31):
    """2 MiB mappings that were split for a conversion, by how many; nothing promotes them again."""

    vm: int
    op: int
    leaves: int


class VcpusKept(Observation, frozen=True, tag=168):
    """No vCPU may enter the guest (`out`) while a SEAMCALL is tried again, or all may once more."""

    vm: int
    out: bool


class EpochDrained(Observation, frozen=True, tag=11):
    """After a TRACK every vCPU has been out of the guest."""

    vm: int
    kicked: int
    count: int


class TlbFlushed(Observation, frozen=True, tag=167):
    """No vCPU has a translation any more that this walk has taken from the shared EPT."""

    vm: int
    op: int


class LeftMapped(Observation, frozen=True, tag=36):
    """A consumer could not unmap the range after the point of no return; `trace` is how it left word of it."""

    vm: int
    op: int
    start: int
    end: int
    trace: int
    consumer: Consumer = Consumer.KVM_MMU


class WalkOvertaken(Observation, frozen=True, tag=302):
    """Under mmu_lock a walk does not find the leaves it came for: another one was first, and left `level` (0: none)."""

    vm: int
    op: int
    start: int
    end: int
    level: int


class ListEmptied(Observation, frozen=True, tag=85):
    """The TDX module takes the access for one that has come on, and looks closer no more."""

    vm: int
    access: int


class ReEntered(Observation, frozen=True, tag=84):
    """A vCPU executes an access to the range again although its fault installed nothing: zero-stepping looks so."""

    vm: int
    access: int
    start: int
    end: int
