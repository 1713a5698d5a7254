"""guest_memfd: one conversion at a time, what it reserves, how folios split and merge, who gets a page."""

import pytest

from actors import messages as m
from actors.address import ALLOCATOR, GMEM, HOST_MAP, IOMMU, KVM, PINS, VMM, vm_address
from actors.contract import KVMS, Consumer, Fault, Reason, Trace, page_of
from actors.gmem import faults as gmem_faults
from actors.gmem import release as gmem_release
from actors.gmem.ask import begin_invalidation, consumer_address
from actors.gmem.conversion import Conversion
from actors.gmem.folios import SPLITS
from actors.gmem.inode import Binding, Gmem
from actors.gmem.store import TREE_PAGES
from actors.intervals import IntervalMap
from actors.kvm import memory as kvm_memory
from actors.locks.holders import RELEASE_OP
from actors.locks.observations import LockAsked, LockLeft, LockWaited
from actors.observations import (
    ConsumerReplied,
    ConvertBegin,
    ConvertEnd,
    Decided,
    FolioOrder,
    FramesFreed,
    FramesKept,
    InvalidationBegin,
    Leaf,
    PoisonSet,
    ShareStored,
    VmBugged,
)
from actors.protocols import Options, Stage, key_of
from actors.protocols.table import ALL
from tests.helpers import LINK, PRIVATE, SHARED, TIMER, Recorder, Sent, World, runs, table

VM = vm_address(0, 0)
FILE = VM | GMEM
OP, SHIFT = 3, 0x1000  # gfn minus index
SPLIT_PAGES = SPLITS[9, 0].pages  # of a folio of 2 MiB


def gmem(shared=(), small=(), poison=(), page_order=9):
    """A file of four huge pages, bound at gfn 0x1000; `small` blocks are split."""
    folios = IntervalMap([0, 0x800], [page_order, -1])
    for start, end in small:
        folios.set(start, end, 0)
    share = table(*((start, end, SHARED) for start, end in shared))
    bad = table(*((start, end, 1) for start, end in poison))
    bindings = (Binding(0, SHIFT, 0x800),)
    name = key_of("two-phase", Options())
    found = Gmem(FILE, name, bindings, page_order, 10**9, 0x5000, share, folios, bad)
    found.metadata = sum(end - start for start, end in small) // 512 * SPLIT_PAGES
    return found


def convert(actor, start=0x10, end=0x20, to=SHARED, op=OP, context=None):
    context = context or Recorder()
    actor.on_convert(m.Convert(op, start, end, to), context)
    return context


def to_stage(actor, stage, context=None, start=0x10, end=0x20, to=SHARED):
    """A conversion that has come as far as this stage; what it sent on the way is forgotten."""
    context = convert(actor, start, end, to, context=context)
    actor.on_reserved(m.Reserved(OP, True), context)
    actor.on_frozen(m.Frozen(OP), context)
    if stage is Stage.COMMITTING:
        for consumer in ALL:
            actor.on_ready(m.Ready(OP, consumer), context)
    if stage is Stage.ABORTING:
        refuse(actor, context)
    assert actor.conversions[OP].stage is stage
    return context


def refuse(actor, context, consumer=Consumer.PINS, reason=Reason.REFERENCES, offset=0x12):
    actor.on_refused(m.Refused(OP, consumer, reason, offset + SHIFT), context)


def settle(actor, context, kind, *consumers):
    handle = {m.Committed: actor.on_committed, m.Aborted: actor.on_aborted}[kind]
    for consumer in consumers or ALL:
        handle(kind(OP, consumer), context)


def finished(actor, to=SHARED, start=0x10, end=0x20):
    """A conversion to its end; the context, with everything after the decision."""
    context = to_stage(actor, Stage.COMMITTING, start=start, end=end, to=to)
    context.take()
    settle(actor, context, m.Committed)
    actor.on_thawed(m.Thawed(OP), context)
    return context


# --- before anybody is asked ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "small", "to", "folios"),
    [
        (0x10, 0x20, (), SHARED, 1),
        (0x1F0, 0x210, (), SHARED, 2),
        (0x000, 0x800, (), SHARED, 4),
        (0x10, 0x20, [(0, 0x200)], SHARED, 0),  # nothing is left to split
        (0x10, 0x20, (), PRIVATE, 0),
    ],
)
def test_its_own_memory_is_reserved_first(start, end, small, to, folios):
    actor = gmem(shared=[(0, 0x800)] if to is PRIVATE else (), small=small)
    pages = TREE_PAGES + SPLIT_PAGES * folios
    (sent,) = convert(actor, start, end, to).take()
    reserve = m.Reserve(FILE, OP, pages, start=start + SHIFT, end=end + SHIFT)
    assert (sent.target, sent.message) == (ALLOCATOR, reserve)


