"""KVM MMU: boundary leaves, the plan of a zap, one retry after BUSY, and what a fault does meanwhile."""

from typing import Any

import pytest

from actors import messages as m
from actors.address import GMEM, GUEST, TDX, VMM, host_base, vm_address
from actors.contract import Consumer, Fault, Reason
from actors.guest.outcome import Outcome
from actors.kvm import entry as kvm_entry
from actors.kvm import tickets as kvm_tickets
from actors.kvm.memory import SPLIT_PAGES
from actors.kvm.mmu import KvmMmu
from actors.locks.holders import RELEASE_OP
from actors.locks.observations import LockAsked, LockLeft
from actors.observations import (
    EpochDrained,
    Failed,
    FaultRetried,
    HugeLost,
    InvalidationBegin,
    InvalidationEnd,
    Leaf,
    PoisonSet,
    TlbFlushed,
    VmBugged,
)
from actors.slots import Slot
from actors.tdx.states import LEVEL_2M, LEVEL_4K, Call, Status
from tests.helpers import COST, LINK, PRIVATE, SHARED, TIMER, Recorder, Sent, World, runs, table

VM = vm_address(0, 0)
FILE = VM | GMEM
OP = 3
WALK = OP * kvm_tickets.TICKETS  # the ticket of a walk
SIZE = 0x800  # pages of the VM
HUGE, SMALL = (0, SIZE, LEVEL_2M), (0, SIZE, LEVEL_4K)


def kvm(*private, shared=(), per_page=False):
    return KvmMmu(VM, (Slot(0, SIZE, 0, 0),), per_page, table(*private), table(*shared))


def prepared(actor, start, end, to=SHARED, context=None):
    """The context after PREPARE of the range."""
    context = context or Recorder()
    actor.on_prepare(m.Prepare(FILE, OP, start, end, to), context)
    return context


def play(actor, context, statuses=(), kicks=True):
    """Answer every SEAMCALL and kick until the walk has answered: BUSY and the like from `statuses`, then OK."""
    calls, given = list[Any](), iter(statuses)
    pending = context.take()
    while pending:
        sent = pending.pop(0).message
        if isinstance(sent, m.Reserve):
            actor.on_reserved(m.Reserved(sent.ticket, True), context)
        elif isinstance(sent, m.Seamcall):
            status = next(given, Status.OK)
            index = 0 if status else sent.count
            calls.append((Call(sent.call).name, sent.start, sent.end, sent.count))
            actor.on_seamcall_done(m.SeamcallDone(sent.ticket, sent.call, status, index), context)
        elif isinstance(sent, m.Kick):
            calls.append(("KICK AND KEEP OUT" if sent.stay else "KICK", sent.count))
            actor.on_kicked(m.Kicked(sent.ticket), context)
        elif isinstance(sent, m.LetIn):
            calls.append(LET_IN)
        elif isinstance(sent, m.Step):
            actor.on_step(sent, context)
        elif isinstance(sent, m.Flush):
            calls.append(("FLUSH", 1))
            actor.on_flushed(m.Flushed(sent.ticket), context)
        else:
            calls.append(sent)
        pending += context.take()
    return calls


LET_IN = ("LET IN", 1)
READY = m.Ready(OP, Consumer.KVM_MMU)
DONE = m.Committed(OP, Consumer.KVM_MMU)
ABORTED = m.Aborted(OP, Consumer.KVM_MMU)


# --- PREPARE: boundary leaves --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "leaves"),
    [
        (0x000, 0x200, []),
        (0x000, 0x800, []),
        (0x000, 0x001, [0x000]),
        (0x1FF, 0x200, [0x000]),
        (0x010, 0x011, [0x000]),  # both edges in one leaf
        (0x010, 0x200, [0x000]),
        (0x200, 0x5FF, [0x400]),
        (0x1FF, 0x201, [0x000, 0x200]),
        (0x001, 0x7FF, [0x000, 0x600]),
    ],
)
def test_only_the_leaves_that_the_range_cuts_through_are_split(start, end, leaves):
    actor = kvm(HUGE)
    context = prepared(actor, start, end)
    assert [leaf for leaf, _, _ in actor.walks[OP].todo] == leaves
    pages = [sent.message.pages for sent in context.sent if isinstance(sent.message, m.Reserve)]
    assert pages == [SPLIT_PAGES * len(leaves)] * bool(leaves)


def test_small_leaves_need_no_split():
    assert prepared(kvm(SMALL), 1, 0x7FF).messages() == [READY]


def test_absent_leaves_need_no_split():
    assert prepared(kvm(), 1, 0x7FF).messages() == [READY]


def test_to_private_splits_nothing():
    assert prepared(kvm(HUGE), 1, 0x7FF, PRIVATE).messages() == [READY]


