"""Tickets at a guest_memfd's invalidate lock: the number of who waits, times TICKETS, plus its kind."""

# A conversion, the last close and a hole take the lock exclusively, faults of guest and host share it.
CONVERSION, GUEST_FAULT, HOST_FAULT, RELEASE, PUNCH = range(5)
TICKETS = 5
READERS = {GUEST_FAULT: "a page fault", HOST_FAULT: "a fault of the host's"}