def test_small_folios_need_tree_nodes_only():
    (sent,) = convert(gmem(page_order=0)).take()
    assert sent.message.pages >= TREE_PAGES


def test_its_fault_points_are_asked_about_guest_frames_not_indices():
    context = Recorder()
    convert(gmem(small=[(0x200, 0x400)]), 0x1F0, 0x410, context=context)
    leaves = [(SHIFT, SHIFT + 0x200), (SHIFT + 0x400, SHIFT + 0x600)]
    assert [point for point, _, _ in context.asked] == ["gmem.tree", "gmem.vmemmap", "gmem.stash"]
    assert context.places == [[(0x1F0 + SHIFT, 0x410 + SHIFT)], leaves, leaves]
    assert {page_of(key) for _, _, key in context.asked} == {0x1F0 + SHIFT}


@pytest.mark.parametrize("point", ["gmem.tree", "gmem.vmemmap", "gmem.stash"])
def test_without_its_own_memory_nobody_is_bothered(point):
    actor, context = gmem(), Recorder({point: Fault(Reason.NO_MEMORY, 0)})
    (timer,) = convert(actor, context=context).take()
    assert (timer.target, timer.message) == (TIMER, m.Reserved(OP, False))
    actor.on_reserved(timer.message, context)
    assert context.take() == [Sent(VM | VMM, m.Converted(OP, Reason.NO_MEMORY, 0x10, False), LINK)]
    assert (actor.conversions, actor.ilock.idle) == ({}, True)


def test_a_range_that_has_the_state_already_is_success_at_once():
    actor = gmem(shared=[(0x10, 0x20)])
    context = convert(actor)
    assert context.messages() == [m.Converted(OP, Reason.NONE, -1, True)]
    assert [fact.redundant for fact in context.of(ConvertEnd)] == [True]


def test_a_range_that_has_it_in_part_is_converted():
    assert isinstance(convert(gmem(shared=[(0x10, 0x1F)])).messages()[0], m.Reserve)


@pytest.mark.parametrize("released", [False, True])
def test_a_poisoned_range_or_a_closed_file_is_refused(released):
    actor = gmem(poison=[] if released else [(0x1F, 0x20)])
    actor.released = released
    reason, at = (Reason.DEAD, 0x10) if released else (Reason.POISONED, 0x1F)
    assert convert(actor).messages() == [m.Converted(OP, reason, at, False)]


def test_conversions_come_one_after_the_other():
    actor = gmem()
    context = convert(actor, op=1)
    convert(actor, 0x400, 0x401, op=2, context=context)
    convert(actor, 0x600, 0x601, op=3, context=context)
    assert [fact.op for fact in context.of(ConvertBegin)] == [1]
    actor.on_reserved(m.Reserved(1, False), context)
    assert [fact.op for fact in context.of(ConvertBegin)] == [1, 2]


def test_facts_and_consumers_speak_of_gfns_and_the_vmm_of_indices():
    actor, context = gmem(), Recorder()
    to_stage(actor, Stage.PREPARING, context)
    assert context.of(ConvertBegin) == [ConvertBegin(FILE, OP, 0x1010, 0x1020, SHARED)]
    assert Sent(VM | KVM, m.Prepare(FILE, OP, 0x1010, 0x1020, SHARED), LINK) in context.sent


# --- the five steps ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "page_order", "frozen"),
    [
        (0x10, 0x20, 9, (0x1000, 0x1200)),
        (0, 0x200, 9, (0x1000, 0x1200)),
        (0x1FF, 0x201, 9, (0x1000, 0x1400)),
        (0x1FF, 0x201, 0, (0x11FF, 0x1201)),
    ],
)
def test_the_freeze_covers_whole_pages_of_the_file(start, end, page_order, frozen):
    actor = gmem(page_order=page_order)
    context = convert(actor, start, end)
    context.take()
    actor.on_reserved(m.Reserved(OP, True), context)
    assert context.take() == [Sent(VM | KVM, m.Freeze(FILE, OP, *frozen), LINK)]


