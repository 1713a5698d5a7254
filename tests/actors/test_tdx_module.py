"""TDX module: which state leads where, which lock says BUSY, and when REMOVE and DEMOTE may come."""

from itertools import product

import msgspec
import pytest

from actors import messages as m
from actors.address import GUEST, KVM, vm_address
from actors.contract import Fault, Reason, opportunity, page_of
from actors.guest.outcome import Outcome
from actors.observations import (
    CachesWritten,
    EpochDrained,
    GuestAccepted,
    GuestAccess,
    SeamcallAnswered,
    Sept,
)
from actors.tdx import end as tdx_end
from actors.tdx import guest as tdx_guest
from actors.tdx.entries import LEVEL_SHIFT, STATE_MASK, Td
from actors.tdx.guest import GIVE_UP, STORM_VCPUS, ZERO_STEP_THRESHOLD
from actors.tdx.module import TdxModule
from actors.tdx.states import LEVEL_2M, LEVEL_4K, PAGES, RULES, Call, Cause, Entry, Lock, Status
from tests.helpers import COST, LINK, SHARED, Recorder, Sent, World, runs, table

VM = vm_address(0, 0)
LEGAL = {
    (Call.AUG, Entry.FREE): Entry.PENDING,
    (Call.BLOCK, Entry.MAPPED): Entry.BLOCKED,
    (Call.BLOCK, Entry.PENDING): Entry.PENDING_BLOCKED,
    (Call.UNBLOCK, Entry.BLOCKED): Entry.MAPPED,
    (Call.UNBLOCK, Entry.PENDING_BLOCKED): Entry.PENDING,
    (Call.REMOVE, Entry.BLOCKED): Entry.FREE,
    (Call.REMOVE, Entry.PENDING_BLOCKED): Entry.FREE,
    (Call.DEMOTE, Entry.BLOCKED): Entry.MAPPED,
    (Call.DEMOTE, Entry.PENDING_BLOCKED): Entry.PENDING,
}
MOVING = [call for call in Call if RULES[call].moves]
ILLEGAL = [pair for pair in product(MOVING, Entry) if pair not in LEGAL]


def module(state=Entry.MAPPED, level=LEVEL_4K, pages=8, **fields):
    """One TD whose first pages are in this state, tracked and drained since the last BLOCK."""
    value = state | level << LEVEL_SHIFT if state else 0
    td = Td(table((0, pages, value)), table((0, 1 << 20, 0x1000)), epoch=1, drained=1)
    for name, given in fields.items():
        setattr(td, name, given)
    owner = table((0x1000, 0x1000 + pages, VM)) if state else table()
    return TdxModule({VM: td}, owner), td


def call(what, start=0, end=8, level=LEVEL_4K, attempt=0):
    count = (end - start) // PAGES[level]
    return m.Seamcall(VM, 5, what, start, end, level, count, 0x1000 + start, 77, attempt)


def answer(tdx, message, context=None):
    """Status, and index of the first leaf that failed."""
    context = context or Recorder()
    tdx.on_seamcall(message, context)
    (sent,) = context.take()
    assert sent.target == VM | KVM
    return Status(sent.message.status), sent.message.index


def states(td):
    return [(start, Entry(v & STATE_MASK), v >> LEVEL_SHIFT) for start, v in runs(td.sept)]


# --- the state machine ---------------------------------------------------------------------------


def test_the_rules_allow_these_moves_and_no_other():
    moves = {(c, before): after for c in Call for before, after in RULES[c].moves.items()}
    assert moves == LEGAL


@pytest.mark.parametrize(("what", "before"), LEGAL, ids=lambda part: part.name)
def test_a_legal_call_takes_the_entries_to_their_next_state(what, before):
    tdx, td = module(before)
    context = Recorder()
    assert answer(tdx, call(what), context) == (Status.OK, 8)
    after = LEGAL[what, before]
    assert states(td)[0] == (0, after, LEVEL_4K if after else 0)
    owner = {Entry.FREE: 0, Entry.PENDING: VM}.get(after, -1)
    assert context.of(Sept) == [Sept(VM, 0, 8, after, LEVEL_4K, 0x1000, owner)]


