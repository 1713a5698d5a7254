"""What guest_memfd does in each row of a protocol's table. Protocols share these steps and differ in their order."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from actors import gmem_folios as folios
from actors import gmem_undo as undoing
from actors import messages as m
from actors.address import HOST_MAP, IOMMU, KVM, PINS, VMM, host_base, vm_base
from actors.contract import PAGES_2M, Consumer, Context, Message, Reason, Share
from actors.conversion import Conversion, Verb
from actors.gmem_chance import strike, strike_folios
from actors.gmem_own import ask_for, fail, gfns, hold, proceed, set_share, spare, thaw_after
from actors.gmem_ranges import (
    cut_list,
    discard,
    list_huge,
    list_ranges,
    next_range,
)
from actors.observations import (
    ConvertEnd,
    Decided,
    LockOrder,
    NoReturn,
    PoisonSet,
)
from actors.protocols.table import Event, Stage, Who

if TYPE_CHECKING:
    from actors.gmem import Gmem

Action = Callable[["Gmem", Conversion, Who, Context], None]

FOLIO_MEMORY = ("gmem.vmemmap", "gmem.stash")
TREE_PAGES = 1  # nodes of the attribute tree for one store (docs/domain.md section 3.1)
ILOCK_RANK = 1  # docs/domain.md section 2.9: outermost of the kernel's locks modelled here
T_SPIN = (
    1_000_000_000  # ns after which a wait for references counts as AN9 (docs/domain.md section 14)
)


# --- memory of guest_memfd's own -----------------------------------------------------------------


def reserve(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """Everything that guest_memfd itself will need, before anybody is asked. ENOMEM here costs nobody anything."""
    conversion.changes = []
    if conversion.to is Share.SHARED:
        conversion.changes = folios.plan(gmem, *conversion.range, conversion.to)
    fault = strike(gmem, conversion, "gmem.tree", context)
    fault = fault or strike_folios(gmem, conversion, FOLIO_MEMORY, conversion.changes, context)
    pages = TREE_PAGES + folios.pages_for(conversion.changes)
    ask_for(gmem, conversion, pages, context.cost("tree_reserve"), context, fault)


def reserve_tree(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """Tree nodes for the store alone."""
    fault = strike(gmem, conversion, "gmem.tree", context)
    ask_for(gmem, conversion, TREE_PAGES, context.cost("tree_reserve"), context, fault)


def reserve_folios(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """vmemmap, page-cache nodes and stash for the restructuring in hand; a merge needs none."""
    pages = folios.pages_for(conversion.changes)
    if pages:
        fault = strike_folios(gmem, conversion, FOLIO_MEMORY, conversion.changes, context)
        ask_for(gmem, conversion, pages, context.link, context, fault)
    else:
        proceed(conversion, Event.RESERVED, context.link, context)


# --- KVM's invalidation --------------------------------------------------------------------------


def freeze(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """Begin the invalidation on the whole request: faults wait until the thaw."""
    begin_invalidation(gmem, conversion, conversion.start, conversion.end, context)


def freeze_range(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """Begin the invalidation on the range in hand."""
    begin_invalidation(gmem, conversion, *conversion.range, context)


def begin_invalidation(
    gmem: "Gmem", conversion: Conversion, first: int, last: int, context: Context
) -> None:
    """Rounded out to whole 2 MiB, as leaves may be."""
    start = (first + conversion.shift) // PAGES_2M * PAGES_2M
    end = -(-(last + conversion.shift) // PAGES_2M) * PAGES_2M
    message = m.Freeze(gmem.address, conversion.op, start, end)
    context.send(vm_base(gmem.address) | KVM, message, context.link)


def thaw(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """End the invalidation."""
    thaw_after(gmem, conversion, context.link, context)


def after_thaw(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """The invalidation is over, the conversion is not: on with it, or out with its error."""
    event = Event.GO_ON if conversion.reason is Reason.NONE else Event.FAILED
    gmem.drive(conversion, event, context)


# --- asking consumers ----------------------------------------------------------------------------


def consumer_address(gmem: int, consumer: int) -> int:
    """Where a consumer of this guest_memfd lives."""
    if consumer == Consumer.IOMMU:
        return host_base(gmem) | IOMMU
    return vm_base(gmem) | (KVM, HOST_MAP, PINS)[consumer]


def ask(gmem: "Gmem", conversion: Conversion, verb: Verb, who: Who, context: Context) -> None:
    """Send to each of them; all of them have to answer."""
    assert who, f"op {conversion.op} asks nobody to {verb.name}"
    conversion.verb = verb
    conversion.waiting = sum(1 << consumer for consumer in who)
    conversion.asked_at = context.now
    for consumer in who:
        message = REQUESTS[verb](gmem, conversion, consumer)
        context.send(consumer_address(gmem.address, consumer), message, context.link)


def prepare_request(gmem: "Gmem", conversion: Conversion, consumer: Consumer) -> Message:
    """PREPARE, with what the options want of this consumer."""
    options = gmem.options
    early = (consumer is Consumer.HOST_MAP and options.host_unmap == "early-saved") or (
        consumer is Consumer.IOMMU and options.iommu_prepare == "unmap-early"
    )
    busy_bugs = consumer is Consumer.KVM_MMU and options.prepare_busy == "bug"
    where = gfns(conversion)
    return m.Prepare(
        gmem.address, conversion.op, *where, conversion.to, early=early, busy_bugs=busy_bugs
    )


def commit_request(gmem: "Gmem", conversion: Conversion, _: Consumer) -> Message:
    """COMMIT, with the way to tell of a bug."""
    options = gmem.options
    where = gfns(conversion)
    return m.Commit(
        gmem.address, conversion.op, *where, conversion.to, options.trace, options.bug_on
    )


def invalidate_request(gmem: "Gmem", conversion: Conversion, _: Consumer) -> Message:
    """INVALIDATE, with the same."""
    where, options = gfns(conversion), gmem.options
    listed = options.on_error == "remap"
    return m.Invalidate(
        gmem.address, conversion.op, *where, conversion.to, options.zap_whole, options.trace, listed
    )


def remap_request(gmem: "Gmem", conversion: Conversion, consumer: Consumer) -> Message:
    """REMAP, with what this consumer has unmapped."""
    where, unmapped = gfns(conversion), conversion.unmapped[consumer]
    return m.Remap(gmem.address, conversion.op, *where, conversion.to, unmapped)


REQUESTS: dict[Verb, Callable[["Gmem", Conversion, Consumer], Message]] = {
    Verb.PREPARE: prepare_request,
    Verb.COMMIT: commit_request,
    Verb.ABORT: lambda gmem, conversion, _: m.Abort(gmem.address, conversion.op),
    Verb.INVALIDATE: invalidate_request,
    Verb.REMAP: remap_request,
}


def prepare(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """May the range change sides? As the kernel calls it: whoever is asked answers."""
    conversion.refused = 0
    ask(gmem, conversion, Verb.PREPARE, who, context)


def prepare_in_time(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """The same, and wait no longer than the timeout for the last answer."""
    prepare(gmem, conversion, who, context)
    conversion.timer = context.after(gmem.prepare_timeout, m.PrepareTimeout(conversion.op))


def commit(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """Let go, which cannot be refused."""
    ask(gmem, conversion, Verb.COMMIT, who, context)


def abort(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """Back to before, at everybody but those who refused, for they have undone their own."""
    left = tuple(consumer for consumer in who if not conversion.refused >> consumer & 1)
    ask(gmem, conversion, Verb.ABORT, left, context)


def pass_no_return(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """COMMIT, where nothing that may fail is left to do."""
    context.observe(NoReturn(gmem.address, conversion.op))
    commit(gmem, conversion, who, context)


def decide_commit(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """The decision: everybody is ready, so everybody unmaps."""
    decide(gmem, conversion, True, context)
    commit(gmem, conversion, who, context)


def decide_freeze(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """The decision, where faults are let in until now."""
    decide(gmem, conversion, True, context)
    freeze(gmem, conversion, who, context)


def decide_abort(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """The decision: back to before."""
    decide(gmem, conversion, False, context)
    abort(gmem, conversion, who, context)


def decide(gmem: "Gmem", conversion: Conversion, commits: bool, context: Context) -> None:
    """One history event, and the timer's end."""
    context.cancel(conversion.timer)
    context.observe(Decided(gmem.address, conversion.op, commits))


