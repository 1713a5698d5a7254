"""Every check with its id, what it is about, and when it is held: the table that reports and `gmemsim list` show."""

from collections.abc import Callable
from typing import Any, NamedTuple

from actors import observations as o
from actors.locks.observations import LockAsked, LockLeft, LockWaited
from workloads.checkers import checks as c
from workloads.checkers import counts as n
from workloads.checkers import dma as d
from workloads.checkers import pamt as h
from workloads.checkers import pool as f
from workloads.checkers import progress as p
from workloads.checkers import restored as r
from workloads.checkers import seams as s
from workloads.checkers.admitted import admitting
from workloads.checkers.meanings import MEANINGS


class Check(NamedTuple):
    """One invariant or anomaly; `name` is what it is called in tables."""

    id: str
    name: str
    at_end: Callable[..., str | None] | None = None  # with ConvertEnd and the operation
    on: tuple[
        tuple[type, Callable[..., str | None]], ...
    ] = ()  # with a fact, books not yet changed
    after: tuple[tuple[type, Callable[..., str | None]], ...] = ()  # with a fact, books changed
    refused: Callable[..., str | None] | None = None  # as at_end, where the answer is an error

    @property
    def meaning(self) -> str:
        """What is judged, in a paragraph."""
        return MEANINGS[self.id].text

    @property
    def source(self) -> str:
        """Where it comes from."""
        return MEANINGS[self.id].source

    @property
    def admitted(self) -> tuple[str, ...]:
        """The protocols whose definition allows what the check finds, under some settings."""
        return admitting(self.id)


def _on(test: Callable[[Any, Any], str | None], *kinds: type) -> Any:
    return tuple((kind, test) for kind in kinds)


INVARIANTS = (
    Check("I1", "a private page has no host PTE, shared leaf or IOMMU entry", c.i1,
          (*_on(c.i1_new, o.HostPte, o.Dma), *_on(d.i1_dma, o.DmaDone))),
    Check("I2", "a shared page is in no secure EPT and its frame has no owner", c.i2),
    Check("I3", "a host frame is in one TD's secure EPT at most, at one gfn"),
    Check("I4", "a free frame is mapped nowhere and has no owner",
          on=_on(c.i4_new, o.Leaf, o.HostPte, o.Pinned)),
    Check("I5", "every page has exactly one folio, or is poisoned or in a hole", c.i5),
    Check("I6", "shared pages have folios of order 0", c.i6),
    Check("I7", "no leaf is larger than its folio or mixes shares", c.i7, on=_on(c.i7_new, o.Leaf)),
    Check("I8", "metadata of huge folios is set aside exactly while they are split", r.i8),
    Check("I9", "references add up, and folios are split or merged without foreign ones",
          on=(*_on(n.i9_dropped, o.Pinned), *_on(n.i9_taken, o.Pinned), *_on(n.i9_read, o.CountsRead),
              *_on(n.i9_restructured, o.FolioOrder), *_on(n.i9_waits, o.GupWaits)), refused=n.i9_thawed),
    Check("I10", "after a failure shareability, folios and stash are as before", refused=r.i10),
    Check("I11", "after a failure every mapped secure EPT entry is mapped", refused=r.i11),
    Check("I12", "after the decision to commit only a bug can fail, and READY can be kept",
          on=(*_on(c.i12, o.ConsumerReplied), *_on(c.i12_bugged, o.VmBugged),
              *_on(s.i12_seamcall, o.SeamcallAnswered))),
    Check("I13", "accepted pages are mapped whenever no conversion is under way", c.i13),
    Check("I14", "invalidations end with their operation, and cover what it restructures", c.i14,
          on=(*_on(c.i14_changed, o.FolioOrder), *_on(s.i14_parked, o.FaultParked))),
    Check("I15", "locks are taken from the outside in, and where they are due",
          on=(*_on(c.i15, LockAsked, LockWaited),
              *_on(c.i15_invalidation, o.InvalidationBegin, o.InvalidationEnd))),
    Check("I16", "no translation outlives an unmap: TRACK and exits, TLB flush, IOTLB wait",
          on=(*_on(s.i16, o.SeamcallAnswered), *_on(s.i16_given_up, o.VmBugged, o.ConsumerReplied),
              *_on(s.i16_let_in, o.VcpusKept),
              *_on(s.i16_entered, o.GuestAccepted, o.GuestAccess), *_on(c.i16_flushed, o.ShareStored),
              *_on(c.i16_cached, o.ShareStored, o.Punched),
              *_on(s.i16_iotlb, o.ShareStored), *_on(s.i16_acknowledged, o.ConsumerReplied))),
    Check("I17", "a leaf is installed only where the attribute allows its kind",
          on=(*_on(c.i17, o.Leaf), *_on(s.i17_stored, o.ShareStored))),
    Check("I18", "callbacks to no-fail callers and exit paths never return an error",
          on=_on(c.i18, o.NotifierError)),
    Check("I19", "what could not be unmapped is poisoned as far as its mark goes, and never comes back",
          c.i19_told, on=_on(c.i19, o.Leaf, o.HostPte, o.Dma, o.ShareStored)),
    Check("I20", "pages add up: what secure EPTs map, its PAMT owners and counts, what was reserved", h.i20_at_end,
          on=(*_on(h.i20_paid, o.PamtCounted), *_on(f.i20_returned, o.PagesReturned),
              *_on(f.i20_slots, o.IotlbQueued)), after=_on(h.i20, o.PamtCounted)),
    Check("I21", "bitmap, attribute and device mappings agree at rest", after=_on(d.i21, o.Answered)),
    Check("I22", "success means that the whole range is converted", c.i22),
    Check("I23", "ABORT asks for no memory and does nothing that can fail", on=_on(c.i23, o.Reserving),
          refused=c.i23_failed),
    Check("I24", "a VM of the fleet is on one host at most"),
    Check("I25", "a host boots no more VMs at once than it may"),
    Check("I26", "the mm of a VMM that ends outlives its calls into the kernel, and not its files",
          on=(*_on(p.i26, o.NotifierCalled), *_on(p.i26_begun, o.ConvertBegin), *_on(p.i26_closed, o.FileClosed))),
    Check("I27", "a VM that moves runs on one host at a time"),
    Check("I28", "a VM that moves keeps its memory until another host has it"),
    Check("I29", "a VM that has moved has shared and accepted what it had before"),
    Check("L1", "every conversion is answered"),
    Check("L2", "no lock is held for ever", on=(*_on(p.an9, o.Spinning), *_on(p.l2, LockLeft))),
    Check("L3", "every READY meets exactly one COMMIT or ABORT", c.l3),
    Check("L4", "after ABORT all is as before with nobody's help", refused=r.l4),
    Check("L5", "faults in a frozen range end", on=_on(p.l5, o.FaultParked)),
    Check("L6", "zero-step lists are empty again after progress",
          on=_on(p.l6_bound, o.ReEntered), after=_on(p.l6, o.GuestAccepted, o.GuestAccess)),
    Check("L7", "a refusal names what is in its way, and ends once that is gone",
          on=(*_on(p.l7, o.ReferencesFound), *_on(p.l7_named, o.Failed)), refused=p.l7_answered),
    Check("L8", "a conversion short of memory ends before its VMM does", on=_on(p.l8, o.VmStopped)),
    Check("L9", "every request for a VM is answered, or waits"),
    Check("L10", "every move of a VM comes to an end"),
    Check("L11", "after a move the host without the VM has its memory and its place back"),
    Check("L12", "Little's law holds at every queue"),
)  # fmt: skip