@pytest.mark.parametrize(("what", "before"), ILLEGAL, ids=lambda part: part.name)
def test_an_illegal_call_is_refused_and_changes_nothing(what, before):
    tdx, td = module(before)
    was, context = runs(td.sept), Recorder()
    assert answer(tdx, call(what), context) == (Status.WRONG_STATE, 0)
    assert (runs(td.sept), context.of(Sept)) == (was, [])


@pytest.mark.parametrize(
    ("what", "fields", "choices", "status", "cause"),
    [
        (Call.REMOVE, {}, {}, Status.OK, Cause.CALLER),
        (Call.REMOVE, {}, {"tdx.bug": Fault(Reason.BUG, 2)}, Status.BUG, Cause.FAULT),
        (Call.REMOVE, {}, {"tdx.remove_busy": Fault(Reason.BUSY, 0)}, Status.BUSY, Cause.FAULT),
        (Call.REMOVE, {"tree_exclusive_until": 9}, {}, Status.BUSY, Cause.LOCK),
        (Call.REMOVE, {"epoch": 0, "drained": 0}, {}, Status.NOT_TRACKED, Cause.CALLER),
        (Call.TRACK, {"drained": 0}, {}, Status.BUSY, Cause.LOCK),
        (Call.BLOCK, {}, {"tdx.busy": Fault(Reason.BUG, 0)}, Status.BUG, Cause.FAULT),
        (Call.BLOCK, {}, {"tdx.busy": Fault(Reason.BUG, 3)}, Status.WRONG_STATE, Cause.CALLER),
    ],
)
def test_an_answer_says_why_and_is_injected_only_where_a_fault_point_struck(
    what, fields, choices, status, cause
):
    tdx, _ = module(Entry.BLOCKED, **fields)
    context = Recorder(choices)
    tdx.on_seamcall(call(what), context)
    (sent,) = context.take()
    (fact,) = context.of(SeamcallAnswered)
    assert (fact.status, fact.cause) == (sent.message.status, cause) == (status, cause)
    assert sent.message.injected is (cause is Cause.FAULT)


def test_a_batch_stops_at_the_first_entry_in_a_wrong_state():
    tdx, td = module(Entry.BLOCKED)
    td.sept.set(3, 4, Entry.MAPPED | LEVEL_4K << LEVEL_SHIFT)
    assert answer(tdx, call(Call.REMOVE)) == (Status.WRONG_STATE, 3)
    assert states(td)[:3] == [
        (0, Entry.FREE, 0),
        (3, Entry.MAPPED, LEVEL_4K),
        (4, Entry.BLOCKED, LEVEL_4K),
    ]


@pytest.mark.parametrize(
    ("first", "expected"),
    [(2, (Status.BUG, 2)), (3, (Status.BUG, 3)), (4, (Status.WRONG_STATE, 3))],
)
def test_of_a_wrong_state_and_an_injected_failure_the_earlier_one_ends_the_batch(first, expected):
    tdx, td = module(Entry.BLOCKED)
    td.sept.set(3, 4, Entry.MAPPED | LEVEL_4K << LEVEL_SHIFT)
    context = Recorder({"tdx.bug": Fault(Reason.BUG, first)})
    assert answer(tdx, call(Call.REMOVE), context) == expected
    assert states(td)[0] == (0, Entry.FREE, 0)
    assert states(td)[1][0] == min(first, 3)


def test_demote_leaves_512_small_entries():
    tdx, td = module(Entry.BLOCKED, LEVEL_2M, 512)
    answer(tdx, call(Call.DEMOTE, end=512, level=LEVEL_2M))
    assert states(td)[0] == (0, Entry.MAPPED, LEVEL_4K)


def test_a_frame_is_owned_from_aug_to_remove():
    tdx, td = module(Entry.FREE)
    answer(tdx, call(Call.AUG, end=4))
    assert runs(tdx.pamt) == [(0, 0), (0x1000, VM), (0x1004, 0)]
    td.sept.set(0, 4, Entry.BLOCKED | LEVEL_4K << LEVEL_SHIFT)
    answer(tdx, call(Call.REMOVE, end=4))
    assert runs(tdx.pamt) == [(0, 0)]