def test_the_freeze_of_a_page_in_two_slots_covers_what_is_between_them():
    actor, context = gmem(page_order=18), Recorder()
    actor.bindings = (Binding(0, 0, 0x600), Binding(0x600, 0x1000, 0x200))
    begin_invalidation(actor, Conversion(OP, 0x10, 0x20, SHARED, 0), 0x10, 0x20, context)
    assert context.messages() == [m.Freeze(FILE, OP, 0, 0x1200)]


@pytest.mark.parametrize("protocol", ["undo", "undo-split-first"])
def test_undo_freezes_each_range_of_its_list_before_it_unmaps_the_first(protocol):
    world = World(f"protocol.name={protocol}")
    world.convert(0x200, 0x600, SHARED)
    before = len(world.notebook.facts)
    assert world.convert(0x10, 0x7F0, SHARED) is Reason.NONE
    frozen = [(fact.start, fact.end) for fact in world.of(InvalidationBegin)[-2:]]
    assert frozen == [(0, 0x200), (0x600, 0x800)]
    kinds = [type(fact) for _, fact in world.notebook.facts[before:]]
    assert kinds.index(Leaf) > len(kinds) - 1 - kinds[::-1].index(InvalidationBegin)
    assert (world.found, world.pending()) == (set(), {})


def test_every_consumer_is_asked_at_once_and_a_timer_is_set():
    context = Recorder()
    to_stage(gmem(), Stage.PREPARING, context)
    asked = [sent.target for sent in context.sent if isinstance(sent.message, m.Prepare)]
    assert asked == [VM | KVM, VM | HOST_MAP, VM | PINS, IOMMU]
    assert context.sent[-1] == Sent(TIMER, m.PrepareTimeout(OP), 10**9)


def test_the_last_yes_is_the_decision_and_it_falls_once():
    actor, context = gmem(), Recorder()
    to_stage(actor, Stage.COMMITTING, context)
    assert context.of(Decided) == [Decided(FILE, OP, True)]
    commits = [sent for sent in context.sent if isinstance(sent.message, m.Commit)]
    message = m.Commit(FILE, OP, 0x1010, 0x1020, SHARED, Trace.CALLBACK, True)
    assert commits == [Sent(consumer_address(FILE, consumer), message, LINK) for consumer in ALL]
    assert len(context.cancelled) == 1


def test_nothing_is_stored_before_the_last_acknowledgement():
    actor = gmem()
    context = to_stage(actor, Stage.COMMITTING)
    settle(actor, context, m.Committed, *ALL[:-1])
    assert context.of(ShareStored) == []
    settle(actor, context, m.Committed, ALL[-1])
    assert context.of(ShareStored) == [ShareStored(FILE, OP, 0x1010, 0x1020, SHARED)]


def test_the_lock_is_held_until_the_thaw():
    actor = gmem()
    context = to_stage(actor, Stage.COMMITTING)
    settle(actor, context, m.Committed)
    assert not actor.ilock.idle
    actor.on_thawed(m.Thawed(OP), context)
    assert (actor.ilock.idle, actor.conversions) == (True, {})
    assert context.messages()[-1] == m.Converted(OP, Reason.NONE, -1, False)


@pytest.mark.parametrize("refuser", ALL)
def test_one_no_aborts_everybody_else(refuser):
    actor = gmem()
    context = to_stage(actor, Stage.PREPARING)
    context.take()
    refuse(actor, context, refuser)
    told = [sent.target for sent in context.take() if isinstance(sent.message, m.Abort)]
    assert told == [consumer_address(FILE, consumer) for consumer in ALL if consumer != refuser]


def test_after_the_last_abort_the_reservation_goes_back_and_the_first_no_is_the_answer():
    actor = gmem()
    context = to_stage(actor, Stage.ABORTING)
    context.take()
    settle(actor, context, m.Aborted, *(c for c in ALL if c is not Consumer.PINS))
    actor.on_thawed(m.Thawed(OP), context)
    assert context.messages() == [
        m.Thaw(FILE, OP),
        m.GiveBack(TREE_PAGES + SPLIT_PAGES, VM, OP),
        m.Converted(OP, Reason.REFERENCES, 0x12, False),
    ]


def test_a_late_yes_is_void_and_a_late_no_needs_its_abort_acknowledged():
    actor = gmem()
    context = to_stage(actor, Stage.ABORTING)
    actor.on_ready(m.Ready(OP, Consumer.KVM_MMU), context)
    refuse(actor, context, Consumer.IOMMU, Reason.NO_MEMORY)
    conversion = actor.conversions[OP]
    assert (conversion.stage, conversion.reason) == (Stage.ABORTING, Reason.REFERENCES)
    stages = []
    for consumer in (Consumer.KVM_MMU, Consumer.HOST_MAP, Consumer.IOMMU):
        settle(actor, context, m.Aborted, consumer)
        stages.append(conversion.stage)
    assert stages == [Stage.ABORTING, Stage.ABORTING, Stage.THAWING]


