"""One fact as a kernel engineer would say it: who does what to which range, and what was there before and is after."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from actors import observations as o
from actors.address import kind_of
from actors.contract import ERRNO, PAGE_BYTES, PAGES_1G, Consumer, Reason, Share, Trace
from actors.contract import WORDS as CONSUMERS
from actors.intervals import IntervalMap
from actors.kvm.tickets import HOLE, NOTIFIER
from actors.locks.holders import ACCEPT_OP, FAULT_OP, HOST_FAULT_OP, INVALIDATION_OP, RELEASE_OP
from actors.locks.observations import LockAsked, LockLeft, LockWaited
from actors.messages import ATTEMPT_BITS, TRY_BITS
from actors.names import IMPLICIT, KIND_BITS, PIECE, implicit_access, piece_of, whole_task
from actors.tdx.states import LEVEL_2M, LEVEL_4K, Call, Entry, Status
from workloads.checkers.operation import UNTOUCHED

SIZES = {LEVEL_4K: "4 KiB", LEVEL_2M: "2 MiB"}
SIDES = {Share.PRIVATE: "private", Share.SHARED: "shared"}
# The consumers by what a kernel engineer calls them.
WHO = {"kvm_mmu": "kvm", "host_map": "mm", "pins": "pins", "iommu": "iommu", "gmem": "gmem"}
LEFT = {
    Trace.NONE: "and tells nobody",
    Trace.REFERENCE: "and keeps a reference on it",
    Trace.CALLBACK: "and calls guest_memfd back",
    Trace.FLAG: "and sets a flag",
}
# TDX module ABI: what the kernel calls the completion statuses.
STATUS = {
    Status.BUSY: "TDX_OPERAND_BUSY",
    Status.INTERRUPTED: "TDX_INTERRUPTED_RESTARTABLE",
    Status.NOT_TRACKED: "TDX_TLB_TRACKING_NOT_DONE",
    Status.BUG: "an error that only a bug explains",
    Status.WRONG_STATE: "TDX_EPT_ENTRY_STATE_INCORRECT",
    Status.NO_PAMT: "no pages for the PAMT",
    Status.IN_USE: "the PAMT has the page in use",
    Status.TIMED_OUT: "no answer",
}
YES = {
    "prepare": "READY",
    "commit": "unmapped",
    "abort": "as before",
    "invalidate": "unmapped",
    "remap": "mapped again",
}
UNDONE = {
    "readd": "the folio cannot be added to the filemap again",
    "store": "no memory to store the old attribute",
    "restructure": "the folios cannot be split or merged back",
}


def size(pages: int) -> str:
    """64 KiB, 2 MiB."""
    for unit, each in (("GiB", PAGES_1G), ("MiB", PAGES_1G >> 10)):
        if pages and not pages % each:
            return f"{pages // each} {unit}"
    return f"{pages * PAGE_BYTES >> 10} KiB"


def span(start: int, end: int, of: str = "gfn") -> str:
    """A range in hexadecimal frame numbers, with its size."""
    return f"{of} {start:#x}..{end:#x} ({size(end - start)})"


def at(fact: Any) -> str:
    """The fact's range."""
    return span(fact.start, fact.end)


def frames(fact: Any) -> str:
    """The same of host frames."""
    return span(fact.start, fact.end, "pfn")


def who(consumer: Consumer) -> str:
    """A consumer in a word; the KVM of any file of the inode is a KVM."""
    return WHO[CONSUMERS[consumer]]


def ms(duration: int) -> str:
    """Of ns; in seconds where they are many."""
    return f"{duration / 1e6:.4g} ms" if duration < 10**10 else f"{duration / 1e9:,.0f} s"


def errno(reason: Reason) -> str:
    """EBUSY and the like."""
    return ERRNO[reason] if reason else "success"