def test_a_split_is_block_track_kick_demote_leaf_by_leaf():
    actor = kvm(HUGE)
    context = prepared(actor, 0x1FF, 0x201)
    assert play(actor, context) == [
        ("BLOCK", 0x000, 0x200, 1),
        ("TRACK", 0x000, 0x200, 1),
        ("KICK", 1),
        ("DEMOTE", 0x000, 0x200, 1),
        ("BLOCK", 0x200, 0x400, 1),
        ("TRACK", 0x200, 0x400, 1),
        ("KICK", 1),
        ("DEMOTE", 0x200, 0x400, 1),
        READY,
    ]
    assert runs(actor.mirror) == [(0, LEVEL_4K), (0x400, LEVEL_2M), (SIZE, 0)]
    assert [fact.leaves for fact in context.of(HugeLost)] == [1, 1]


@pytest.mark.parametrize("granted", [False, True])
def test_no_memory_to_split_refuses_with_nothing_taken(granted):
    actor = kvm(HUGE)
    choices = {} if not granted else {"kvm.split_memory": Fault(Reason.NO_MEMORY, 0)}
    context = prepared(actor, 1, 2, context=Recorder(choices))
    if not granted:
        context.take()
        actor.on_reserved(m.Reserved(OP, False), context)
    refused = m.Refused(OP, Consumer.KVM_MMU, Reason.NO_MEMORY, 1)
    assert (context.messages(), actor.lock.idle) == ([refused], True)


def test_a_dead_vm_refuses():
    actor = kvm(HUGE)
    actor.dead = True
    refused = m.Refused(OP, Consumer.KVM_MMU, Reason.DEAD, 1)
    assert prepared(actor, 1, 2).messages() == [refused]


# --- COMMIT: the zap -----------------------------------------------------------------------------


def committed(actor, start, end, to=SHARED, statuses=()):
    context = prepared(actor, start, end, to)
    context.take()
    actor.on_commit(m.Commit(FILE, OP, start, end, to), context)
    return play(actor, context, statuses), context


@pytest.mark.parametrize(("per_page", "rounds"), [(True, 5), (False, 1)])
def test_track_and_kick_come_for_each_page_or_once_for_the_step(per_page, rounds):
    calls, _ = committed(kvm(SMALL, per_page=per_page), 3, 8)
    assert calls == [
        ("BLOCK", 3, 8, 5),
        ("TRACK", 3, 8, rounds),
        ("KICK", rounds),
        ("REMOVE", 3, 8, 5),
        ("WBINVD", 3, 8, 5),
        DONE,
    ]


def test_a_step_is_one_level_and_two_mib_at_most():
    actor = kvm((0, 0x200, LEVEL_4K), (0x200, 0x600, LEVEL_2M))
    calls, _ = committed(actor, 0x100, 0x600)
    removed = [call[1:] for call in calls[:-1] if call[0] == "REMOVE"]
    assert removed == [(0x100, 0x200, 0x100), (0x200, 0x400, 1), (0x400, 0x600, 1)]
    assert runs(actor.mirror) == [(0, LEVEL_4K), (0x100, 0)]


def test_what_is_absent_is_walked_over():
    assert committed(kvm(), 0, SIZE)[0] == [DONE]


def test_to_private_zaps_the_shared_side_and_flushes_once_for_the_range():
    actor = kvm(HUGE, shared=[(0, 0x300, LEVEL_4K)])
    calls, context = committed(actor, 0x10, 0x400, PRIVATE)
    assert (calls, runs(actor.shared_ept)) == ([("FLUSH", 1), DONE], [(0, LEVEL_4K), (0x10, 0)])
    assert [(leaf.start, leaf.end) for leaf in context.of(Leaf)] == [(0x10, 0x200), (0x200, 0x300)]
    assert context.of(TlbFlushed) == [TlbFlushed(VM, OP)]


def test_to_private_with_nothing_mapped_flushes_nobody():
    assert committed(kvm(HUGE), 0x10, 0x400, PRIVATE)[0] == [DONE]


# --- BUSY: once more, and no more ----------------------------------------------------------------


def test_after_one_busy_everybody_is_kicked_and_the_call_comes_again():
    calls, _ = committed(kvm(SMALL), 3, 5, statuses=[Status.BUSY])
    assert calls == [
        ("BLOCK", 3, 5, 2),
        ("KICK AND KEEP OUT", 1),
        ("BLOCK", 3, 5, 1),  # the one call that met BUSY
        LET_IN,
        ("BLOCK", 4, 5, 1),  # the rest, which may meet one BUSY of its own
        ("TRACK", 3, 5, 1),
        ("KICK", 1),
        ("REMOVE", 3, 5, 2),
        ("WBINVD", 3, 5, 2),
        DONE,
    ]