@pytest.mark.parametrize("owner", [VM, vm_address(0, 1)])
@pytest.mark.parametrize("pfn", [0x1000, -1])  # of a REMAP the module knows the frames
def test_a_frame_that_has_an_owner_is_mapped_nowhere_else(owner, pfn):
    tdx, td = module(Entry.FREE)
    tdx.pamt.set(0x1003, 0x1004, owner)
    message = msgspec.structs.replace(call(Call.AUG), pfn=pfn)
    assert answer(tdx, message) == (Status.OWNED, 3)
    assert states(td)[:2] == [(0, Entry.PENDING, LEVEL_4K), (3, Entry.FREE, 0)]
    assert runs(tdx.pamt)[1:3] == [
        (0x1000, VM),
        *([(0x1003, owner)] if owner != VM else [(0x1004, 0)]),
    ]


def test_a_batch_that_fails_half_way_has_moved_what_came_before():
    tdx, td = module(Entry.BLOCKED)
    context = Recorder({"tdx.remove_busy": Fault(Reason.BUSY, 3)})
    assert answer(tdx, call(Call.REMOVE), context) == (Status.BUSY, 3)
    assert states(td)[:2] == [(0, Entry.FREE, 0), (3, Entry.BLOCKED, LEVEL_4K)]


def test_a_batch_costs_its_parts_and_answers_when_they_are_over():
    tdx, _ = module(Entry.BLOCKED)
    context = Recorder(costs={"remove_4k": 4000, "wbinvd_4k": 6000, "clear_4k": 500})
    for what in (Call.REMOVE, Call.WBINVD):
        tdx.on_seamcall(call(what), context)
    assert [sent.delay for sent in context.sent] == [4000, 6500]


@pytest.mark.parametrize("fails", [False, True])
def test_caches_are_written_back_as_far_as_the_batch_comes_and_no_entry_moves(fails):
    tdx, td = module(Entry.FREE)
    context = Recorder({"tdx.wbinvd_busy": Fault(Reason.BUSY, 3)} if fails else {})
    before = states(td)
    assert answer(tdx, call(Call.WBINVD), context) == (
        (Status.BUSY, 3) if fails else (Status.OK, 8)
    )
    assert context.of(CachesWritten) == [CachesWritten(VM, 0, 3 if fails else 8)]
    assert states(td) == before


# --- what a TD's vCPUs cannot do side by side ----------------------------------------------------


def aug(tdx, start, context, level=LEVEL_4K):
    """When AUG of eight pages, or of a huge one, is over."""
    pages = 8 if level == LEVEL_4K else PAGES[level]
    tdx.on_seamcall(call(Call.AUG, start, start + pages, level), context)
    return context.take()[0].delay


def test_one_vcpu_never_waits_for_the_serial_part_of_its_own_aug():
    tdx, td = module(Entry.FREE)
    context = Recorder(costs={"aug_4k": 4000, "aug_serial_4k": 3000})
    assert aug(tdx, 0, context) == 4000
    context.now = 4000
    assert aug(tdx, 8, context) == 4000
    assert td.serial_until == 7000


def test_the_serial_parts_of_several_vcpus_come_one_after_the_other():
    tdx, _ = module(Entry.FREE)
    context = Recorder(costs={"aug_4k": 4000, "aug_serial_4k": 3000})
    assert [aug(tdx, start, context) for start in (0, 8, 16)] == [4000, 6000, 9000]


def test_huge_pages_have_no_serial_part():
    tdx, td = module(Entry.FREE)
    context = Recorder(costs={"aug_serial_4k": 9000})
    assert aug(tdx, 0, context, LEVEL_2M) == COST
    assert td.serial_until == 0


# --- locks: nobody waits -------------------------------------------------------------------------

# Those that take the tree lock either way.
TREE = {Call.AUG, Call.SEPT_ADD, Call.SEPT_RD, Call.BLOCK, Call.UNBLOCK, Call.REMOVE, Call.DEMOTE}
HELD = {
    "tree_exclusive_until": TREE,
    "zero_step_until": TREE,
    "tree_shared_until": {Call.BLOCK, Call.UNBLOCK},
    "entry_until": {Call.AUG, Call.BLOCK, Call.UNBLOCK, Call.REMOVE, Call.DEMOTE},
}


@pytest.mark.parametrize(("lock", "what"), list(product(HELD, Call)))
def test_a_call_that_needs_a_held_lock_is_told_busy_and_changes_nothing(lock, what):
    before = next((b for c, b in LEGAL if c == what), Entry.MAPPED)
    tdx, td = module(before, **{lock: 1, "entry_end": 8})
    busy = answer(tdx, call(what))[0] is Status.BUSY
    assert busy == (what in HELD[lock])
    assert (states(td)[0] == (0, before, LEVEL_4K if before else 0)) or not busy


