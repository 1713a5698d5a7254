"""How a finding came about, in the words of a kernel engineer: who did what, in order, with the state before and after.

While nothing is found a story is a few facts that are kept; they become lines when there is something to tell.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from actors import observations as o
from actors.contract import ERRNO, Reason, Share, Trace
from actors.intervals import IntervalMap
from actors.messages import ATTEMPT_BITS
from actors.tdx_states import LEVEL_2M, LEVEL_4K, Call, Entry, Status
from workloads.checkers.operation import UNTOUCHED, Operation

KEPT = 32  # facts of a VM
LINES_MAX = 20
HEAD = 5  # of them before what is left out
Told = tuple[int, Any]
"""When (ns), and the fact."""


class Change(NamedTuple):
    """A fact that changes one of the maps whose values a conversion remembers: map, new value, its words."""

    table: str
    value: Callable[[Any], int]
    word: Callable[[int], str]


def order(value: int) -> str:
    """Of a folio."""
    return f"order {value}" if value >= 0 else "none"


CHANGES: dict[type, Change] = {
    o.Sept: Change("sept", lambda fact: fact.state, lambda value: Entry(value).name),
    o.ShareStored: Change("share", lambda fact: fact.to, lambda value: Share(value).name),
    o.FolioOrder: Change("order", lambda fact: fact.order, order),
    o.Stashed: Change(
        "stash", lambda fact: fact.present, lambda value: "aside" if value else "in place"
    ),
    o.HostPte: Change(
        "pte", lambda fact: fact.present, lambda value: "present" if value else "none"
    ),
}
# Who takes a secure EPT entry from one state to another.
MOVES = {
    (Entry.FREE, Entry.PENDING): "kvm: AUG",
    (Entry.PENDING, Entry.MAPPED): "guest: ACCEPT",
    (Entry.MAPPED, Entry.BLOCKED): "kvm: BLOCK",
    (Entry.PENDING, Entry.PENDING_BLOCKED): "kvm: BLOCK",
    (Entry.BLOCKED, Entry.MAPPED): "kvm: UNBLOCK",
    (Entry.PENDING_BLOCKED, Entry.PENDING): "kvm: UNBLOCK",
    (Entry.BLOCKED, Entry.FREE): "kvm: REMOVE",
    (Entry.PENDING_BLOCKED, Entry.FREE): "kvm: REMOVE",
    (Entry.MAPPED, Entry.FREE): "tdx: teardown of",
    (Entry.PENDING, Entry.FREE): "tdx: teardown of",
}
BLOCKED = (Entry.BLOCKED, Entry.PENDING_BLOCKED)
DOES = {
    "share": "gmem: share of",
    "order": "gmem: folios of",
    "stash": "gmem: stash of",
    "pte": "host: PTEs of",
}
YES = {
    "prepare": "READY",
    "commit": "has unmapped",
    "abort": "is as before",
    "invalidate": "has unmapped",
    "remap": "maps again",
}
SIZES = {LEVEL_4K: "4 KiB", LEVEL_2M: "2 MiB"}
LEFT = {
    Trace.NONE: "tells nobody",
    Trace.REFERENCE: "leaves a reference",
    Trace.CALLBACK: "calls guest_memfd back",
}


def at(fact: Any) -> str:
    """The fact's range."""
    return f"{fact.start:#x}..{fact.end:#x}"


def errno(reason: Reason) -> str:
    """EBUSY and the like."""
    return ERRNO[reason] if reason else "success"


def replied(fact: o.ConsumerReplied) -> str:
    """A consumer's answer."""
    who = fact.consumer.name.lower()
    if fact.reason is Reason.NONE:
        return f"{who}: {YES.get(fact.phase, 'done')}"
    return f"{who}: NO to {fact.phase.upper()}, {errno(fact.reason)}"


def leaf(fact: o.Leaf) -> str:
    """KVM's own tables."""
    if not fact.level:
        return f"kvm: {fact.share.name} leaves at {at(fact)} are gone"
    return f"kvm: {fact.share.name} leaves of {SIZES[fact.level]} at {at(fact)}"


