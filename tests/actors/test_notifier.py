"""mmu_notifiers between the VMM's mm and KVM: what goes, who waits, and what an error does to its caller."""

import pytest

from actors import messages as m
from actors.address import GUEST, HOST_MAP, KVM, VMM, vm_address
from actors.contract import Fault, Reason
from actors.host_map import HostMap
from actors.kvm.mmu import KvmMmu
from actors.kvm.notifier import op_of
from actors.kvm.tickets import converts
from actors.messages import ATTEMPT_BITS
from actors.notifier_sites import CALLERS, DIRECT, EXIT_MMAP, KVM_CHAINS, OOM_REAPER
from actors.observations import (
    Decided,
    FramesFreed,
    GuestAccess,
    Leaf,
    MmUnmapped,
    NotifierCalled,
    NotifierError,
    VmStopped,
)
from actors.slots import Slot
from actors.tdx.states import LEVEL_2M, LEVEL_4K
from tests.helpers import LINK, PRIVATE, SHARED, Recorder, Sent, World, runs, table

VM = vm_address(0, 0)
SLOTS = (Slot(0, 0x800, 0, 0),)
SOFT, ZAP = 1, 22  # clear_refs_write keeps the entries, zap_page_range_single_batched cannot fail
MOVE = 29  # move_page_tables: takes the entries and can fail
START, END = 0x10, 0x20


# --- KVM's callback ------------------------------------------------------------------------------


def kvm():
    return KvmMmu(VM, SLOTS, False, table((0, 0x800, LEVEL_2M)), table((0x10, 0x18, LEVEL_4K)))


def start(actor, context, may_fail=False, blocking=True, protect=False):
    actor.receive(m.RangeStart(7, START, END, may_fail, blocking, protect), context)


def through(actor, context):
    """Play the walk's own messages until KVM answers the mm; returns whom it flushed."""
    flushed = False
    pending = context.take()
    while pending:
        target, message, _ = pending.pop(0)
        if isinstance(message, m.RangeStarted):
            assert target == VM | HOST_MAP
            return message, flushed
        if isinstance(message, m.Flush):
            assert target == VM | GUEST
            flushed, message = True, m.Flushed(message.ticket)
        actor.receive(message, context)
        pending += context.take()
    raise AssertionError("the callback never returns")


def test_shared_leaves_go_and_private_ones_stay():
    actor, context = kvm(), Recorder()
    start(actor, context)
    assert through(actor, context) == (m.RangeStarted(7, Reason.NONE), True)
    assert (runs(actor.shared_ept), runs(actor.mirror)) == (
        [(0, 0)],
        [(0, LEVEL_2M), (0x800, 0)],
    )
    assert actor.lock.idle


def test_a_caller_that_protects_leaves_the_leaves_and_flushes():
    actor, context = kvm(), Recorder()
    before = runs(actor.shared_ept)
    start(actor, context, protect=True)
    assert through(actor, context) == (m.RangeStarted(7, Reason.NONE), True)
    assert (runs(actor.shared_ept), context.of(Leaf)) == (before, [])


def test_faults_in_the_range_wait_from_start_to_end():
    actor, context = kvm(), Recorder()
    start(actor, context)
    through(actor, context)
    actor.receive(m.Access(VM, 5, 0x12, 0x13, LEVEL_4K, False), context)
    assert (actor.parked, context.take()) == ([5], [])
    actor.receive(m.RangeEnd(7), context)
    assert [type(message) for message in context.messages()] == [m.GetPfn]
    assert (actor.parked, actor.sequence, actor.invalidations, actor.walks) == ([], 1, {}, {})


def test_a_void_callback_waits_whatever_is_in_its_way():
    actor, context = kvm(), Recorder({"kvm.notifier": Fault(Reason.NO_MEMORY, 0)})
    actor.invalidations[4 << ATTEMPT_BITS] = (START, END)
    actor.lock.take(99, True, 0)
    start(actor, context, blocking=False)
    assert context.take() == [] and context.asked == []
    for waiter in actor.lock.drop(99):
        actor.granted(waiter.ticket, context)
    assert through(actor, context)[0].reason is Reason.NONE


def trouble(actor, blocking=True, choices=None):
    context, before = Recorder(choices), dict(actor.invalidations)
    start(actor, context, may_fail=True, blocking=blocking)
    assert (actor.notifiers, actor.walks, actor.invalidations) == ({}, {}, before)
    (sent,) = context.take()
    return sent


