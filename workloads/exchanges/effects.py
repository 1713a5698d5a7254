"""What a message changed, in a few words: from the facts that its receiver reports."""

from collections.abc import Callable
from typing import Any

from actors import observations as o
from actors.contract import ERRNO, Observation, Reason, Trace
from actors.tdx.states import Entry

SIZES = {0: "", 1: " 4K", 2: " 2M", 3: " 1G"}
ORDERS = {0: "4K", 9: "2M", 18: "1G"}


def effect(fact: Observation) -> str:
    """A fact in a few words, or nothing."""
    words = WORDS.get(type(fact))
    return words(fact) if words else ""


def where(name: str, yes: str, no: str, field: str) -> Callable[[Any], str]:
    """`host PTEs 0x10..0x14 gone`."""
    return lambda fact: f"{name} {span(fact)} {yes if getattr(fact, field) else no}"


def errno(reason: Reason) -> str:
    """ENOMEM and the like."""
    return ERRNO[reason] if reason else "success"


def pfns(record: Any) -> str:
    """A range of host frames."""
    return f"pfn {span(record)}"


def span(record: Any) -> str:
    """A range."""
    return f"{record.start:#x}..{record.end:#x}"


LEFT = {
    Trace.NONE: "tells nobody",
    Trace.REFERENCE: "keeps a reference",
    Trace.CALLBACK: "calls back",
    Trace.FLAG: "sets a flag",
}
# Facts that say what a message changed; all others repeat what the line says already.
WORDS: dict[type, Callable[[Any], str]] = {
    o.Decided: lambda fact: "decision: " + ("COMMIT" if fact.commit else "ABORT"),
    o.NoReturn: lambda _: "point of no return",
    o.ShareStored: lambda fact: f"attribute {span(fact)} {fact.to.name.lower()}",
    o.Bitmap: lambda fact: f"bitmap {span(fact)} {fact.to.name.lower()}",
    o.Sept: lambda fact: f"S-EPT {span(fact)}{SIZES[fact.level]} {Entry(fact.state).name}",
    o.Leaf: lambda fact: (
        f"{fact.share.name.lower()} leaves {span(fact)}{SIZES[fact.level] or ' none'}"
    ),
    o.HugeLost: lambda fact: f"2M leaves lost: {fact.leaves}",
    o.EpochDrained: lambda _: "every vCPU has been out",
    o.HostPte: where("host PTEs", "there", "gone", "present"),
    o.Dma: where("IOMMU", "mapped", "unmapped", "mapped"),
    o.Stashed: where("stash", "put aside", "taken back", "present"),
    o.FolioOrder: lambda fact: f"folios {span(fact)} {ORDERS.get(fact.order, 'none')}",
    o.InvalidationBegin: lambda fact: f"frozen {span(fact)}",
    o.InvalidationEnd: lambda _: "thawed",
    o.Pinned: where("pin", "taken", "dropped", "held"),
    o.ReferencesFound: lambda fact: (
        f"{'short' if fact.transient else 'long'} references {span(fact)}"
    ),
    o.ReferenceKept: lambda fact: f"a reference for ever {span(fact)}",
    o.PoisonSet: lambda fact: f"poisoned {span(fact)}",
    o.FaultStruck: lambda fact: f"INJECTED {fact.point}, {errno(fact.reason)}",
    o.ErrorDropped: lambda fact: f"DROPPED {errno(fact.reason)} of {fact.consumer}",
    o.MemoryRefused: lambda _: "no memory",
    o.Failed: lambda fact: f"fails: {errno(fact.reason)} of {fact.consumer} while {fact.phase}",
    o.UndoFailed: lambda fact: f"WARNING: the undo fails ({fact.what})",
    o.PrepareUndone: lambda fact: f"not as at READY: {span(fact)}",
    o.LeftMapped: lambda fact: f"still mapped {span(fact)}, {LEFT[Trace(fact.trace)]}",
    o.VmBugged: lambda fact: f"KVM_BUG_ON in {fact.site}, {errno(fact.reason)}",
    o.VmStopped: lambda _: "the VM is given up",
    o.Retried: lambda fact: f"try {fact.attempt + 1}",
    o.Spinning: lambda fact: f"spins with ilock held, for {fact.waited / 1e6:.0f} ms so far",
    o.FaultParked: lambda fact: f"fault {span(fact)} waits for the thaw",
    o.GuestAccess: where("access", "succeeds", "FATAL: not accepted", "ok"),
    o.MapGpaFailed: lambda fact: f"MapGPA {span(fact)} failed after {fact.converted} pages",
    o.DmarFault: lambda fact: f"DMAR fault {span(fact)}",
    o.DmaDone: lambda fact: f"DMA {span(fact)}{', by a stale IOTLB entry' if fact.stale else ''}",
    o.NotifierError: lambda fact: f"{fact.site} gets {errno(fact.reason)}",
    o.FramesFreed: lambda fact: f"freed {pfns(fact)}",
    o.FramesKept: lambda fact: f"kept back {pfns(fact)}",
    o.FramesReused: lambda fact: f"somebody else has {pfns(fact)}",
}