def test_silence_is_a_no():
    actor = gmem()
    context = to_stage(actor, Stage.PREPARING)
    for consumer in (Consumer.KVM_MMU, Consumer.PINS, Consumer.IOMMU):
        actor.on_ready(m.Ready(OP, consumer), context)
    actor.on_timeout(m.PrepareTimeout(OP), context)
    conversion = actor.conversions[OP]
    assert (conversion.stage, conversion.reason) == (Stage.ABORTING, Reason.TIMEOUT)
    assert conversion.waiting == (1 << len(ALL)) - 1


def test_a_reply_is_observed_with_its_phase_and_time():
    actor, context = gmem(), Recorder()
    to_stage(actor, Stage.PREPARING, context)
    context.now = 700
    actor.on_ready(m.Ready(OP, Consumer.PINS), context)
    fact = ConsumerReplied(FILE, OP, "prepare", Consumer.PINS, Reason.NONE, 700)
    assert context.of(ConsumerReplied) == [fact]


def test_who_waits_for_counts_to_thaw_is_told_when_the_conversion_is_over():
    actor = gmem()
    context = to_stage(actor, Stage.ABORTING)
    actor.receive(m.AwaitThaw(OP), context)
    settle(actor, context, m.Aborted)
    context.take()
    actor.on_thawed(m.Thawed(OP), context)
    over = Sent(VM | PINS, m.ConversionOver(FILE, OP), LINK)
    assert over in context.take()
    actor.receive(m.AwaitThaw(OP), context)
    assert context.take() == [over]


# --- poison --------------------------------------------------------------------------------------


def poisoned():
    actor = gmem()
    context = to_stage(actor, Stage.COMMITTING)
    context.take()
    page = 0x12 + SHIFT
    poison = m.Poison(OP, Consumer.KVM_MMU, Reason.BUG, page, page + 1)
    actor.on_poison(poison, context)
    settle(actor, context, m.Committed)
    actor.on_thawed(m.Thawed(OP), context)
    return actor, context


def test_with_poison_nothing_is_stored_and_the_answer_is_efault():
    actor, context = poisoned()
    assert (runs(actor.share), runs(actor.folios)[0]) == ([(0, PRIVATE)], (0, 9))
    assert context.of(PoisonSet) == [PoisonSet(FILE, OP, 0x1012, 0x1013)]
    assert context.messages() == [
        m.GiveBack(TREE_PAGES + SPLIT_PAGES, VM, OP),
        m.Thaw(FILE, OP),
        m.Converted(OP, Reason.BUG, 0x12, False),
    ]


@pytest.mark.parametrize(("consumer", "told"), [(Consumer.IOMMU, 1), *((kvm, 0) for kvm in KVMS)])
def test_a_kvm_of_whichever_file_tells_of_its_own_bug(consumer, told):
    actor = gmem()
    context = to_stage(actor, Stage.COMMITTING)
    page = 0x12 + SHIFT
    actor.on_poison(m.Poison(OP, consumer, Reason.BUG, page, page + 1), context)
    assert len(context.of(VmBugged)) == told


def test_poison_is_for_ever():
    actor, context = poisoned()
    context.take()
    convert(actor, 0x12, 0x13, op=9, context=context)
    convert(actor, 0x13, 0x14, op=10, context=context)
    first, second = context.messages()
    assert first == m.Converted(9, Reason.POISONED, 0x12, False)
    assert isinstance(second, m.Reserve)


def test_a_poisoned_page_is_given_to_no_fault():
    actor, _ = poisoned()
    context = Recorder()
    gmem_faults.on_get_pfn(actor, m.GetPfn(4, 0x12, 0x13, PRIVATE), context)
    assert context.messages() == [m.GotPfn(4, Reason.POISONED, 0, 0)]


# --- folios --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "small"),
    [
        (0x010, 0x020, [(0, 0), (0x200, 9), (0x800, -1)]),
        (0x1FF, 0x201, [(0, 0), (0x400, 9), (0x800, -1)]),
        (0x200, 0x400, [(0, 9), (0x200, 0), (0x400, 9), (0x800, -1)]),
    ],
)
def test_folios_that_become_shared_in_part_are_split_whole(start, end, small):
    actor = gmem()
    context = finished(actor, start=start, end=end)
    assert runs(actor.folios) == small
    assert [fact.order for fact in context.of(FolioOrder)] == [0]