def test_one_that_may_fail_does_when_a_conversion_of_the_range_is_under_way():
    actor = kvm()
    actor.invalidations[4 << ATTEMPT_BITS] = (END - 1, END + 9)
    expected = Sent(VM | HOST_MAP, m.RangeStarted(7, Reason.BUSY), LINK)
    assert trouble(actor) == trouble(actor, blocking=False) == expected


def test_one_that_may_fail_and_must_not_block_does_when_mmu_lock_is_held():
    actor = kvm()
    actor.lock.take(99, False, 0)
    assert trouble(actor, blocking=False).message.reason is Reason.REFERENCES  # EAGAIN


@pytest.mark.parametrize("reason", [r for r in Reason if r in range(1, 7)], ids=lambda r: r.name)
def test_one_that_may_fail_does_by_injection_in_whatever_way(reason):
    assert trouble(kvm(), choices={"kvm.notifier": Fault(reason, 0)}).message.reason is reason


@pytest.mark.parametrize(("first", "last"), [(0, START), (END, 0x800)])
def test_a_conversion_beside_the_range_is_no_trouble(first, last):
    actor, context = kvm(), Recorder()
    actor.invalidations[4 << ATTEMPT_BITS] = (first, last)
    start(actor, context, may_fail=True)
    assert through(actor, context)[0].reason is Reason.NONE


def test_two_callbacks_on_one_range_are_no_trouble_to_each_other():
    actor, context = kvm(), Recorder()
    start(actor, context, may_fail=True)
    through(actor, context)
    actor.receive(m.RangeStart(8, START, END, True, True, False), context)
    assert through(actor, context)[0] == m.RangeStarted(8, Reason.NONE)


def test_walks_for_others_and_walks_of_conversions_have_different_numbers():
    assert not any(converts(op_of(number)) for number in range(8))
    requests = (0, 1 << 2, 1 << 2 | 2, 1 << 2 | 2 | 1)
    assert all(converts(request << ATTEMPT_BITS | 1) for request in requests)


# --- the mm --------------------------------------------------------------------------------------


def host(failable=False):
    return HostMap(VM, SLOTS, table((0, 0x40, 1)), failable=failable)


def called(actor, caller, reason=Reason.NONE, reply_to=0):
    """What the actor does once KVM has answered."""
    context = Recorder()
    actor.receive(m.NotifierCall(caller, START, END, reply_to), context)
    ((target, asked, _),) = context.take()
    assert target == VM | KVM and asked.may_fail == actor.failable
    actor.receive(m.RangeStarted(asked.number, reason), context)
    assert actor.calls == {}
    return context


@pytest.mark.parametrize("caller", CALLERS.values(), ids=lambda caller: caller.label)
def test_each_caller_asks_kvm_first_and_takes_the_entries_it_is_there_to_take(caller):
    actor = host()
    context = called(actor, caller.number)
    assert context.messages() == [m.RangeEnd(1)]
    assert actor.ptes.only(START, END, int(not caller.unmaps))
    assert actor.ptes.only(0, START, 1) and actor.ptes.only(END, 0x40, 1)
    assert context.of(NotifierError) == []


def test_a_caller_that_can_bear_an_error_gives_up():
    actor = host(failable=True)
    context = called(actor, MOVE, Reason.BUSY)
    error = NotifierError(VM, "move_page_tables", False, True, Reason.BUSY)
    assert (context.of(NotifierError), context.take()) == ([error], [])
    assert actor.ptes.only(START, END, 1)


def test_a_caller_that_cannot_goes_on_all_the_same():
    actor = host(failable=True)
    context = called(actor, ZAP, Reason.NO_MEMORY)
    error = NotifierError(VM, CALLERS[ZAP].label, True, True, Reason.NO_MEMORY)
    assert (context.of(NotifierError), context.take()) == ([error], [])
    assert actor.ptes.only(START, END, 0)


def test_whoever_wants_to_know_is_told():
    assert called(host(), SOFT, reply_to=9).take()[-1] == Sent(
        9, m.NotifierDone(SOFT, Reason.NONE), LINK
    )
    late, context = host(), Recorder()
    late.receive(m.VmDead(), context)
    late.receive(m.NotifierCall(SOFT, START, END, 9), context)
    assert context.messages() == [m.NotifierDone(SOFT, Reason.DEAD)]


@pytest.mark.parametrize("failable", [False, True])
def test_an_exit_asks_kvm_only_where_kvm_may_say_no(failable):
    actor, context = host(failable), Recorder()
    actor.receive(m.VmDead(), context)
    asked = [m.RangeStart(1, 0, 0x800, True, True, False)] * failable
    assert (context.messages(), actor.ptes.only(0, 0x800, 0)) == (asked, True)


# --- together ------------------------------------------------------------------------------------


