"""What messages say of memory, in gfns, and how a conversion's attempts are numbered."""

from actors.contract import Place

ATTEMPT_BITS = 16

Mapped = tuple[int, int, int]
"""(first gfn, the one after the last, leaf level)"""

Parts = tuple[Place, ...]
"""Which parts of a message's range it is about; none: all of it."""