def test_the_retry_takes_up_where_the_batch_stopped():
    actor, context = kvm(SMALL), Recorder()
    prepared(actor, 0, 8, context=context).take()
    actor.on_commit(m.Commit(FILE, OP, 0, 8, SHARED), context)
    context.take()
    actor.on_seamcall_done(m.SeamcallDone(WALK, Call.BLOCK, Status.BUSY, 3), context)
    actor.on_kicked(m.Kicked(OP), context)
    actor.on_seamcall_done(m.SeamcallDone(WALK, Call.BLOCK, Status.OK, 1), context)
    calls = [s.message for s in context.take() if isinstance(s.message, m.Seamcall)]
    assert [(call.start, call.count, call.attempt) for call in calls] == [(3, 1, 1), (4, 4, 0)]


def test_a_second_busy_in_prepare_refuses_with_nothing_blocked():
    actor = kvm(HUGE)
    calls = play(actor, prepared(actor, 1, 2), [Status.BUSY] * 2)
    refused = m.Refused(OP, Consumer.KVM_MMU, Reason.BUSY, 1)
    assert calls[-2:] == [m.GiveBack(SPLIT_PAGES, VM, OP), refused]
    assert (runs(actor.mirror), actor.lock.idle) == ([(0, LEVEL_2M), (SIZE, 0)], True)


@pytest.mark.parametrize(
    ("statuses", "reason"),
    [
        ([Status.OK, Status.OK, Status.BUSY, Status.BUSY], Reason.BUSY),
        ([Status.OK, Status.OK, Status.INTERRUPTED], Reason.INTERRUPTED),
        ([Status.OK, Status.BUSY, Status.BUSY], Reason.BUSY),  # TRACK
    ],
)
def test_a_leaf_that_prepare_blocked_is_unblocked_before_it_refuses(statuses, reason):
    actor = kvm(HUGE)
    calls = [call for call in play(actor, prepared(actor, 1, 2), statuses) if call != LET_IN]
    refused = m.Refused(OP, Consumer.KVM_MMU, reason, 1)
    assert [call[0] for call in calls[-5:-2]] == ["TRACK", "KICK", "UNBLOCK"]
    assert calls[-2:] == [m.GiveBack(SPLIT_PAGES, VM, OP), refused]
    assert actor.lock.idle


def test_unblock_goes_on_until_it_succeeds():
    actor = kvm(HUGE)
    statuses = [Status.OK, Status.OK, Status.INTERRUPTED, Status.OK, *[Status.BUSY] * 20]
    calls = play(actor, prepared(actor, 1, 2), statuses)
    names = [call[0] for call in calls if isinstance(call, tuple)]
    assert names.count("UNBLOCK") == 21
    assert names[names.index("KICK AND KEEP OUT") :].count("LET IN") == 1 and "LET IN" in names[-1:]
    assert not actor.dead


def test_after_a_second_busy_nobody_gets_in_before_the_leaf_is_unblocked():
    actor = kvm(HUGE)
    statuses = [Status.OK, Status.OK, Status.BUSY, Status.BUSY]
    names = [c[0] for c in play(actor, prepared(actor, 1, 2), statuses) if isinstance(c, tuple)]
    assert names[names.index("KICK AND KEEP OUT") :] == [
        "KICK AND KEEP OUT",
        "DEMOTE",
        "TRACK",
        "KICK",
        "UNBLOCK",
        "LET IN",
    ]


def test_a_vcpu_whose_fault_came_to_nothing_enters_after_the_retry():
    actor, context = kvm(SMALL), Recorder()
    kvm_entry.keep_out(actor, OP, LINK, context)
    kvm_entry.enter(actor, 7, LINK, context)
    assert context.take() == [Sent(VM | GUEST, m.Kick(OP, 1, stay=True), LINK)]
    kvm_entry.let_in(actor, context)
    assert context.take() == [
        Sent(VM | GUEST, m.LetIn(), LINK),
        Sent(host_base(VM) | TDX, m.VpEnter(VM, 7), LINK),
    ]
    kvm_entry.let_in(actor, context)
    assert context.take() == []


def poisoned(page, reason=Reason.BUSY):
    return m.Poison(OP, Consumer.KVM_MMU, reason, page, page + 1)