def op(number: int) -> str:
    """A conversion's request and attempt."""
    return f"op {number >> ATTEMPT_BITS}.{number & (1 << ATTEMPT_BITS) - 1}"


def access(fact: o.GuestAccess) -> str:
    """The fatal one."""
    return f"guest: touches {at(fact)}, which is pending: the TD is over"


WORDS: dict[type, Callable[[Any], str]] = {
    o.ConvertBegin: lambda f: f"gmem: takes ilock for {op(f.op)}, {at(f)} to {f.to.name}",
    o.ConvertEnd: lambda f: f"gmem: answers {errno(f.reason)}, drops ilock",
    o.Decided: lambda f: f"gmem: decides to {'COMMIT' if f.commit else 'ABORT'}",
    o.NoReturn: lambda _: "gmem: point of no return",
    o.ConsumerReplied: replied,
    o.Failed: lambda f: f"{f.consumer}: {errno(f.reason)} while {f.phase}",
    o.MemoryRefused: lambda _: "pool: no memory",
    o.PoisonSet: lambda f: f"gmem: poisons {at(f)}",
    o.LeftMapped: lambda f: f"{f.consumer.name.lower()}: cannot unmap {at(f)}, {LEFT[Trace(f.trace)]}",
    o.ReferenceKept: lambda f: f"gmem: a reference on {at(f)} that nobody will drop",
    o.ReferencesFound: lambda f: f"pins: {'short' if f.transient else 'long'} references on {at(f)}",
    o.Pinned: lambda f: f"pins: {at(f)} is {'pinned' if f.held else 'let go'}",
    o.PrepareUndone: lambda f: f"kvm: a leaf at {at(f)} that PREPARE did not see",
    o.UndoFailed: lambda f: f"gmem: WARNING, the undo fails ({f.what})",
    o.Spinning: lambda f: f"gmem: still waits for references, {f.waited / 1e6:.0f} ms so far",
    o.InvalidationBegin: lambda f: f"kvm: INV_BEGIN {at(f)}, faults wait",
    o.InvalidationEnd: lambda _: "kvm: INV_END",
    o.SeamcallAnswered: lambda f: f"tdx: {Call(f.call).name} of {at(f)} is {Status(f.status).name}",
    o.Leaf: leaf,
    o.TlbFlushed: lambda _: "kvm: TLBs are flushed",
    o.Dma: lambda f: f"iommu: {'maps' if f.mapped else 'unmaps'} {at(f)}",
    o.HugeLost: lambda f: f"kvm: 2 MiB leaves split: {f.leaves}",
    o.GuestAccess: access,
    o.VmBugged: lambda f: f"kvm: KVM_BUG_ON in {f.site}, {errno(f.reason)}",
    o.VmStopped: lambda _: "vmm: gives the VM up",
    o.GuestPanicked: lambda _: "guest: panics",
    o.Bitmap: lambda f: f"vmm: bitmap of {at(f)} is {f.to.name}",
    o.Retried: lambda f: f"vmm: tries again, number {f.attempt}",
    o.Answered: lambda f: f"vmm: answers {errno(f.reason)} for {at(f)} to {f.to.name}",
    o.MapGpaFailed: lambda f: f"guest: MapGPA of {at(f)} failed after {f.converted} pages",
    o.FaultParked: lambda f: f"kvm: a fault at {at(f)} waits for INV_END",
    o.FaultResumed: lambda f: f"kvm: the fault at {at(f)} goes on after {f.waited / 1e6:.4g} ms",
    o.FaultWaited: lambda f: f"kvm: a fault at {at(f)} waited {f.wait / 1e6:.4g} ms for {f.lock}",
    o.FaultFailed: lambda _: "kvm: a fault is given up",
    o.ReEntered: lambda f: f"kvm: nothing installed at {at(f)}, the vCPU executes again",
    o.FramesFreed: lambda f: f"gmem: frees pfn {at(f)}",
    o.FramesKept: lambda f: f"gmem: keeps pfn {at(f)} back",
    o.FramesReused: lambda f: f"pool: hands out pfn {at(f)}",
    o.NotifierCalled: lambda f: f"mm: {f.site} invalidates {at(f)}",
    o.NotifierError: lambda f: f"mm: {f.site} gets {errno(f.reason)}",
    o.MmUnmapped: lambda f: f"mm: {f.site} takes {at(f)} out of the host's page tables",
    o.PamtCounted: lambda f: f"tdx: PAMT counts {f.count} leaves in regions {at(f)}, {f.pairs:+} pairs",
    o.MemoryFailed: lambda f: f"host: memory behind {at(f)} has failed",
    o.Punched: lambda f: f"gmem: {at(f)} is a hole",
}  # fmt: skip
# Kinds that are not always worth a line.
WORTH: dict[type, Callable[[Any], bool]] = {
    o.Leaf: lambda fact: fact.level > 0 or fact.share is Share.SHARED,
    o.GuestAccess: lambda fact: not fact.ok,
}
KINDS = {*WORDS, *CHANGES} - {o.SeamcallAnswered}  # whose failures the books add
# What a story that is too long can do without, the dullest first.
DULL = (
    (o.Leaf, o.TlbFlushed, o.HugeLost, o.Answered, o.Bitmap, o.PamtCounted),
    (o.Pinned, o.Stashed, o.Dma, o.MemoryRefused),
    (o.SeamcallAnswered, o.ReferenceKept, o.HostPte),
    (o.ConsumerReplied,),
)


