"""Tickets at a KVM MMU's mmu_lock: the number of who waits, times TICKETS, plus its kind."""

from actors.messages import ATTEMPT_BITS

# A page fault takes the lock for reading; for writing a walk, the begin and the end of an invalidation, an ACCEPT's
# level, and the last close of a file.
WALK, FAULT, FREEZE, ACCEPT, THAW, TEARDOWN = range(6)
TICKETS = 6
BESIDE = {FAULT: "a page fault", ACCEPT: "an ACCEPT"}  # beside what LockOrder tells of
MMU_LOCK_RANK = 2  # docs/domain.md section 2.9: inside ilock

# Requests to convert end in the bits 00, 10 or 11. What ends in 01 is a walk that KVM makes for somebody else, told
# apart by the bit before: an mmu_notifier's callback, or a hole in guest_memfd.
OTHERS, NOTIFIER, HOLE = 0b01, 0b001, 0b101


# The number of a split for an ACCEPT: this bit and the access. No conversion's number reaches it (actors.names).
ACCEPT_OP = 1 << 60
# A page fault at the allocator: this bit and the access.
FAULT_MEMORY = 1 << 61
# What a last close is called in facts about locks: this bit and the file's instance.
RELEASE_OP = 1 << 62


def converts(op: int) -> bool:
    """Is this the walk of a conversion?"""
    return not op & ACCEPT_OP and op >> ATTEMPT_BITS & 0b11 != OTHERS