def test_a_second_busy_in_commit_bugs_the_vm_and_poisons_the_page_and_the_rest_is_zapped():
    actor = kvm(SMALL)
    calls, context = committed(actor, 3, 8, statuses=[Status.BUSY] * 2)
    assert calls[-10:] == [
        m.VmDead(),
        m.VmDead(),
        LET_IN,
        poisoned(3),
        ("BLOCK", 4, 8, 4),
        ("TRACK", 3, 8, 1),
        ("KICK", 1),
        ("REMOVE", 4, 8, 4),
        ("WBINVD", 4, 8, 4),
        DONE,
    ]
    assert context.of(VmBugged) == [VmBugged(VM, "commit", Reason.BUSY, False)]
    assert runs(actor.mirror) == [(0, 1), (4, 0), (8, 1), (SIZE, 0)]


def test_a_second_busy_of_track_leaves_every_leaf_of_its_step():
    actor = kvm(SMALL)
    calls, _ = committed(actor, 0x1FE, 0x201, statuses=[Status.OK, Status.BUSY, Status.BUSY])
    poison = m.Poison(OP, Consumer.KVM_MMU, Reason.BUSY, 0x1FE, 0x200)
    assert calls[calls.index(poison) + 1 :] == [
        ("BLOCK", 0x200, 0x201, 1),
        ("TRACK", 0x200, 0x201, 1),
        ("KICK", 1),
        ("REMOVE", 0x200, 0x201, 1),
        ("WBINVD", 0x200, 0x201, 1),
        DONE,
    ]


def test_a_bug_in_commit_poisons_the_page_that_is_still_mapped():
    actor, context = kvm(SMALL), Recorder()
    prepared(actor, 0, 8, context=context).take()
    actor.on_commit(m.Commit(FILE, OP, 0, 8, SHARED), context)
    for what in (Call.BLOCK, Call.TRACK):
        actor.on_seamcall_done(m.SeamcallDone(WALK, what, Status.OK, 8), context)
    actor.on_kicked(m.Kicked(OP), context)
    context.take()
    actor.on_seamcall_done(m.SeamcallDone(WALK, Call.REMOVE, Status.BUG, 5), context)
    assert m.Poison(OP, Consumer.KVM_MMU, Reason.BUG, 5, 6) in context.messages()
    assert runs(actor.mirror) == [(0, 0), (5, LEVEL_4K), (SIZE, 0)]


def test_a_page_whose_caches_cannot_be_written_back_is_told_of_and_the_rest_are():
    busy = [Status.OK] * 3 + [Status.BUSY] * 2  # BLOCK, TRACK, REMOVE, then WBINVD and its retry
    calls, context = committed(kvm(SMALL), 3, 8, statuses=busy)
    assert calls[calls.index(poisoned(3)) + 1 :] == [("WBINVD", 4, 8, 4), DONE]
    assert context.of(VmBugged) == [VmBugged(VM, "commit", Reason.BUSY, False)]


def test_a_vm_that_died_meanwhile_is_zapped_like_any_other():
    actor = kvm(SMALL)
    context = prepared(actor, 0, 8)
    context.take()
    actor.dead = True
    actor.on_commit(m.Commit(FILE, OP, 0, 8, SHARED), context)
    assert play(actor, context)[-3:] == [("REMOVE", 0, 8, 8), ("WBINVD", 0, 8, 8), DONE]
    assert runs(actor.mirror) == [(0, 0), (8, 1), (SIZE, 0)]


# --- ABORT ---------------------------------------------------------------------------------------


def test_abort_after_ready_has_nothing_left_to_give_back():
    actor = kvm(HUGE)
    context = prepared(actor, 1, 2)
    play(actor, context)
    actor.on_abort(m.Abort(FILE, OP), context)
    assert context.messages() == [ABORTED]


def test_abort_while_memory_is_asked_for_gives_it_back():
    actor = kvm(HUGE)
    context = prepared(actor, 1, 2)
    context.take()
    actor.on_abort(m.Abort(FILE, OP), context)
    assert context.take() == []
    actor.on_reserved(m.Reserved(OP, True), context)
    assert (context.messages(), actor.lock.idle) == (
        [m.GiveBack(SPLIT_PAGES, VM, OP), ABORTED],
        True,
    )


def test_abort_in_the_middle_of_a_split_lets_the_leaf_in_hand_finish_and_no_other():
    actor = kvm(HUGE)
    context = prepared(actor, 0x1FF, 0x201)
    context.take()
    actor.on_reserved(m.Reserved(OP, True), context)
    actor.on_abort(m.Abort(FILE, OP), context)
    calls = play(actor, context)
    assert [call[0] for call in calls[:-2]] == ["BLOCK", "TRACK", "KICK", "DEMOTE"]
    assert calls[-2:] == [m.GiveBack(SPLIT_PAGES, VM, OP), ABORTED]
    assert runs(actor.mirror) == [(0, LEVEL_4K), (0x200, LEVEL_2M), (SIZE, 0)]


