"""Tickets at a guest_memfd's invalidate lock: the number of who waits, times TICKETS, plus its kind."""

from actors.locks.holders import FAULT_OP, HOST_FAULT_OP, RELEASE_OP
from actors.locks.lock import Told

# A conversion, the last close and a hole take the lock exclusively, faults of guest and host share it.
CONVERSION, GUEST_FAULT, HOST_FAULT, RELEASE, PUNCH = range(5)
TICKETS = 5
ILOCK = Told("ilock", (0, FAULT_OP, HOST_FAULT_OP, RELEASE_OP, 0))
