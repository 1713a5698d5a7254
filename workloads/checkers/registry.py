"""Every check with its id, what it is about, and when it is held: the table that reports and `gmemsim list` show."""

from collections.abc import Callable
from typing import Any, NamedTuple

from actors import observations as o
from workloads.checkers import checks as c
from workloads.checkers.admitted import admitting


class Check(NamedTuple):
    """One invariant or anomaly."""

    id: str
    meaning: str
    at_end: Callable[..., str | None] | None = None  # with ConvertEnd and the operation
    on: tuple[
        tuple[type, Callable[..., str | None]], ...
    ] = ()  # with a fact, books not yet changed
    after: tuple[tuple[type, Callable[..., str | None]], ...] = ()  # with a fact, books changed

    @property
    def admitted(self) -> tuple[str, ...]:
        """The protocols whose definition allows what the check finds."""
        return admitting(self.id)


def _on(test: Callable[[Any, Any], str | None], *kinds: type) -> Any:
    return tuple((kind, test) for kind in kinds)


INVARIANTS = (
    Check("I1", "a private page has no host PTE, shared leaf or IOMMU entry", c.i1, _on(c.i1_new, o.HostPte, o.Dma)),
    Check("I2", "a shared page is in no secure EPT", c.i2),
    Check("I3", "a host frame is in one TD's secure EPT at most, at one gfn"),
    Check("I4", "a free frame is mapped nowhere"),
    Check("I5", "every page has exactly one folio, or is poisoned or in a hole", c.i5),
    Check("I6", "shared pages have folios of order 0", c.i6),
    Check("I7", "no leaf is larger than its folio or mixes shares", c.i7),
    Check("I10", "after a failure shareability and folios are as before", c.i10),
    Check("I11", "after a failure every mapped secure EPT entry is mapped", c.i11),
    Check("I12", "after the decision to commit nobody refuses", on=_on(c.i12, o.ConsumerReplied)),
    Check("I13", "accepted pages are mapped whenever no conversion is under way", c.i13),
    Check("I14", "invalidations end with their conversion", c.i14),
    Check("I15", "locks are taken from the outside in", on=_on(c.i15, o.LockOrder)),
    Check("I16", "REMOVE and DEMOTE follow TRACK and a round of exits", on=_on(c.i16, o.SeamcallAnswered)),
    Check("I17", "a leaf is installed only where the attribute allows its kind", on=_on(c.i17, o.Leaf)),
    Check("I18", "callbacks to no-fail callers and exit paths never return an error",
          on=_on(c.i18, o.NotifierError)),
    Check("I19", "poisoned pages never come back", on=_on(c.i19, o.Leaf, o.HostPte, o.Dma, o.ShareStored)),
    Check("I22", "success means that the whole range is converted", c.i22),
    Check("I23", "ABORT asks for no memory", on=_on(c.i23, o.Reserving)),
    Check("L1", "every conversion is answered"),
    Check("L3", "every READY meets one COMMIT or ABORT", c.l3),
)  # fmt: skip

ANOMALIES = (
    Check("AN1", "access before acceptance", on=_on(c.an1, o.GuestAccess)),
    Check("AN3", "S-EPT mapping not restored", c.i11),
    Check("AN4", "shareability not restored", c.an4),
    Check("AN7", "merge or split status not restored", c.an7),
    Check("AN8", "host PTEs not restored", c.an8),
    Check("AN11", "frame reallocated while in a secure EPT"),
    Check("AN12", "VMM retry livelock", on=_on(c.an12, o.Retried)),
    Check("AN13", "no-fail caller hit by a failing callback", on=_on(c.an13, o.NotifierError)),
    Check("AN14", "OOM reaper met an error but EAGAIN", on=_on(c.an14, o.NotifierError)),
    Check("AN15", "huge mapping lost", c.an15),
    Check("AN16", "partial MapGPA", on=_on(c.an16, o.MapGpaFailed)),
    Check("AN18", "VMM bitmap or device mappings diverge", after=_on(c.an18, o.Answered)),
    Check("AN19", "success reported, range not converted", c.i22),
    Check("AN24", "VM bugged by contention", on=_on(c.an24, o.VmBugged)),
    Check("AN28", "hardware failure in commit", on=_on(c.an28, o.VmBugged)),
)  # fmt: skip