@pytest.mark.parametrize(
    ("shared", "start", "end", "folios"),
    [
        ([(0x10, 0x20)], 0x10, 0x20, [(0, 9), (0x800, -1)]),
        ([(0x10, 0x21)], 0x10, 0x20, [(0, 0), (0x200, 9), (0x800, -1)]),
        ([(0x1F0, 0x210)], 0x1F0, 0x210, [(0, 9), (0x800, -1)]),
        ([(0x1F0, 0x211)], 0x1F0, 0x210, [(0, 9), (0x200, 0), (0x400, 9), (0x800, -1)]),
    ],
)
def test_folios_are_merged_once_all_of_them_is_private(shared, start, end, folios):
    small = [(0, 0x200)] if shared[0][1] <= 0x200 else [(0, 0x400)]
    actor = gmem(shared=shared, small=small)
    finished(actor, PRIVATE, start, end)
    assert runs(actor.folios) == folios


def test_a_folio_with_a_poisoned_page_is_not_merged():
    actor = gmem(shared=[(0x10, 0x20)], small=[(0, 0x200)], poison=[(0x100, 0x101)])
    finished(actor, PRIVATE)
    assert runs(actor.folios)[0] == (0, 0)


def test_a_merge_gives_the_vmemmap_pages_back():
    actor = gmem(shared=[(0x10, 0x20)], small=[(0, 0x200)])
    assert finished(actor, PRIVATE).messages()[0] == m.GiveBack(TREE_PAGES + SPLIT_PAGES, VM, OP)
    assert actor.metadata == 0


def test_a_split_keeps_its_vmemmap_pages_until_the_file_is_gone():
    actor = gmem()
    context = finished(actor, start=0x1FF, end=0x201)
    assert m.GiveBack(TREE_PAGES, VM, OP) in context.messages()
    assert actor.metadata == 2 * SPLIT_PAGES
    gmem_release.free(actor, context)
    assert (context.messages()[0], actor.metadata) == (m.GiveBack(2 * SPLIT_PAGES, VM), 0)


def test_files_of_small_folios_are_never_restructured():
    actor = gmem(page_order=0)
    assert finished(actor).of(FolioOrder) == []


def test_memory_that_is_used_and_returned_adds_up():
    world = World()
    free = world.allocator().free
    for to in (SHARED, PRIVATE) * 3:
        world.convert(0, 0x400, to)
    assert (world.allocator().free, world.found) == (free, set())


def test_the_table_of_a_split_leaf_stays_and_serves_the_next_split():
    world = World()
    free = world.allocator().free
    for start, end, to in 3 * ((0, 1, SHARED), (0, 0x200, SHARED), (0, 0x200, PRIVATE)):
        world.ask(start, end, to)
        world.run()
    assert runs(world.kvm().mirror) == [(0, 2), (0x800, 0)]
    assert world.allocator().free == free - kvm_memory.SPLIT_PAGES


# --- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "start", "answer"),
    [
        (PRIVATE, 0x30, m.GotPfn(4, Reason.NONE, 0, 0x5030)),
        (PRIVATE, 0x200, m.GotPfn(4, Reason.NONE, 9, 0x5200)),
        (SHARED, 0x10, m.GotPfn(4, Reason.NONE, 0, 0x5010)),
        (SHARED, 0x30, m.GotPfn(4, Reason.REFERENCES, 0, 0)),
        (PRIVATE, 0x10, m.GotPfn(4, Reason.REFERENCES, 0, 0)),
    ],
)
def test_a_guest_fault_is_told_the_folio_or_that_it_is_of_the_wrong_kind(share, start, answer):
    context = Recorder()
    actor = gmem(shared=[(0x10, 0x20)], small=[(0, 0x200)])
    gmem_faults.on_get_pfn(actor, m.GetPfn(4, start, start + 1, share), context)
    assert (context.messages(), actor.ilock.idle) == ([answer], True)


def test_a_guest_fault_waits_for_a_conversion_under_way():
    actor = gmem()
    context = to_stage(actor, Stage.COMMITTING)
    context.take()
    gmem_faults.on_get_pfn(actor, m.GetPfn(4, 0x400, 0x401, PRIVATE), context)
    assert context.take() == []
    settle(actor, context, m.Committed)
    actor.on_thawed(m.Thawed(OP), context)
    assert m.GotPfn(4, Reason.NONE, 9, 0x5400) in context.messages()