def test_abort_while_waiting_for_mmu_lock_splits_nothing():
    actor = kvm(HUGE)
    actor.lock.take(99, True, 0)
    context = prepared(actor, 1, 2)
    actor.on_reserved(m.Reserved(OP, True), context)
    actor.on_abort(m.Abort(FILE, OP), context)
    context.take()
    for waiter in actor.lock.drop(99):
        actor.granted(waiter.ticket, context)
    assert (context.messages(), actor.lock.idle) == (
        [m.GiveBack(SPLIT_PAGES, VM, OP), ABORTED],
        True,
    )


def test_an_abort_that_crosses_a_refusal_is_answered_as_well():
    actor = kvm(HUGE)
    context = prepared(actor, 1, 2)
    context.take()
    actor.on_abort(m.Abort(FILE, OP), context)
    actor.on_reserved(m.Reserved(OP, False), context)
    refused = m.Refused(OP, Consumer.KVM_MMU, Reason.NO_MEMORY, 1)
    assert context.messages() == [refused, ABORTED]


# --- faults --------------------------------------------------------------------------------------


def violation(actor, start, end, level=LEVEL_4K, context=None, suspect=False):
    context = context or Recorder()
    actor.on_violation(m.Violation(7, start, end, level, False, suspect=suspect), context)
    return context


def got(actor, context, order=0, reason=Reason.NONE):
    actor.on_got_pfn(m.GotPfn(7, reason, order, 0x5000), context)
    return context


def test_a_fault_asks_for_the_folio_first_and_the_lock_second():
    actor = kvm()
    context = violation(actor, 3, 8)
    assert context.take() == [Sent(FILE, m.GetPfn(7, 3, 8, PRIVATE), LINK)]
    (aug,) = got(actor, context).messages()
    assert (aug.call, aug.start, aug.end, aug.level, aug.pfn) == (Call.AUG, 3, 8, 1, 0x5000)


@pytest.mark.parametrize(
    ("start", "end", "order", "level", "expected"),
    [
        (0x200, 0x400, 9, LEVEL_2M, LEVEL_2M),
        (0x200, 0x400, 9, LEVEL_4K, LEVEL_4K),  # the guest accepts small pages
        (0x200, 0x400, 0, LEVEL_2M, LEVEL_4K),  # the folio is split
        (0x200, 0x300, 9, LEVEL_2M, LEVEL_4K),  # not a whole leaf
        (0x100, 0x300, 9, LEVEL_2M, LEVEL_4K),  # not aligned
    ],
)
def test_a_leaf_is_as_large_as_folio_range_and_guest_allow(start, end, order, level, expected):
    actor = kvm()
    context = violation(actor, start, end, level)
    context.take()
    assert got(actor, context, order).messages()[0].level == expected


def test_what_another_vcpu_mapped_is_not_mapped_again():
    actor = kvm((0, 8, LEVEL_4K))
    context = violation(actor, 3, 8)
    context.take()
    got(actor, context)
    assert (context.messages(), actor.lock.idle) == ([m.VpEnter(VM, 7)], True)


def test_a_fault_in_a_frozen_range_parks_and_goes_on_after_the_thaw():
    actor, context = kvm(), Recorder()
    actor.receive(m.Freeze(FILE, OP, 0, 0x200), context)
    prepared(actor, 0, 1, context=context).take()
    assert violation(actor, 0x1FF, 0x200, context=context).take() == []
    assert actor.parked == [7]
    actor.receive(m.Thaw(FILE, OP), context)
    assert context.messages() == [m.Thawed(OP), m.GetPfn(7, 0x1FF, 0x200, PRIVATE)]
    assert (actor.parked, actor.sequence) == ([], 1)


def test_a_fault_beside_the_frozen_range_goes_on():
    actor, context = kvm(), Recorder()
    actor.receive(m.Freeze(FILE, OP, 0, 0x200), context)
    context.take()
    assert violation(actor, 0x200, 0x201, context=context).messages() != []


def augmented(actor, context, status=Status.OK, index=5):
    """The module's answer to the AUG of fault 7."""
    ticket = 7 * kvm_tickets.TICKETS + kvm_tickets.FAULT
    actor.on_seamcall_done(m.SeamcallDone(ticket, Call.AUG, status, index), context)


def test_a_range_is_frozen_once_those_who_hold_the_lock_are_through():
    actor = kvm()
    got(actor, violation(actor, 3, 8)).take()
    context = Recorder()
    actor.receive(m.Freeze(FILE, OP, 0, 0x200), context)
    assert (context.take(), actor.invalidations) == ([], {})
    augmented(actor, context)
    assert m.Frozen(OP) in context.messages()
    assert (actor.invalidations, runs(actor.mirror)[1]) == ({OP: (0, 0x200)}, (3, LEVEL_4K))
    assert context.of(InvalidationBegin) == [InvalidationBegin(VM, OP, 0, 0x200, True)]


