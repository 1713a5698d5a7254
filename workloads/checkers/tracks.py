"""Facts of one VM as a timeline: spans and marks on a track for each actor and each lock.

A span is what took time: a consumer's answer to a phase, a lock that somebody held or waited for, a range in which
faults waited. A mark is what happened at once, in the words of a story (words.py).
"""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple

from actors import observations as o
from actors.contract import Reason
from actors.locks.observations import LockAsked, LockLeft, LockWaited, TdxLocked
from actors.tdx.states import RULES, Call, Cause, Lock, Status
from workloads.checkers.words import asked, at, errno, holder, many, ms, op, sentence, side, who

MARK, OPEN = -1, -2  # in the place of an end
NOT_OVER = "(not over)"
Row = tuple[int, int, str, str]
"""Begin (ns), end (ns; MARK or OPEN), track, what it is."""


class Span(NamedTuple):
    """What a fact says of a track: `took` ns until now, or ns from now on where `ahead`."""

    track: str
    text: str
    took: int
    ahead: bool = False


class Edge(NamedTuple):
    """Where a span begins or ends; `key` finds the one for the other. An end's text is added to the begin's.

    A `brief` one is no span if it takes no time.
    """

    begins: bool
    track: str
    text: str
    key: Hashable
    brief: bool = False


CONVERSION, REQUEST = "guest_memfd", "request"
VMM_LOCK = "vmm"
# Every track, from the outside in: the order in which they are shown.
TRACKS = (
    "found", "fault plan", "VM", REQUEST, "guest", "vmm", "vmm: lock", "vmm: waiting", CONVERSION, "ilock",
    "ilock: waiting", "kvm", "mmu_lock", "mmu_lock: waiting", "invalidation", "page faults", "tdx",
    "tdx: locks",
    "mm", "pins", "iommu", "iommu queue", "devices", "notifiers", "allocator",
)  # fmt: skip


def replied(fact: o.ConsumerReplied) -> Span:
    """A phase of a consumer's."""
    no = f", {errno(fact.reason)}" if fact.reason is not Reason.NONE else ""
    return Span(who(fact.consumer), f"{fact.phase.upper()}{no}", fact.took)


def queued(fact: o.IotlbQueued) -> Span:
    """An invalidation, from when it is asked for until its wait descriptor completes."""
    wait = f", {fact.depth} ahead, waits {ms(fact.wait)}" if fact.wait else ""
    return Span("iommu queue", f"invalidation of {at(fact)}{wait}", fact.took, ahead=True)


def held(fact: Any, begins: bool) -> Edge:
    """A lock is held from now on, or no more; the VMM's for a request, or by a window of a device's."""
    key = (fact.lock, fact.vm, fact.op)
    if not begins:
        return Edge(False, "", "", key, brief=True)
    if fact.lock != VMM_LOCK:
        return Edge(True, fact.lock, f"held by {holder(fact.op)}", key)
    return Edge(True, "vmm: lock", f"held by {asked(fact.op) if fact.op >= 0 else 'a window'}", key)


def tree(fact: o.SeamcallAnswered) -> Span:
    """What a SEAMCALL holds of the S-EPT tree."""
    how = "exclusively" if RULES[fact.call].tree is Lock.EXCLUSIVE else "shared"
    text = f"tree, {how}: {Call(fact.call).name}, {at(fact)}"
    return Span("tdx: locks", text, fact.held, ahead=True)


def answered(fact: o.Answered) -> Span:
    """A request, from when it was due."""
    text = f"{asked(fact.request)}: {at(fact)} to {side(fact.to)}, {errno(fact.reason)}"
    return Span(REQUEST, text, max(fact.latency, 0))


