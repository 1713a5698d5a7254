"""I20: what is had of a host's pools, pages and descriptors of the invalidation queue, against what goes back."""

from itertools import islice
from typing import TYPE_CHECKING

from actors import observations as o
from actors.contract import Share

if TYPE_CHECKING:
    from workloads.checkers.operation import Operation
    from workloads.checkers.shadow import Shadow

PRIVATE = Share.PRIVATE  # a member is slow to look up


class PoolBooks:
    """Of one VM: the pages that it has had and that have not come back, by the allocator's word.

    `owed` are those that its conversions say they give back, and that are on their way.
    """

    __slots__ = ("had", "owed")

    def __init__(self, had: int = 0) -> None:
        self.had = had
        self.owed = 0

    def returned(self, fact: o.PagesReturned) -> None:
        """They are in the pool."""
        self.had -= fact.pages
        if fact.op >= 0:
            self.owed -= fact.pages


def unsettled(op: "Operation") -> str | None:
    """When a conversion ends: what it has reserved is in use, or has been given back."""
    if not op.pages:
        return None
    return f"{op.pages} pages that were reserved for the conversion are not in use, nor given back"


def i20_returned(shadow: "Shadow", fact: o.PagesReturned) -> str | None:
    """Before: nobody gives back what he has not got, nor a conversion more than it says."""
    pool = shadow.pool
    if fact.pages > pool.had:
        return f"{fact.pages} pages go back to the host's pool, and the VM has {pool.had} of it"
    if fact.op >= 0 and fact.pages > pool.owed:
        return f"{fact.pages} pages go back for a conversion that has settled {pool.owed}"
    return None


def i20_slots(shadow: "Shadow", fact: o.IotlbQueued) -> str | None:
    """Descriptors are those of conversions to private; who has committed has given his back before he queues."""
    if not fact.depth:
        return None
    given = any(op.settled and op.covers(fact.start, fact.end) for op in shadow.operations.values())
    begun = (op for each in shadow.neighbours for op in each.operations.values())
    takers = (op for op in begun if op.begin.to is PRIVATE)
    may = sum(1 for _ in islice(takers, fact.depth + given)) - given  # no more than it takes
    if fact.depth <= may:
        return None
    return f"{fact.depth} descriptors of the invalidation queue are taken, and {may} conversions may have one"