def test_a_range_is_thawed_once_those_who_hold_the_lock_are_through():
    actor, context = kvm(), Recorder()
    actor.receive(m.Freeze(FILE, OP, 0x200, 0x400), context)
    got(actor, violation(actor, 3, 8, context=context)).take()
    context.take()
    actor.receive(m.Thaw(FILE, OP), context)
    assert (context.take(), actor.sequence) == ([], 0)
    augmented(actor, context)
    assert m.Thawed(OP) in context.messages()
    assert (actor.sequence, actor.invalidations, actor.lock.idle) == (1, {}, True)
    assert context.of(InvalidationEnd) == [InvalidationEnd(VM, OP, True)]


def test_another_range_of_one_conversion_widens_the_first_and_one_thaw_ends_both():
    actor, context = kvm(), Recorder()
    for start in (0, 0x600):
        actor.receive(m.Freeze(FILE, OP, start, start + 0x200), context)
    assert actor.invalidations == {OP: (0, 0x800)}
    actor.receive(m.Thaw(FILE, OP), context)
    assert context.messages() == [m.Frozen(OP), m.Frozen(OP), m.Thawed(OP)]
    assert (actor.invalidations, actor.lock.idle) == ({}, True)


def test_a_file_is_torn_down_once_those_who_hold_the_lock_are_through():
    actor = kvm()
    got(actor, violation(actor, 3, 8)).take()
    context = Recorder()
    actor.receive(m.Teardown(FILE), context)
    assert (context.take(), actor.dead) == ([], True)
    augmented(actor, context)
    batch = next(sent.message for sent in context.take() if isinstance(sent.message, m.TakeOut))
    assert (batch.instance, actor.lock.idle) == (0, False)
    actor.receive(m.TakenOut(0, batch.start, batch.end), context)
    assert context.messages() == [m.TornDown(), m.FreeHkid(VM)]
    assert (runs(actor.mirror), actor.lock.idle) == ([(0, 0)], True)
    (taken,), (left,) = context.of(LockAsked), context.of(LockLeft)[-1:]
    assert (taken.op, taken.waits, left.op) == (RELEASE_OP, True, RELEASE_OP)


def test_a_fault_that_saw_an_older_sequence_starts_again():
    actor = kvm()
    context = violation(actor, 3, 8)
    context.take()
    actor.sequence += 1
    assert got(actor, context).messages() == [m.GetPfn(7, 3, 8, PRIVATE)]
    assert (actor.faults[7].sequence, actor.lock.idle) == (1, True)
    assert context.of(FaultRetried) == [FaultRetried(VM, 7, 3, 8, False)]


def test_a_fault_that_meets_a_freeze_under_the_lock_parks():
    actor = kvm()
    context = violation(actor, 3, 8)
    actor.invalidations = {OP: (0, 0x200)}
    context.take()
    got(actor, context)
    assert (context.take(), actor.parked, actor.lock.idle) == ([], [7], True)
    assert context.of(FaultRetried) == [FaultRetried(VM, 7, 3, 8, True)]


def test_a_preempted_fault_wants_the_lock_when_its_thread_runs_again():
    actor = kvm()
    context = violation(actor, 3, 8)
    context.choices["kvm.preempted"] = Fault(Reason.INTERRUPTED, 0)
    context.take()
    (timer,) = got(actor, context).take()
    assert (timer.target, timer.message, timer.delay) == (TIMER, m.FaultScheduled(7), COST)
    assert actor.lock.idle
    actor.sequence += 1
    actor.receive(timer.message, context)
    assert context.messages() == [m.GetPfn(7, 3, 8, PRIVATE)]
    assert len(context.of(FaultRetried)) == 1


def test_each_look_up_is_another_opportunity_to_be_preempted():
    actor = kvm()
    context = violation(actor, 3, 8)
    actor.sequence += 1
    got(actor, got(actor, context))
    keys = [key for point, _, key in context.asked if point == "kvm.preempted"]
    assert [key & 0xFFF for key in keys] == [1, 2] and len(set(keys)) == 2


@pytest.mark.parametrize(("status", "index"), [(Status.OK, 5), (Status.BUSY, 0), (Status.BUSY, 2)])
def test_the_mirror_follows_what_aug_did_and_busy_is_not_fatal(status, index):
    actor = kvm()
    context = violation(actor, 3, 8)
    got(actor, context).take()
    actor.on_seamcall_done(
        m.SeamcallDone(7 * kvm_tickets.TICKETS + 1, Call.AUG, status, index), context
    )
    assert actor.mirror.pages(0, SIZE, LEVEL_4K) == index
    last = m.VpEnter(VM, 7) if status else m.Accessed(7, Outcome.RETRY)
    assert (context.messages(), actor.faults, actor.lock.idle) == ([last], {}, True)