def test_an_accept_holds_its_own_entries_only():
    tdx, _ = module(entry_start=4, entry_end=6, entry_until=100)
    assert answer(tdx, call(Call.BLOCK, 0, 4))[0] is Status.OK
    assert answer(tdx, call(Call.BLOCK, 4, 8))[0] is Status.BUSY


def test_a_lock_is_free_again_at_its_time():
    tdx, _ = module(tree_exclusive_until=50)
    context = Recorder()
    context.now = 50
    assert answer(tdx, call(Call.BLOCK), context)[0] is Status.OK


def test_a_call_holds_the_tree_for_as_long_as_it_takes():
    tdx, td = module()
    answer(tdx, call(Call.BLOCK))
    assert (td.tree_exclusive_until, td.tree_shared_until) == (COST - 1, 0)


def test_the_rules_name_the_tree_lock_of_each_call():
    assert {what: RULES[what].tree for what in Call} == {
        Call.AUG: Lock.SHARED,
        Call.BLOCK: Lock.EXCLUSIVE,
        Call.UNBLOCK: Lock.EXCLUSIVE,
        Call.TRACK: Lock.NONE,
        Call.REMOVE: Lock.SHARED,
        Call.DEMOTE: Lock.SHARED,
        Call.SEPT_ADD: Lock.SHARED,
        Call.SEPT_RD: Lock.SHARED,
        Call.RECLAIM: Lock.NONE,
        Call.WBINVD: Lock.NONE,
    }


@pytest.mark.parametrize(
    ("what", "point", "status"),
    [
        (Call.AUG, Fault(Reason.BUSY, 0), Status.BUSY),
        (Call.DEMOTE, Fault(Reason.INTERRUPTED, 0), Status.INTERRUPTED),
        (Call.REMOVE, Fault(Reason.BUG, 2), Status.BUG),
    ],
)
def test_an_injected_failure_has_the_status_of_its_class(what, point, status):
    before = next(b for c, b in LEGAL if c == what)
    tdx, _ = module(before)
    context = Recorder(dict.fromkeys(RULES[what].points, point))
    assert answer(tdx, call(what), context) == (status, point.first)


def test_nothing_is_injected_into_an_abort():
    tdx, _ = module(Entry.BLOCKED)
    context = Recorder(dict.fromkeys(RULES[Call.DEMOTE].points, Fault(Reason.BUSY, 0)))
    assert answer(tdx, call(Call.UNBLOCK, attempt=-1), context) == (Status.OK, 8)
    assert context.asked == []


# --- TRACK and epochs ----------------------------------------------------------------------------


@pytest.mark.parametrize("what", [Call.REMOVE, Call.DEMOTE, Call.UNBLOCK])
@pytest.mark.parametrize(
    ("epoch", "drained", "blocked_in", "status"),
    [
        (1, 1, 1, Status.NOT_TRACKED),  # no TRACK since BLOCK
        (2, 1, 1, Status.NOT_TRACKED),  # a TRACK, and vCPUs still in the old epoch
        (2, 2, 1, Status.OK),
    ],
)
def test_a_blocked_entry_needs_track_and_a_round_of_exits(what, epoch, drained, blocked_in, status):
    tdx, _ = module(Entry.BLOCKED, epoch=epoch, drained=drained, blocked_in=blocked_in)
    assert answer(tdx, call(what))[0] is status


def test_track_moves_the_epoch_and_block_remembers_it():
    tdx, td = module()
    answer(tdx, call(Call.TRACK))
    tdx.on_vp_exits(m.VpExits(VM, 1, 3), Recorder())
    answer(tdx, call(Call.BLOCK))
    assert (td.epoch, td.drained, td.blocked_in) == (2, 2, 2)


def test_a_second_track_before_everybody_is_out_is_busy():
    tdx, td = module()
    found = [answer(tdx, call(Call.TRACK))[0] for _ in range(2)]
    assert (found, td.epoch) == ([Status.OK, Status.BUSY], 2)


def test_exits_drain_the_epoch_and_kvm_is_told():
    tdx, td = module(epoch=2)
    context = Recorder()
    tdx.on_vp_exits(m.VpExits(VM, 9, 3), context)
    assert (td.drained, context.take()) == (2, [Sent(VM | KVM, m.Kicked(9), LINK)])
    assert context.of(EpochDrained) == [EpochDrained(VM, 3, 1)]