def many(count: int, thing: str) -> str:
    """1 page, 3 pages."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def order(value: int) -> str:
    """Of a folio."""
    return f"{size(1 << value)} (order {value})" if value >= 0 else "none in the filemap"


def side(value: int) -> str:
    """private, shared."""
    return SIDES[Share(value)]


def op(number: int) -> str:
    """A conversion by where its request comes from, and which try it is."""
    request, attempt = number >> ATTEMPT_BITS, number & (1 << ATTEMPT_BITS) - 1
    again, tries = attempt >> TRY_BITS, attempt & (1 << TRY_BITS) - 1
    asked_before = f", asked {again + 1} times" if again else ""
    return asked(request) + asked_before + (f", try {tries + 1}" if tries else "")


OTHERS = {HOLE: "a hole", NOTIFIER: "an mmu_notifier"}  # by what a request's number ends in
HOLDERS = {
    INVALIDATION_OP: "an invalidation",
    RELEASE_OP: "the last close",
    HOST_FAULT_OP: "a fault of the host's",
    FAULT_OP: "a page fault",
    ACCEPT_OP: "an ACCEPT",
}


def holder(number: int) -> str:
    """Who holds a lock of the kernel's (actors.locks.holders)."""
    for mark, text in HOLDERS.items():
        if number & mark == mark:
            return text
    return OTHERS.get(number >> ATTEMPT_BITS & 0b111) or op(number)


def asked(request: int) -> str:
    """A request (actors.names): the load's task, the piece of 2 MiB of its MapGPA, or the access that faulted."""
    kind = request & (1 << KIND_BITS) - 1
    if kind == IMPLICIT:
        return f"access {implicit_access(request):#x}"
    if kind == PIECE:
        task, piece = piece_of(request)
        return f"task {task}, piece {piece}"
    return f"task {whole_task(request)}"


# --- what changes a map whose values a conversion remembers -------------------------------------------


class Change(NamedTuple):
    """A fact that changes such a map: its name, the new value, its words, and what is before and after the range."""

    table: str
    value: Callable[[Any], int]
    word: Callable[[int], str]
    does: str
    what: str


CHANGES: dict[type, Change] = {
    o.Sept: Change("sept", lambda f: f.state, lambda v: Entry(v).name, "", "S-EPT"),
    o.ShareStored: Change("share", lambda f: f.to, side, "gmem: stores the attribute of", ""),
    o.FolioOrder: Change("order", lambda f: f.order, order, "gmem: folios of", ""),
    o.Stashed: Change(
        "stash", lambda f: f.present, lambda v: "set aside" if v else "in place",
        "gmem: hugetlb metadata of", "",
    ),
    o.HostPte: Change(
        "pte", lambda f: f.present, lambda v: "present" if v else "none", "mm: PTEs of", ""
    ),
}  # fmt: skip
# Who takes a secure EPT entry from one state to another, by which call.
MOVES = {
    (Entry.FREE, Entry.PENDING): "kvm: AUG",
    (Entry.PENDING, Entry.MAPPED): "guest: ACCEPT",
    (Entry.MAPPED, Entry.BLOCKED): "kvm: BLOCK",
    (Entry.PENDING, Entry.PENDING_BLOCKED): "kvm: BLOCK",
    (Entry.BLOCKED, Entry.MAPPED): "kvm: UNBLOCK",
    (Entry.PENDING_BLOCKED, Entry.PENDING): "kvm: UNBLOCK",
    (Entry.BLOCKED, Entry.FREE): "kvm: REMOVE",
    (Entry.PENDING_BLOCKED, Entry.FREE): "kvm: REMOVE",
    (Entry.MAPPED, Entry.FREE): "kvm: teardown,",
    (Entry.PENDING, Entry.FREE): "kvm: teardown,",
}
BLOCKED = (Entry.BLOCKED, Entry.PENDING_BLOCKED)
# The same where the state before is not known.
ONLY = {
    Entry.PENDING: "kvm: AUG",
    Entry.BLOCKED: "kvm: BLOCK",
    Entry.PENDING_BLOCKED: "kvm: BLOCK",
}