def test_a_frame_that_has_an_owner_is_a_bug_of_the_host_and_ends_the_vm():
    actor = kvm()
    context = violation(actor, 3, 8)
    got(actor, context).take()
    augmented(actor, context, Status.OWNED, 2)
    assert context.of(VmBugged) == [VmBugged(VM, "fault", Reason.BUG, False)]
    assert (actor.mirror.pages(0, SIZE, LEVEL_4K), actor.lock.idle) == (2, True)


@pytest.mark.parametrize("to", [SHARED, PRIVATE])
def test_a_leaf_that_could_not_be_unmapped_is_a_no_that_names_it(to):
    actor = kvm(SMALL)
    actor.left = table((0x15, 0x18, 1))
    assert prepared(actor, 0x10, 0x20, to).messages() == [
        m.Refused(OP, Consumer.KVM_MMU, Reason.BUG, 0x15)
    ]
    assert prepared(actor, 0x18, 0x20, to).messages() == [READY]


def test_after_a_suspicious_fault_the_way_back_leads_through_the_module_whatever_came_of_it():
    actor, context = kvm(), Recorder()
    actor.receive(m.Freeze(FILE, OP, 0, 0x200), context)
    violation(actor, 3, 8, context=context, suspect=True)
    actor.receive(m.Thaw(FILE, OP), context)  # it has waited, and is served all the same
    got(actor, context).take()
    aug = m.SeamcallDone(7 * kvm_tickets.TICKETS + 1, Call.AUG, Status.OK, 5)
    actor.on_seamcall_done(aug, context)
    assert context.take() == [Sent(host_base(VM) | TDX, m.VpEnter(VM, 7), LINK)]