def invalidate(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """Unmap, one consumer after the other."""
    conversion.todo, conversion.agreed = list(who), 0
    invalidate_next(gmem, conversion, who, context)


def invalidate_next(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """The next consumer's turn."""
    ask(gmem, conversion, Verb.INVALIDATE, (conversion.todo.pop(0),), context)


def remap(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """Whoever has unmapped is to map again, the last one first."""
    conversion.todo = [c for c in reversed(Consumer) if conversion.agreed >> c & 1]
    if conversion.todo:
        remap_next(gmem, conversion, who, context)
    else:
        gmem.drive(conversion, Event.ALL_REMAPPED, context)


def remap_next(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """The next consumer's turn."""
    ask(gmem, conversion, Verb.REMAP, (conversion.todo.pop(0),), context)


# --- store and restructure -----------------------------------------------------------------------


def store(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """The attribute of the range changes; STORED once the time is over."""
    conversion.was = list(gmem.share.runs(*conversion.range))
    took = set_share(gmem, conversion, *conversion.range, conversion.to, context)
    proceed(conversion, Event.STORED, took, context)
    spare(gmem, conversion, context)


def await_quiet(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """Freeze the reference counts of the folios that change: spin, without bound, until there are no others."""
    if not planned(gmem, conversion, context):
        return
    conversion.spun_at = context.now
    conversion.timer = context.after(T_SPIN, m.SpinCheck(conversion.op))
    if not kept(gmem, conversion):
        question = m.AwaitQuiet(gmem.address, conversion.op, *gfns(conversion), conversion.to)
        context.send(vm_base(gmem.address) | PINS, question, context.link)


def planned(gmem: "Gmem", conversion: Conversion, context: Context) -> bool:
    """Work out which folios change; if none does, say so."""
    conversion.changes = folios.plan(gmem, *conversion.range, conversion.to)
    conversion.changed = 0
    if not conversion.changes:
        gmem.drive(conversion, Event.UNCHANGED, context)
    return bool(conversion.changes)


def look_once(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """Look once: has an unmap that failed left a reference?"""
    event = Event.NOT_QUIET if kept(gmem, conversion) else Event.QUIET
    proceed(conversion, event, context.link, context)


def kept(gmem: "Gmem", conversion: Conversion) -> bool:
    """Does a folio of the range carry a reference that nobody will drop?"""
    start, end = conversion.range
    for s, e, order in gmem.folios.runs(start, end):
        if order >= 0 and not gmem.kept.only(*folios.rounded(s, e, order), 0):
            return True
    return False


def restructure(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """Take folios out of the filemap, split or merge them, add what they became: RESTRUCTURED or NOT_READDED."""
    count = sum(folios.units(change) for change in conversion.changes)
    fault = strike_folios(gmem, conversion, ("gmem.readd",), conversion.changes, context)
    conversion.changed = fault.first if fault else count
    done = folios.cut(conversion.changes, conversion.changed)
    took = folios.apply(gmem, done, context)
    hold(gmem, conversion, folios.pages_held(done))
    if fault:  # what merges have set free stays at hand, for to split again must not fail
        fail(gmem, conversion, fault.reason, conversion.range[0], "gmem", context)
    else:
        spare(gmem, conversion, context)
    event = Event.NOT_READDED if fault else Event.RESTRUCTURED
    proceed(conversion, event, took, context)


def complete_thaw(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """Store and restructure from what was reserved, or keep poisoned pages out of use; then end the invalidation."""
    quarantine(gmem, conversion, context)
    if conversion.poison and gmem.options.on_poison == "bail":
        delay = context.cost("tree_store")
    else:
        delay = sum(
            set_share(gmem, conversion, start, end, conversion.to, context)
            for start, end, bad in list(gmem.poison.runs(conversion.start, conversion.end))
            if not bad
        )
        changes = folios.plan(gmem, *conversion.range, conversion.to)
        delay += folios.apply(gmem, changes, context)
        for start, end in conversion.poison:  # out of the filemap, with a reference that keeps them
            folios.set_order(gmem, start, end, folios.LOST, context)
        hold(gmem, conversion, folios.pages_held(changes))
    spare(gmem, conversion, context)
    thaw_after(gmem, conversion, delay, context)


def quarantine(gmem: "Gmem", conversion: Conversion, context: Context) -> None:
    """Pages that could not be unmapped are never mapped, converted or freed again."""
    for start, end in conversion.poison:
        gmem.poison.set(start, end, 1)
        shift = conversion.shift
        context.observe(PoisonSet(gmem.address, conversion.op, start + shift, end + shift))


def fail_efault_thaw(gmem: "Gmem", conversion: Conversion, who: Who, context: Context) -> None:
    """A reference that a bug left: EFAULT, although consumers were unmapped."""
    fail(gmem, conversion, Reason.BUG, conversion.range[0], "gmem", context, Stage.CHECKING)
    thaw(gmem, conversion, who, context)


# --- the end -------------------------------------------------------------------------------------


def reply(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """Answer the ioctl and drop the lock."""
    finish(gmem, conversion, False, context)


def reply_enomem(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """Answer ENOMEM, or whatever it was: the list could not be made."""
    why, first = conversion.denied, conversion.start
    fail(gmem, conversion, why, first, "gmem", context, Stage.LISTING)
    finish(gmem, conversion, False, context)


def reply_redundant(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """The whole range has the wanted state already: success, and nobody is bothered."""
    finish(gmem, conversion, True, context)


def finish(gmem: "Gmem", conversion: Conversion, redundant: bool, context: Context) -> None:
    """Answer, forget the conversion, let the next one have the lock."""
    op = conversion.op
    conversion.reserved += conversion.listed
    spare(gmem, conversion, context)
    answer = m.Converted(op, conversion.reason, conversion.offset, redundant)
    context.send(vm_base(gmem.address) | VMM, answer, context.link)
    held = context.now - conversion.locked_at
    offset = conversion.offset + conversion.shift if conversion.offset >= 0 else -1
    prefix = gmem.options.prefix
    end = ConvertEnd(gmem.address, op, conversion.reason, offset, redundant, held, prefix)
    context.observe(end)
    context.observe(LockOrder(vm_base(gmem.address), op, ILOCK_RANK, False))
    del gmem.conversions[op]
    gmem.drop(gmem.conversion_ticket(op), context)


def note(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """A row that only records that the event is expected here."""


ACTIONS: dict[str, Action] = {
    action.__name__: action
    for action in (
        reserve,
        reserve_tree,
        reserve_folios,
        freeze,
        freeze_range,
        thaw,
        after_thaw,
        prepare,
        prepare_in_time,
        commit,
        abort,
        pass_no_return,
        decide_commit,
        decide_freeze,
        decide_abort,
        invalidate,
        invalidate_next,
        remap,
        remap_next,
        store,
        await_quiet,
        look_once,
        restructure,
        complete_thaw,
        fail_efault_thaw,
        reply,
        reply_enomem,
        reply_redundant,
        note,
        list_ranges,
        list_huge,
        cut_list,
        discard,
        next_range,
        undoing.unstore_thaw,
        undoing.rejoin,
        undoing.undo,
        undoing.undo_range,
        undoing.undo_next,
        undoing.undo_failed,
    )
}
ACTIONS["reserve_store"] = reserve_tree  # the same step, taken late: nothing was preallocated

ASKS: dict[str, Verb] = {
    "prepare": Verb.PREPARE,
    "prepare_in_time": Verb.PREPARE,
    "commit": Verb.COMMIT,
    "pass_no_return": Verb.COMMIT,
    "decide_commit": Verb.COMMIT,
    "abort": Verb.ABORT,
    "decide_abort": Verb.ABORT,
    "invalidate": Verb.INVALIDATE,
}
"""Actions that ask the consumers of their row, and what they ask."""