@pytest.mark.parametrize(("start", "allowed"), [(0x10, True), (0x30, False)])
def test_the_host_may_fault_on_shared_pages_only_and_holds_the_lock_until_it_is_done(
    start, allowed
):
    actor, context = gmem(shared=[(0x10, 0x20)]), Recorder()
    gmem_faults.on_host_fault(actor, m.HostFault(VM | HOST_MAP, 6, start, start + 1), context)
    assert (context.messages(), actor.ilock.idle) == ([m.HostPage(6, allowed)], not allowed)
    if allowed:
        gmem_faults.on_host_faulted(actor, m.HostFaulted(6), context)
    assert actor.ilock.idle


def test_the_host_may_not_have_a_poisoned_page_though_it_is_shared():
    actor, context = gmem(shared=[(0x10, 0x20)]), Recorder()
    actor.poison.set(0x12, 0x13, 1)
    gmem_faults.on_host_fault(actor, m.HostFault(VM | HOST_MAP, 6, 0x10, 0x20), context)
    assert (context.messages(), actor.ilock.idle) == ([m.HostPage(6, False)], True)


# --- the end -------------------------------------------------------------------------------------


def test_release_waits_for_the_conversion_under_way():
    actor = gmem()
    context = to_stage(actor, Stage.COMMITTING)
    gmem_release.on_release(actor, m.ReleaseFile(), context)
    assert not actor.released
    settle(actor, context, m.Committed)
    actor.on_thawed(m.Thawed(OP), context)
    assert actor.released and context.sent[-1][:2] == (VM | HOST_MAP, m.Teardown(FILE))


def test_who_comes_after_the_release_is_told_eio():
    actor, context = gmem(), Recorder()
    gmem_release.on_release(actor, m.ReleaseFile(), context)
    convert(actor, context=context)
    # The lock is held until nothing is mapped.
    for holder in (VM | HOST_MAP, IOMMU, VM | PINS):
        assert [sent[:2] for sent in context.take()] == [(holder, m.Teardown(FILE))]
        gmem_release.on_torn_down(actor, m.TornDown(), context)
    assert context.messages() == [m.Teardown(FILE, Trace.CALLBACK)] and not actor.torn_down
    gmem_release.on_torn_down(actor, m.TornDown(), context)
    assert context.messages()[-1] == m.Converted(OP, Reason.DEAD, 0x10, False)
    assert [(fact.op, fact.waits) for fact in context.of(LockAsked)] == [
        (RELEASE_OP, False),
        (OP, True),
    ]
    assert [fact.op for fact in context.of(LockWaited)] == [OP]
    assert [fact.op for fact in context.of(LockLeft)] == [RELEASE_OP, OP]


@pytest.mark.parametrize("marks", ["poison", "kept"])
@pytest.mark.parametrize(
    ("split", "first", "last"), [(False, 0x200, 0x400), (True, 0x212, 0x213)]
)  # a reference is the folio's, and a huge folio with a poisoned page does not go back in parts
def test_every_folio_is_freed_but_the_marked_ones(marks, split, first, last):
    actor, context = gmem(), Recorder()
    getattr(actor, marks).set(0x212, 0x213, 1)
    if split:
        actor.folios.set(0x200, 0x400, 0)
    gmem_release.free(actor, context)
    freed = [m.FreeMemory(0x5000, 0x5000 + first), m.FreeMemory(0x5000 + last, 0x5800)]
    assert context.messages() == freed
    assert [(f.start, f.gfn) for f in context.of(FramesFreed)] == [
        (0x5000, 0x1000),
        (0x5000 + last, 0x1000 + last),
    ]
    assert context.of(FramesKept) == [FramesKept(VM, 0x5000 + first, 0x5000 + last, 0x1000 + first)]
    assert actor.folios.get(0x212) == (0 if split else 9)


def test_a_range_in_no_binding_is_a_bug_in_gmemsim():
    with pytest.raises(AssertionError, match=r"index 0x7ff\.\.0x801 is in no binding"):
        gmem().shift_of(0x7FF, 0x801)


def test_consumers_live_where_their_addresses_say():
    found = [consumer_address(FILE, consumer) for consumer in ALL]
    assert found == [VM | KVM, VM | HOST_MAP, VM | PINS, IOMMU]