def lines(facts: Sequence[Told], operation: Operation | None) -> list[str]:
    """The story, at most LINES_MAX lines; `operation` knows the states before."""
    whole = any(isinstance(fact, o.ConvertBegin) for _, fact in facts)
    tables = {
        name: IntervalMap(list(table.starts), list(table.values))
        for name, table in (operation.before if operation and whole else {}).items()
    }
    told = [(fact, f"{now / 1e6:.4f} ms {sentence(fact, tables)}") for now, fact in facts]
    for kinds in DULL:
        if len(told) > LINES_MAX:
            told = [(f, text) for f, text in told[:-1] if not isinstance(f, kinds)] + told[-1:]
    found = [text for _, text in told]
    if operation and not whole:
        begin = f"{operation.began / 1e6:.4f} ms {WORDS[o.ConvertBegin](operation.begin)}"
        found = [begin, "... its first events are not kept ...", *found]
    if len(found) > LINES_MAX:
        rest = len(found) - LINES_MAX + 1
        found[HEAD : HEAD + rest] = [f"... {rest} more events ..."]
    return found


def sentence(fact: Any, tables: dict[str, IntervalMap]) -> str:
    """One fact; what it changes is told with what was there before, as far as that is known."""
    change = CHANGES.get(type(fact))
    if change is None:
        return WORDS[type(fact)](fact)
    table = tables.setdefault(change.table, IntervalMap.filled(UNTOUCHED))
    end, before = table.run_at(fact.start, fact.end)
    known = before != UNTOUCHED and end == fact.end
    after = change.value(fact)
    table.set(fact.start, fact.end, after)
    who = DOES.get(change.table) or moved(before if known else UNTOUCHED, after, fact.level)
    was = f"{change.word(before)} -> " if known else "-> "
    return f"{who} {at(fact)} {was}{change.word(after)}"


def moved(before: int, after: int, level: int) -> str:
    """Who takes secure EPT entries, of this level afterwards, to this state."""
    if before == UNTOUCHED:
        return "kvm: BLOCK" if after in BLOCKED else "tdx:"
    # What is blocked to be split, and not to be removed, is 2 MiB large.
    demoted = before in BLOCKED and after and level == LEVEL_4K
    return "kvm: DEMOTE" if demoted else MOVES.get((Entry(before), Entry(after)), "tdx:")
