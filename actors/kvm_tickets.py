"""Tickets at a KVM MMU's mmu_lock: the number of who waits, times TICKETS, plus its kind."""

# A walk of a conversion, INV_BEGIN and an ACCEPT's level take the lock for writing, a page fault for reading.
WALK, FAULT, FREEZE, ACCEPT = range(4)
TICKETS = 4