def moved(before: int, after: int, level: int) -> str:
    """Who takes secure EPT entries, of this level afterwards, to this state."""
    if before == UNTOUCHED:
        return ONLY.get(Entry(after), "tdx: entries of")
    # What is blocked to be split, and not to be removed, is 2 MiB large.
    demoted = before in BLOCKED and after and level == LEVEL_4K
    return "kvm: DEMOTE" if demoted else MOVES.get((Entry(before), Entry(after)), "tdx: entries of")


def changed(fact: Any, change: Change, before: int) -> str:
    """`before` is UNTOUCHED where nobody knows."""
    after = change.value(fact)
    who = change.does or moved(before, after, fact.level)
    was = "" if before == UNTOUCHED else f"{change.word(before)} "
    now = f"{was}-> {change.word(after)}"
    small = " in 4 KiB" if who.endswith("DEMOTE") else ""
    return f"{who} {at(fact)}: {f'{change.what} ' if change.what else ''}{now}{small}"


# --- all others ---------------------------------------------------------------------------------------


def replied(fact: o.ConsumerReplied) -> str:
    """A consumer's answer."""
    if fact.reason is Reason.NONE:
        return f"{who(fact.consumer)}: {YES.get(fact.phase, 'done')}"
    return f"{who(fact.consumer)}: says no to {fact.phase.upper()}, {errno(fact.reason)}"


def leaf(fact: o.Leaf) -> str:
    """KVM's own tables."""
    if not fact.level:
        return f"kvm: zaps the {side(fact.share)} leaves of {at(fact)}"
    return f"kvm: maps {at(fact)} by {side(fact.share)} leaves of {SIZES[fact.level]}"


def failed(fact: o.Failed) -> str:
    """An attempt's end; what the VMM's listeners cannot map is no attempt."""
    if fact.phase in ("map", "map_again"):
        again = " again" if fact.phase == "map_again" else ""
        return f"vmm: cannot map the range for its devices{again}, {errno(fact.reason)}"
    of = "" if fact.consumer == "gmem" else f" of {WHO.get(fact.consumer, fact.consumer)}"
    return f"gmem: fails with {errno(fact.reason)}{of} while {fact.phase}"


def struck(fact: o.FaultStruck) -> str:
    """Where a failure was injected."""
    where = f" at {at(fact)}" if fact.start < fact.end else ""
    return f"INJECTED by the fault plan: {fact.point}{where}, {errno(fact.reason)}"


def dropped(fact: o.ErrorDropped) -> str:
    """Of whom nobody hears."""
    who = WHO.get(fact.consumer, fact.consumer)
    return f"{who}: {errno(fact.reason)} while {fact.phase} is DROPPED, nobody is told"


def bugged(fact: o.VmBugged) -> str:
    """What the VM died of."""
    alone = not fact.injected and fact.reason is Reason.BUSY
    why = " by contention alone" if alone else ""
    return f"kvm: KVM_BUG_ON in {fact.site}, {errno(fact.reason)}{why}: the VM is dead"


def access(fact: o.GuestAccess) -> str:
    """The fatal one, or one that went well."""
    if fact.ok:
        return f"guest: uses {at(fact)}"
    return f"guest: touches {at(fact)}, not accepted: fatal to the TD"


def half(fact: o.MapGpaFailed) -> str:
    """What a MapGPA that failed leaves behind."""
    edge = fact.start + fact.converted
    done = f"{span(fact.start, edge)} is converted, " if fact.converted else ""
    return f"guest: MapGPA of {at(fact)} fails: {done}{span(edge, fact.end)} is not"


def dma(fact: o.DmaDone | o.DmarFault) -> str:
    """A device's access."""
    return f"device {fact.listener}: {'writes' if fact.write else 'reads'} {at(fact)}"