# --- zero-step -----------------------------------------------------------------------------------


def faulted(tdx, times, start=0):
    """The same access meets the same absent page again and again; what KVM is told of the last violation."""
    context = Recorder()
    for _ in range(times):
        tdx_guest.on_access(tdx, m.Access(VM, 4, start, 8, LEVEL_4K, True), context)
    return context.sent[-1].message


def entered(tdx):
    """VP.ENTER after it."""
    context = Recorder()
    tdx_guest.on_vp_enter(tdx, m.VpEnter(VM, 4), context)
    return context.sent[-1]


def test_five_faults_at_one_place_are_nothing_and_the_sixth_takes_the_tree_lock():
    tdx, td = module(Entry.FREE)
    assert not faulted(tdx, ZERO_STEP_THRESHOLD - 1).suspect
    assert (entered(tdx).delay, td.zero_step_until) == (LINK, 0)
    assert faulted(tdx, 1).suspect
    assert entered(tdx) == Sent(VM | GUEST, m.Accessed(4, Outcome.RETRY), COST)
    assert (td.zero_step_until, answer(tdx, call(Call.AUG))[0]) == (COST, Status.BUSY)


def test_every_violation_counts_also_one_that_kvm_has_wait_for_a_conversion():
    tdx, _ = module(
        Entry.BLOCKED
    )  # frozen: each fault parks and is served without a word to the module
    assert [faulted(tdx, 1).suspect for _ in range(7)] == [False] * 5 + [True] * 2


def test_a_fault_further_on_is_progress():
    tdx, td = module(Entry.FREE)
    faulted(tdx, ZERO_STEP_THRESHOLD - 1)
    assert not faulted(tdx, 1, start=1).suspect
    assert td.faults[4].times == 1


def test_a_thousand_faults_at_one_place_end_the_access():
    tdx, td = module(Entry.FREE)
    outcomes = []
    for times in (GIVE_UP - 1, 1):
        faulted(tdx, times)
        outcomes.append(entered(tdx).message.outcome)
    assert (outcomes, td.faults) == ([Outcome.RETRY, Outcome.FAILED], {})


def test_an_access_that_is_given_up_is_suspicious_no_more():
    tdx, td = module(Entry.FREE)
    faulted(tdx, ZERO_STEP_THRESHOLD)
    context = Recorder()
    tdx_guest.on_vp_enter(tdx, m.VpEnter(VM, 4, elsewhere=True), context)
    assert context.take() == [Sent(VM | GUEST, m.Accessed(4, Outcome.FAILED), LINK)]
    assert (td.faults, td.zero_step_until) == ({}, 0)


def test_a_kick_ends_zero_step_and_no_other_callers_hold():
    tdx, td = module(zero_step_until=10**9, tree_exclusive_until=10**9)
    tdx.on_vp_exits(m.VpExits(VM, 1, 1), Recorder())
    assert (td.zero_step_until, td.tree_exclusive_until) == (0, 10**9)


def test_progress_resets_the_count():
    tdx, td = module(Entry.FREE)
    faulted(tdx, ZERO_STEP_THRESHOLD - 1)
    td.sept.set(0, 8, Entry.MAPPED | LEVEL_4K << LEVEL_SHIFT)
    tdx_guest.on_access(tdx, m.Access(VM, 4, 0, 8, LEVEL_4K, False), Recorder())
    assert td.faults == {}


def test_a_zero_stepping_vcpu_costs_one_busy_and_one_kick_and_the_retry_succeeds():
    world = World()
    world.td().zero_step_until = 10**9
    assert world.convert(0, 1, SHARED) == Reason.NONE
    assert (world.found, world.td().zero_step_until) == (set(), 0)


# --- the guest's walks ---------------------------------------------------------------------------


def access(tdx, accept, level=LEVEL_4K, end=8):
    context = Recorder(costs={"td_exit_roundtrip": 3850})
    tdx_guest.on_access(tdx, m.Access(VM, 4, 0, end, level, accept), context)
    return context.take()[0], context


def test_a_mapped_page_is_used_at_once():
    sent, context = access(module()[0], accept=False)
    assert sent == Sent(VM | GUEST, m.Accessed(4, Outcome.DONE), LINK)
    assert [fact.ok for fact in context.of(GuestAccess)] == [True]


