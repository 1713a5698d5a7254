"""What messages say of memory, in gfns, and how a conversion's attempts are numbered."""

from actors.contract import Place

ATTEMPT_BITS, TRY_BITS = (
    16,
    12,
)  # of them; above tries, how often a memory fault has asked for it before

Mapped = tuple[int, int, int]
"""(first gfn, the one after the last, leaf level)"""

Parts = tuple[Place, ...]
"""Which parts of a message's range it is about; none: all of it."""