def queued(fact: o.IotlbQueued) -> str:
    """An invalidation that stood in line."""
    ahead = f"{fact.depth} ahead of it"
    return f"iommu: the invalidation of {at(fact)} waits {ms(fact.wait)} in the queue, {ahead}"


WORDS: dict[type, Callable[[Any], str]] = {
    o.ConvertBegin: lambda f: f"gmem: takes ilock to convert {at(f)} to {side(f.to)}, {op(f.op)}",
    o.ConvertEnd: lambda f: f"gmem: returns {errno(f.reason)}, drops ilock",
    o.Decided: lambda f: f"gmem: decides to {'COMMIT' if f.commit else 'ABORT'}",
    o.NoReturn: lambda _: "gmem: point of no return",
    o.ConsumerReplied: replied,
    o.Failed: failed,
    o.ErrorDropped: dropped,
    o.FaultStruck: struck,
    o.MemoryRefused: lambda _: "allocator: no memory",
    o.PoisonSet: lambda f: f"gmem: poisons {at(f)}",
    o.LeftMapped: lambda f: f"{who(f.consumer)}: cannot unmap {at(f)} {LEFT[Trace(f.trace)]}",
    o.ReferenceKept: lambda f: f"gmem: a reference on {at(f)} that nobody will drop",
    o.ReferencesFound: lambda f: (
        f"pins: {'short' if f.transient else 'long-term'} references on {at(f)}"
    ),
    o.Pinned: lambda f: f"pins: {'takes' if f.held else 'drops'} a long-term pin on {at(f)}",
    o.CountsThawed: lambda _: "pins: counts are thawed",
    o.GupWaits: lambda f: f"pins: a reference on {at(f)} is put off, its count is frozen",
    o.PrepareUndone: lambda f: f"kvm: meets {at(f)} mapped as it was not at READY",
    o.UndoFailed: lambda f: f"gmem: WARNING, the undo fails: {UNDONE.get(f.what, f.what)}",
    o.Spinning: lambda f: f"gmem: spins on references with ilock held, for {ms(f.waited)} so far",
    o.InvalidationBegin: lambda f: f"kvm: invalidation of {at(f)} begins, faults wait",
    o.InvalidationEnd: lambda _: "kvm: invalidation ends",
    o.SeamcallAnswered: lambda f: (
        f"tdx: {Call(f.call).name} of {at(f)} fails, {STATUS.get(Status(f.status), 'OK')}"
    ),
    o.Leaf: leaf,
    o.WalkOvertaken: lambda f: (
        f"kvm: finds {at(f)} {'split' if f.level else 'gone'} under mmu_lock, another walk was first"
    ),
    o.Dma: lambda f: f"iommu: {'maps' if f.mapped else 'unmaps'} {at(f)} for device {f.listener}",
    o.HugeLost: lambda f: (
        f"kvm: has split {'a leaf' if f.leaves == 1 else f'{f.leaves} leaves'} of 2 MiB"
    ),
    o.GuestReleased: lambda f: f"guest: releases {at(f)}",
    o.GuestAccess: access,
    o.VmBugged: bugged,
    o.VmmKilled: lambda _: "vmm: is killed",
    o.VmStopped: lambda _: "vmm: gives the VM up",
    o.GuestPanicked: lambda _: "guest: panics",
    o.Bitmap: lambda f: f"vmm: marks {at(f)} {side(f.to)} in its bitmap",
    o.Retried: lambda f: f"vmm: tries again, try {f.attempt + 1}",
    o.Answered: lambda f: f"vmm: answers {errno(f.reason)}, {at(f)} to {side(f.to)}",
    o.MapGpaFailed: half,
    o.FaultParked: lambda f: f"kvm: a fault at {at(f)} waits for the invalidation to end",
    o.FaultResumed: lambda f: f"kvm: the fault at {at(f)} goes on after {ms(f.waited)}",
    o.FaultRetried: lambda f: (
        f"kvm: the fault at {at(f)} starts anew, "
        f"{'its range is being invalidated' if f.frozen else 'the sequence has moved'}"
    ),
    o.FaultWaited: lambda f: f"kvm: a fault at {at(f)} waited {ms(f.wait)} for {f.lock}",
    o.FaultFailed: lambda _: "kvm: a fault is given up",
    o.ReEntered: lambda f: f"kvm: nothing installed at {at(f)}, the vCPU enters again",
    o.FramesFreed: lambda f: f"gmem: frees {frames(f)}",
    o.FramesKept: lambda f: f"gmem: keeps {frames(f)} back",
    o.VmAdmitted: lambda f: (
        f"host: admits this VM{' in the place of one that is gone' if f.before else ''}"
    ),
    o.FrameOwned: lambda f: f"tdx: the frame at {at(f)} has an owner, AUG is refused",
    o.FramesTaken: lambda f: f"allocator: gives {frames(f)} back for a hole",
    o.FramesReused: lambda f: f"allocator: gives {frames(f)} to somebody else",
    o.NotifierCalled: lambda f: f"mm: {f.site} invalidates {at(f)}",
    o.NotifierError: lambda f: f"mm: {f.site} gets {errno(f.reason)} from KVM's callback",
    o.MmUnmapped: lambda f: f"mm: {f.site} takes {at(f)} out of the host's page tables",
    o.PamtCounted: lambda f: (
        f"tdx: PAMT counts {f.count} leaves of 4 KiB in each 2 MiB region {f.start:#x}..{f.end:#x}, "
        f"{f.pairs:+} page pairs"
    ),
    o.MemoryFailed: lambda f: f"mm: memory_failure() behind {at(f)}",
    o.Punched: lambda f: f"gmem: punches a hole, {at(f)}",
    o.FileClosed: lambda _: "gmem: the last close of the file",
    o.SideDiscarded: lambda f: f"vmm: discards the {side(f.side)} pages of {at(f)}",
    o.DmarFault: lambda f: f"{dma(f)}, no translation: DMAR fault",
    # These come too often to be kept; what is found with one of them ends with it.
    o.DmaDone: lambda f: f"{dma(f)}{', by a stale IOTLB entry' if f.stale else ''}",
    o.IotlbQueued: queued,
    LockAsked: lambda f: f"{holder(f.op)}: {'waits for' if f.waits else 'takes'} {f.lock}",
    LockWaited: lambda f: f"{holder(f.op)}: takes {f.lock} after {ms(f.wait)}",
    LockLeft: lambda f: f"{holder(f.op)}: {'wants' if f.waits else 'has'} {f.lock} no more",
    o.Reserving: lambda f: f"{kind_of(f.asker)}: asks the allocator for {many(f.pages, 'page')}",
    o.ReserveSettled: lambda f: (
        f"allocator: of what was asked for {many(f.used, 'page')} in use, {many(f.returned, 'page')} back"
    ),
    o.PagesReturned: lambda f: f"allocator: {many(f.pages, 'page')} are in the pool again",
    o.GuestAccepted: lambda f: f"guest: has accepted {at(f)}",
}
OFTEN = {
    o.DmaDone, o.IotlbQueued, LockAsked, LockWaited, LockLeft, o.Reserving, o.ReserveSettled, o.PagesReturned,
    o.GuestAccepted,
}  # fmt: skip


def sentence(fact: Any, tables: Mapping[str, IntervalMap]) -> str:
    """One fact; what it changes is told with what was there before, as far as the tables know, which follow."""
    change = CHANGES.get(type(fact))
    if change is None:
        return WORDS[type(fact)](fact)
    before = UNTOUCHED
    table = tables.get(change.table)
    if table is not None:
        end, value = table.run_at(fact.start, fact.end)
        before = value if end == fact.end else UNTOUCHED
        table.set(fact.start, fact.end, change.value(fact))
    return changed(fact, change, before)