@pytest.mark.parametrize("state", [Entry.FREE, Entry.BLOCKED, Entry.PENDING_BLOCKED])
@pytest.mark.parametrize("accept", [True, False])
def test_absent_and_blocked_pages_are_faults_like_any_other(state, accept):
    sent, _ = access(module(state)[0], accept)
    assert sent.target == VM | KVM
    assert sent.message == m.Violation(4, 0, 8, LEVEL_4K, False, accept)


def test_a_pending_page_may_be_accepted_and_not_be_touched():
    sent, context = access(module(Entry.PENDING)[0], accept=False)
    assert sent.message == m.Violation(4, 0, 8, LEVEL_4K, True)
    assert [fact.ok for fact in context.of(GuestAccess)] == [False]


def test_accept_maps_and_holds_the_entries_meanwhile():
    tdx, td = module(Entry.PENDING)
    sent, context = access(tdx, accept=True)
    assert (states(td)[0], sent.delay) == ((0, Entry.MAPPED, LEVEL_4K), COST)
    assert (td.entry_start, td.entry_end, td.entry_until) == (0, 8, COST - 1)
    assert context.of(GuestAccepted) == [GuestAccepted(VM, 0, 8, 4)]


def test_a_huge_accept_of_small_entries_is_a_size_mismatch():
    tdx, td = module(Entry.PENDING, pages=512)
    sent, _ = access(tdx, accept=True, level=LEVEL_2M, end=512)
    assert sent.message == m.Accessed(4, Outcome.SIZE_MISMATCH)
    assert states(td)[0] == (0, Entry.PENDING, LEVEL_4K)


def test_a_small_accept_of_a_huge_entry_is_a_fault_and_no_error():
    tdx, td = module(Entry.PENDING, LEVEL_2M, 512)
    sent, context = access(tdx, accept=True)
    assert sent.message == m.Violation(4, 0, 8, LEVEL_4K, False, accept=True)
    assert (states(td)[0], context.of(GuestAccepted)) == ((0, Entry.PENDING, LEVEL_2M), [])