def test_a_vcpu_enters_again_after_its_memory_fault_and_half_the_exit_is_the_way_back():
    actor = kvm()
    context = violation(actor, 3, 8)
    context.take()
    (exit_,) = got(actor, context, reason=Reason.REFERENCES).take()
    assert (exit_.message.to, exit_.delay) == (PRIVATE, COST // 2)
    actor.on_convert_answer(m.ConvertAnswer(exit_.message.request, Reason.NONE, -1), context)
    assert context.take() == [Sent(host_base(VM) | TDX, m.VpEnter(VM, 7), COST // 2)]
    assert actor.faults == {}


def test_a_fault_of_the_wrong_kind_is_a_request_to_convert():
    actor = kvm()
    context = Recorder()
    actor.on_access(m.Access(VM, 7, 3, 8, LEVEL_4K, False), context)
    got(actor, context, reason=Reason.REFERENCES)
    request = context.sent[-1]
    assert (request.target, request.message.to) == (VM | VMM, SHARED)
    actor.on_convert_answer(m.ConvertAnswer(request.message.request, Reason.NONE, -1), context)
    assert context.sent[-1].message == m.GetPfn(7, 3, 8, SHARED)


def test_a_fault_that_comes_again_asks_under_another_number():
    actor, context = kvm(), Recorder()
    actor.on_violation(m.Violation(7, 3, 8, LEVEL_4K, False, again=2), context)
    got(actor, context, reason=Reason.REFERENCES)
    assert context.sent[-1].message.again == 2


def test_a_page_that_cannot_be_had_fails_the_access():
    actor = kvm()
    context = violation(actor, 3, 8)
    got(actor, context, reason=Reason.POISONED)
    assert context.sent[-1] == Sent(host_base(VM) | TDX, m.VpEnter(VM, 7, elsewhere=True), LINK)


def test_touching_what_was_never_accepted_is_the_end_of_the_vm():
    actor, context = kvm(), Recorder()
    actor.on_violation(m.Violation(7, 3, 8, LEVEL_4K, True), context)
    assert actor.dead
    assert context.of(VmBugged)[0].site == "access before acceptance"


def test_a_fault_that_finds_its_vm_dead_under_the_lock_goes_nowhere():
    actor = kvm()
    context = violation(actor, 3, 8)
    context.take()
    actor.dead = True
    got(actor, context)
    assert (context.take(), actor.lock.idle) == ([], True)


def test_what_the_module_has_installed_kvm_has_too_though_the_vm_died_meanwhile():
    actor = kvm()
    context = violation(actor, 3, 8)
    got(actor, context).take()
    actor.dead = True
    actor.on_seamcall_done(
        m.SeamcallDone(7 * kvm_tickets.TICKETS + 1, Call.AUG, Status.OK, 5), context
    )
    assert runs(actor.mirror) == [(0, 0), (3, LEVEL_4K), (8, 0)]
    assert context.of(Leaf) == [Leaf(VM, 3, 8, PRIVATE, LEVEL_4K)]


# --- MapGPA --------------------------------------------------------------------------------------


def pieces(end, answers, choices=None):
    """(range of each piece, what the guest is told)."""
    actor, context, found = kvm(), Recorder(choices), []
    actor.on_map_gpa(m.MapGpa(5, 0x10, end, SHARED, 0), context)
    for reason in answers:
        request = context.sent[-1].message
        found.append((request.start, request.end))
        actor.on_convert_answer(m.ConvertAnswer(request.request, reason, -1), context)
    return found, context.sent[-1].message, actor.calls


def test_map_gpa_is_cut_into_pieces_of_two_mib_from_where_it_starts():
    found, told, calls = pieces(0x450, [Reason.NONE] * 3)
    assert found == [(0x10, 0x210), (0x210, 0x410), (0x410, 0x450)]
    assert (told, calls) == (m.MapGpaDone(5, Reason.NONE, 0x450), {})


def test_an_error_ends_map_gpa_at_the_piece_and_the_ones_before_stay():
    _, told, calls = pieces(0x450, [Reason.NONE, Reason.REFERENCES])
    assert (told, calls) == (m.MapGpaDone(5, Reason.REFERENCES, 0x210), {})


def test_an_interrupt_between_pieces_sends_the_guest_back_to_resume():
    choices = {"kvm.interrupt": Fault(Reason.INTERRUPTED, 0)}
    _, told, _ = pieces(0x450, [Reason.NONE], choices)
    assert told == m.MapGpaDone(5, Reason.INTERRUPTED, 0x210, fresh=True)


def test_an_interrupt_after_the_last_piece_is_of_no_consequence():
    choices = {"kvm.interrupt": Fault(Reason.INTERRUPTED, 0)}
    assert pieces(0x11, [Reason.NONE], choices)[1] == m.MapGpaDone(5, Reason.NONE, 0x11)


# --- the whole host ------------------------------------------------------------------------------


@pytest.mark.parametrize(("track", "kicked"), [("page", 2 * (1 + 16)), ("step", 2 * 2)])
def test_kicks_are_counted_for_each_track(track, kicked):
    world = World(f"vm.track={track}")
    assert world.convert(0x10, 0x20, SHARED) == Reason.NONE
    assert sum(fact.kicked for fact in world.of(EpochDrained)) == kicked


def test_a_parked_fault_is_served_once_the_conversion_is_over():
    world = World("vm.start=unaccepted")
    world.request(0x10, 0x20, SHARED)
    world.run_until(lambda: bool(world.kvm().invalidations))
    task = world.touch(0x100, 0x101, PRIVATE)
    world.run_until(lambda: bool(world.kvm().parked))
    world.run()
    assert (world.tasks, world.pending(), world.found) == ([(task, Reason.NONE)], {}, set())


@pytest.mark.parametrize("point", ["tdx.busy", "tdx.remove_busy", "tdx.track_busy"])
def test_a_second_busy_in_commit_is_the_end_of_the_vm(point):
    world = World()
    world.convert(0x10, 0x11, SHARED)  # the boundary leaf is split from here on
    world.inject(point)
    assert world.convert(0x10, 0x20, SHARED) == Reason.BUG
    assert [fact.reason for fact in world.of(VmBugged)] == [Reason.BUSY]
    assert world.of(PoisonSet) and world.kvm().dead
    assert {fact.phase for fact in world.of(Failed)} == {"committing"}


@pytest.mark.parametrize("free", [9 + SPLIT_PAGES - 1, 9 + SPLIT_PAGES])
@pytest.mark.parametrize("freeze_at", ["prepare", "commit"])
def test_a_walk_is_over_with_its_answer_whether_or_not_a_thaw_follows(free, freeze_at):
    world = World(f"protocol.freeze_at={freeze_at}")
    world.allocator().free = free
    reason = Reason.NONE if free == 9 + SPLIT_PAGES else Reason.NO_MEMORY
    assert world.convert(0x10, 0x20, SHARED) is reason
    assert (world.kvm().walks, world.pending(), world.found) == ({}, {}, set())


def test_an_abort_that_crosses_no_walk_any_more_is_acknowledged():
    actor, context = kvm(HUGE), Recorder({"kvm.split_memory": Fault(Reason.NO_MEMORY, 0)})
    prepared(actor, 0x10, 0x20, context=context)
    (no,) = context.messages()
    assert (type(no), actor.walks) == (m.Refused, {})
    actor.on_abort(m.Abort(FILE, OP), context)
    assert context.messages() == [m.Aborted(OP, Consumer.KVM_MMU)]
