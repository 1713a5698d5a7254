"""Tickets at a KVM MMU's mmu_lock: the number of who waits, times TICKETS, plus its kind."""

from actors.locks.holders import ACCEPT_OP, FAULT_OP, INVALIDATION_OP, RELEASE_OP
from actors.locks.lock import Told
from actors.messages import ATTEMPT_BITS

# A page fault takes the lock for reading; for writing a walk, the begin and the end of an invalidation, an ACCEPT's
# level, and the last close of a file.
WALK, FAULT, FREEZE, ACCEPT, THAW, TEARDOWN = range(6)
TICKETS = 6
MMU_LOCK = Told("mmu_lock", (0, FAULT_OP, INVALIDATION_OP, ACCEPT_OP, INVALIDATION_OP, RELEASE_OP))

# Requests to convert end in the bits 00, 10 or 11. What ends in 01 is a walk that KVM makes for somebody else, told
# apart by the bit before: an mmu_notifier's callback, or a hole in guest_memfd.
OTHERS, NOTIFIER, HOLE = 0b01, 0b001, 0b101


def converts(op: int) -> bool:
    """Is this the walk of a conversion?"""
    return not op & ACCEPT_OP and op >> ATTEMPT_BITS & 0b11 != OTHERS