@pytest.mark.parametrize(
    ("ticking", "level", "took"),
    [
        (0, LEVEL_4K, 4000),
        (STORM_VCPUS // 2, LEVEL_4K, 4000 + (153_000 - 8000) // 2),
        (
            STORM_VCPUS,
            LEVEL_4K,
            149_000,
        ),  # with 4000 of AUG as much as the whole was measured to take
        (STORM_VCPUS, LEVEL_2M, 264_000),
    ],
)
def test_vcpus_that_tick_get_into_the_way_of_a_small_accept(ticking, level, took):
    tdx, _ = module(Entry.PENDING, level, 512)
    costs = {
        "aug_4k": 4000,
        "accept_4k": 4000,
        "aug_accept_4k_storm": 153_000,
        "accept_2m": 264_000,
    }
    context = Recorder(costs=costs)
    tdx_guest.on_access(tdx, m.Access(VM, 4, 0, 512, level, True, ticking), context)
    assert context.take()[0].delay == took


def test_accepting_a_mapped_page_again_costs_an_exit():
    sent, context = access(module()[0], accept=True)
    assert (sent.message, sent.delay) == (m.Accessed(4, Outcome.DONE), 3850)
    assert context.of(GuestAccepted) == [GuestAccepted(VM, 0, 8, 4)]


def test_the_first_page_in_the_way_decides():
    tdx, td = module(Entry.PENDING)
    td.sept.set(0, 3, Entry.MAPPED | LEVEL_4K << LEVEL_SHIFT)
    td.sept.set(5, 8, 0)
    sent, _ = access(tdx, accept=True)
    assert sent.message == m.Violation(4, 5, 8, LEVEL_4K, False, accept=True)


# --- the end -------------------------------------------------------------------------------------


REMOVAL = ["block", "track", "remove_4k", "wbinvd_4k", "clear_4k"]


def test_what_is_taken_out_of_a_td_is_nobodys():
    tdx, td = module(pages=0x20)
    context = Recorder()
    tdx_end.on_take_out(tdx, m.TakeOut(VM, 0, 4, 0x10), context)
    assert states(td) == [
        (0, Entry.MAPPED, LEVEL_4K),
        (4, Entry.FREE, 0),
        (0x10, Entry.MAPPED, LEVEL_4K),
        (0x20, Entry.FREE, 0),
    ]
    assert runs(tdx.pamt) == [(0, 0), (0x1000, VM), (0x1004, 0), (0x1010, VM), (0x1020, 0)]
    assert context.take() == [Sent(VM | KVM, m.TakenOut(0, 4, 0x10), len(REMOVAL) * COST)]


@pytest.mark.parametrize(
    ("keyless", "names"), [(False, REMOVAL), (True, ["reclaim_4k", "clear_4k"])]
)
def test_each_page_that_is_taken_out_has_its_time(keyless, names):
    class Counting(Recorder):
        def cost(self, name, count=1):
            return count * 10 if name in names else 1_000_000

    tdx, td = module(pages=0x20)
    td.keyless = keyless
    for pages in (1, 7):
        context = Counting()
        tdx_end.on_take_out(tdx, m.TakeOut(VM, 0, 8, 8 + pages), context)
        assert context.take()[0].delay == max(LINK, pages * 10 * len(names))
        td.sept.set(8, 16, Entry.MAPPED | LEVEL_4K << LEVEL_SHIFT)


@pytest.mark.parametrize(("keyless", "call"), [(False, Call.REMOVE), (True, Call.RECLAIM)])
def test_a_page_that_a_bug_keeps_in_is_named_and_the_others_go(keyless, call):
    class Third(Recorder):
        def choose(self, point, count=1, key=0, span=1, places=None):
            first = 2 - page_of(key)
            super().choose(point, count, key, span, places)
            return Fault(Reason.BUG, first) if 0 <= first < count else None

    tdx, td = module()
    td.keyless = keyless
    context = Third()
    tdx_end.on_take_out(tdx, m.TakeOut(VM, 3, 0, 8), context)
    assert context.messages() == [m.TakenOut(3, 0, 8, ((2, 3),))]
    assert states(td) == [(0, Entry.FREE, 0), (2, Entry.MAPPED, LEVEL_4K), (3, Entry.FREE, 0)]
    assert [(f.call, f.start, f.end, f.status, f.cause) for f in context.of(SeamcallAnswered)] == [
        (call, 2, 3, Status.BUG, Cause.FAULT)
    ]
    assert [(name, count) for name, count, _ in context.asked] == [
        ("tdx.teardown", 8),
        ("tdx.teardown", 5),
    ]
    tdx_end.on_take_out(tdx, m.TakeOut(VM, 3, 0, 8), context)  # nobody tries it again
    assert context.messages() == [m.TakenOut(3, 0, 8)]


def test_a_leaf_of_2_mib_is_one_opportunity():
    tdx, _ = module(level=LEVEL_2M, pages=0x400)
    context = Recorder()
    tdx_end.on_take_out(tdx, m.TakeOut(VM, 0, 0, 1 << 18), context)
    assert context.asked == [("tdx.teardown", 2, opportunity(VM, 0, 0))]
    assert context.places == [[(0, 0x200), (0x200, 0x400)]]


def test_the_hkid_goes_in_its_time():
    tdx, td = module()
    context = Recorder()
    tdx_end.on_free_hkid(tdx, m.FreeHkid(VM), context)
    assert (td.keyless, context.take()) == (True, [Sent(VM | KVM, m.HkidFreed(), COST)])


def test_a_page_that_could_not_be_removed_is_owned_until_the_td_is_reclaimed():
    tdx, td = module(Entry.BLOCKED)
    context = Recorder({"tdx.bug": Fault(Reason.BUG, 3)})
    assert answer(tdx, call(Call.REMOVE), context) == (Status.BUG, 3)
    tdx_end.on_take_out(tdx, m.TakeOut(VM, 0, 0, 8), context)
    assert states(td) == [(0, Entry.FREE, 0), (3, Entry.BLOCKED, LEVEL_4K), (4, Entry.FREE, 0)]
    assert runs(tdx.pamt) == [(0, 0), (0x1003, VM), (0x1004, 0)]
    tdx_end.on_reclaim(tdx, m.Reclaim(VM), context)
    assert (runs(td.sept), runs(tdx.pamt)) == ([(0, 0)], [(0, 0)])


def test_one_td_does_not_see_the_locks_of_another():
    world = World("fleet.vms_per_host=2")
    world.td(1).tree_exclusive_until = 10**15
    assert world.convert(0, 1, SHARED) == Reason.NONE