def shared(*overrides, failable=False):
    """A host where the guest and a device backend use a range of shared memory."""
    world = World(*overrides)
    world.host_map().failable = failable
    world.ask(START, 0x40, SHARED, use=True)
    world.run()
    return world


def test_what_the_mm_takes_comes_back_with_the_next_use():
    world = shared()
    before = world.maps()
    world.post(HOST_MAP, m.NotifierCall(ZAP, START, END))
    world.run()
    assert world.kvm().shared_ept.only(START, END, 0) and world.host_map().ptes.only(START, END, 0)
    world.touch(START, 0x40, SHARED)
    world.run()
    assert (world.maps(), world.found, world.pending()) == (before, set(), {})


@pytest.mark.parametrize("caller", [SOFT, MOVE, ZAP, OOM_REAPER.number, KVM_CHAINS[1].number])
@pytest.mark.parametrize("to", [SHARED, PRIVATE])
@pytest.mark.parametrize("after", range(0, 60_000, 7_500))
def test_no_callback_fails_or_harms_a_conversion_at_whatever_time_it_comes(caller, to, after):
    world = shared()
    where = (0x30, 0x50) if to is SHARED else (0x18, 0x30)
    number = world.request(*where, to)
    world.post(HOST_MAP, m.NotifierCall(caller, START, 0x60), delay=1 + after)
    world.touch(START, 0x18, SHARED, delay=1 + after)
    world.run()
    assert world.answer(number) is Reason.NONE
    assert (world.of(NotifierError), world.found, world.pending()) == ([], set(), {})
    assert world.of(GuestAccess)[-1].ok


@pytest.mark.parametrize(
    "caller", [DIRECT[ZAP - 1], OOM_REAPER, *KVM_CHAINS], ids=lambda c: c.label
)
def test_a_failing_notifier_fails_whom_it_meets_during_a_conversion(caller):
    world = shared(failable=True)
    world.request(0x18, 0x30, PRIVATE)
    world.run_until(lambda: bool(world.kvm().walks))
    world.post(HOST_MAP, m.NotifierCall(caller.number, START, END))
    world.run()
    (error,) = world.of(NotifierError)
    assert (error.site, error.reason) == (caller.label, Reason.BUSY)
    assert world.found == ({"AN13", "I18"} if caller.no_fail else {"AN14"})
    assert world.pending() == {}


def test_no_conversion_has_to_put_back_what_the_mm_took():
    world = shared("costs.override.transient_ref=1ms")
    world.inject("pins.transient")
    number = world.request(START, END, PRIVATE)
    world.run_until(lambda: bool(world.pins().waiting))
    world.post(HOST_MAP, m.NotifierCall(ZAP, START, END))
    world.run()
    assert (len(world.of(MmUnmapped)), world.answer(number)) == (1, Reason.REFERENCES)
    assert world.found == {"AN25"}


def test_an_exit_during_a_conversion_is_a_no_fail_caller_too():
    world = shared(failable=True)
    world.request(0x18, 0x30, PRIVATE)
    world.run_until(lambda: len(world.of(Decided)) == 2)
    world.post(HOST_MAP, m.VmDead())
    world.run()
    assert [error.site for error in world.of(NotifierError)] == [CALLERS[EXIT_MMAP].label]
    assert "AN13" in world.found


@pytest.mark.parametrize("failable", [False, True])
def test_a_vmm_that_exits_leaves_its_mm_first_and_gives_all_memory_back(failable):
    world = shared(failable=failable)
    world.post(VMM, m.Exit())
    world.run()
    assert [fact.site for fact in world.of(NotifierCalled)] == ["N8 exit_mmap"]
    order = [type(fact) for _, fact in world.notebook.facts]
    assert order.index(MmUnmapped) < order.index(VmStopped) < order.index(FramesFreed)
    assert world.allocator().frames.only(0, 0x800, 1)
    assert (world.found, world.pending()) == (set(), {})


def test_a_vmm_exits_once():
    world = shared()
    for _ in range(2):
        world.post(VMM, m.Exit())
    world.run()
    world.post(VMM, m.Exit())
    world.run()
    assert len(world.of(VmStopped)) == 1


@pytest.mark.parametrize(
    ("overrides", "failable"),
    [
        ((), False),
        (("protocol.name=failable-notifier",), True),
        (("protocol.name=failable-notifier", "protocol.notifier_scope=gmem-only"), False),
        (("protocol.name=undo",), False),
    ],
)
def test_callbacks_may_fail_under_the_failable_notifier_and_nowhere_else(overrides, failable):
    assert World(*overrides).host_map().failable == failable