SPANS: dict[type, Callable[[Any], Span]] = {
    o.ConsumerReplied: replied,
    o.IotlbQueued: queued,
    o.Answered: answered,
    LockWaited: lambda f: Span(f"{f.lock}: waiting", "somebody waits", f.wait),
    o.SeamcallAnswered: tree,
    TdxLocked: lambda f: Span("tdx: locks", f"{f.lock}: {f.by}, {at(f)}", f.took, ahead=True),
    o.MemoryTouched: lambda f: Span("guest", f"uses {at(f)}, {side(f.share)}", f.took),
    o.DmaHeld: lambda f: Span("devices", "a stream waits for its window", f.wait),
}
EDGES: dict[type, Callable[[Any], Edge]] = {
    o.ConvertBegin: lambda f: Edge(
        True, CONVERSION, f"{op(f.op)}: {at(f)} to {side(f.to)}", ("conversion", f.op)
    ),
    o.ConvertEnd: lambda f: Edge(False, CONVERSION, f", {errno(f.reason)}", ("conversion", f.op)),
    LockAsked: lambda f: held(f, True),
    LockWaited: lambda f: held(f, True),
    LockLeft: lambda f: held(f, False),
    o.InvalidationBegin: lambda f: Edge(
        True, "invalidation", f"faults wait at {at(f)}", ("invalidation", f.vm, f.op)
    ),
    o.InvalidationEnd: lambda f: Edge(False, "invalidation", "", ("invalidation", f.vm, f.op)),
    o.FaultParked: lambda f: Edge(
        True, "page faults", f"waits at {at(f)}", ("fault", f.vm, f.access)
    ),
    o.FaultResumed: lambda f: Edge(False, "page faults", "", ("fault", f.vm, f.access)),
    o.VcpusKept: lambda f: Edge(
        f.out, "kvm", "no vCPU may enter" if f.out else "", ("vCPUs", f.vm)
    ),
}
# What happens at once, on whose track.
MARKS: dict[type, str] = {
    **dict.fromkeys((o.VmBugged, o.VmmKilled, o.VmStopped, o.VmAdmitted, o.FileClosed), "VM"),
    **dict.fromkeys((o.GuestAccess, o.GuestPanicked, o.GuestReleased, o.MapGpaFailed), "guest"),
    **dict.fromkeys((o.Bitmap, o.Retried, o.SideDiscarded), "vmm"),
    **dict.fromkeys((o.Decided, o.NoReturn, o.Failed, o.UndoFailed, o.Spinning, o.PoisonSet,
                     o.ShareStored, o.FolioOrder, o.Stashed, o.Punched, o.FramesFreed,
                     o.FramesKept, o.ReferenceKept), CONVERSION),
    **dict.fromkeys((o.PrepareUndone, o.WalkOvertaken, o.LeftMapped, o.HugeLost, o.ErrorDropped), "kvm"),
    **dict.fromkeys((o.FaultFailed, o.FaultRetried, o.ReEntered), "page faults"),
    **dict.fromkeys((o.SeamcallAnswered, o.EpochDrained, o.Sept, o.FrameOwned), "tdx"),
    **dict.fromkeys((o.HostPte, o.MmUnmapped, o.MemoryFailed), "mm"),
    **dict.fromkeys((o.Pinned, o.ReferencesFound), "pins"),
    **dict.fromkeys((o.DmarFault,), "devices"),
    **dict.fromkeys((o.NotifierCalled, o.NotifierError), "notifiers"),
    **dict.fromkeys((o.MemoryRefused, o.FramesTaken), "allocator"),
    o.Dma: "iommu",
    o.FaultStruck: "fault plan",
}  # fmt: skip
# Of these not every one is worth a span, an edge, a mark.
WORTH: dict[tuple[str, type], Callable[[Any], bool]] = {
    ("span", LockWaited): lambda f: f.wait > 0,
    ("span", o.SeamcallAnswered): lambda f: f.held > 0,
    ("edge", LockAsked): lambda f: not f.waits,
    ("mark", o.GuestAccess): lambda f: not f.ok,
    ("mark", o.SeamcallAnswered): lambda f: f.status != Status.OK,
}
CAUSES = {Cause.FAULT: "injected", Cause.LOCK: "a lock is held"}
WORDED: dict[type, Callable[[Any], str]] = {
    o.EpochDrained: lambda f: f"kick: {many(f.kicked, 'vCPU')} had to leave the guest",
    o.SeamcallAnswered: lambda f: (
        f"{sentence(f, {})} ({CAUSES.get(Cause(f.cause), 'not as the caller took it for')})"
    ),
}
KINDS = frozenset((*SPANS, *EDGES, *MARKS))


def worth(what: str, fact: Any) -> bool:
    """Is the fact worth a span, an edge, a mark?"""
    test = WORTH.get((what, type(fact)))
    return test is None or test(fact)


class Tracks:
    """Rows of what has been seen, in the order in which it ended; `open` is what has not ended yet."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.open: dict[Hashable, Row] = {}

    def see(self, now: int, fact: Any) -> None:
        """Take a fact of one of KINDS."""
        kind = type(fact)
        if kind in SPANS and worth("span", fact):
            span = SPANS[kind](fact)
            begin, end = (now, now + span.took) if span.ahead else (now - span.took, now)
            self.rows.append((begin, end, span.track, span.text))
        if kind in EDGES and worth("edge", fact):
            self.edge(now, EDGES[kind](fact))
        if kind in MARKS and worth("mark", fact):
            text = WORDED[kind](fact) if kind in WORDED else sentence(fact, {})
            self.rows.append((now, MARK, MARKS[kind], text))

    def edge(self, now: int, edge: Edge) -> None:
        """A span begins or ends. What ends and has begun before all that is known is no span."""
        if edge.begins:
            self.open.setdefault(edge.key, (now, OPEN, edge.track, edge.text))
        elif begun := self.open.pop(edge.key, None):
            begin, _, track, text = begun
            if edge.brief and begin == now:
                return
            self.rows.append((begin, now, track, text + edge.text))

    def all(self) -> list[Row]:
        """With what has not ended."""
        return [*self.rows, *self.open.values()]


def rows_of(facts: Iterable[tuple[int, Any]]) -> list[Row]:
    """Of some facts of one VM, with their times; None in the place of a fact says that some are missing."""
    tracks = Tracks()
    for now, fact in facts:
        if type(fact) in KINDS:
            tracks.see(now, fact)
    return sorted(tracks.all())
