"""Tickets at a KVM MMU's mmu_lock: the number of who waits, times TICKETS, plus its kind."""

# A walk of a conversion and INV_BEGIN take the lock for writing, a page fault for reading.
WALK, FAULT, FREEZE = range(3)
TICKETS = 3