ANOMALIES = (
    Check("AN1", "access before acceptance", on=_on(c.an1, o.GuestAccess)),
    Check("AN2", "DMAR fault after a failed conversion", d.an2_after, _on(d.an2, o.DmarFault)),
    Check("AN3", "S-EPT mapping not restored", refused=r.i11),
    Check("AN4", "shareability not restored", refused=r.an4),
    Check("AN5", "folio missing from the filemap", r.an5),
    Check("AN6", "stash metadata wrong", r.i8),
    Check("AN7", "merge or split status not restored", refused=r.an7),
    Check("AN8", "host PTEs not restored", refused=r.an8),
    Check("AN9", "unbounded spin", on=_on(p.an9, o.Spinning)),
    Check("AN10", "leaked page", on=_on(c.an10, o.FramesKept)),
    Check("AN11", "frame reallocated while in a secure EPT"),
    Check("AN12", "VMM retry livelock", on=_on(p.an12, o.Retried)),
    Check("AN13", "no-fail caller hit by a failing callback", on=_on(c.an13, o.NotifierError)),
    Check("AN14", "OOM reaper met an error but EAGAIN", on=_on(c.an14, o.NotifierError)),
    Check("AN15", "huge mapping lost", refused=r.an15),
    Check("AN16", "partial MapGPA", on=_on(c.an16, o.MapGpaFailed)),
    Check("AN17", "prepared state undone by a racing fault",
          on=(*_on(c.an17, o.PrepareUndone), *_on(c.an17_new, o.Leaf))),
    Check("AN18", "VMM bitmap or device mappings diverge", after=_on(d.an18, o.Answered)),
    Check("AN19", "success reported, range not converted", c.i22),
    Check("AN20", "stale-attribute mapping", c.an20, _on(c.an20_new, o.Leaf)),
    Check("AN21", "folio split under a live huge mapping", on=_on(c.an21, o.FolioOrder)),
    Check("AN22", "partial prefix", refused=r.an22),
    Check("AN23", "innocent bystander stalled",
          on=(*_on(p.an23_lock, o.FaultWaited), *_on(p.an23_parked, o.FaultResumed),
              *_on(p.an23_queue, o.IotlbQueued))),
    Check("AN24", "VM bugged by contention", on=_on(c.an24, o.VmBugged)),
    Check("AN25", "false EAGAIN", refused=r.an25),
    Check("AN26", "lock-order inversion",
          on=(*_on(p.an26, LockAsked, LockWaited),
              *_on(p.an26_invalidation, o.InvalidationBegin, o.InvalidationEnd))),
    Check("AN27", "stale DMA target", on=_on(d.an27, o.DmaDone)),
    Check("AN28", "hardware failure in commit", c.late_at_end,
          (*_on(c.an28, o.VmBugged), *_on(c.late, o.ShareStored))),
)  # fmt: skip
