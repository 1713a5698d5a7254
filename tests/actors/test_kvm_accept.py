"""ACCEPT at 4 KiB in the KVM MMU: what is mapped larger is split, and the mark keeps the range small."""

import pytest

from actors import messages as m
from actors.address import GMEM, KVM, TDX, VMM, host_address, vm_address
from actors.contract import Reason
from actors.guest.outcome import Outcome
from actors.kvm.mmu import KvmMmu
from actors.kvm.tickets import converts
from actors.locks.holders import ACCEPT_OP
from actors.observations import AcceptHonoured, HugeLost, Leaf, VmStopped, WalkOvertaken
from actors.protocols import PROTOCOLS
from actors.slots import Slot
from actors.tdx.states import LEVEL_2M, LEVEL_4K
from tests.helpers import COST, PRIVATE, SHARED, TIMER, Recorder, World, runs, table

VM = vm_address(0, 0)
SIZE = 0x800
PREFAULTED = ("vm.start=prefaulted-2m", "vm.accept_level=4k")


def kvm(inhibit, *private):
    return KvmMmu(VM, (Slot(0, SIZE, 0, 0),), True, table(*private), table(), guest_inhibit=inhibit)


def accepted(actor, start=0, end=8, level=LEVEL_4K, context=None):
    """The guest's ACCEPT of a range comes to KVM."""
    context = context or Recorder()
    actor.on_violation(m.Violation(7, start, end, level, False, accept=True), context)
    return context


def takes(context):
    return [fact.takes for fact in context.of(AcceptHonoured)]


# --- the mark ------------------------------------------------------------------------------------


def test_without_the_mark_the_level_is_for_the_fault_alone():
    actor = kvm("off")
    context = accepted(actor)
    assert context.messages() == [m.GetPfn(7, 0, 8, PRIVATE)]
    assert (takes(context), runs(actor.inhibited)) == ([], [(0, 0)])


@pytest.mark.parametrize(("inhibit", "count"), [("tested", 1), ("each", 8)])
def test_the_mark_is_set_under_the_lock_and_then_the_fault_begins(inhibit, count):
    actor = kvm(inhibit)
    context = accepted(actor, 0x201, 0x209)
    (timer,) = context.take()
    assert (timer.target, timer.message, timer.delay) == (TIMER, m.Honoured(7), COST)
    assert actor.lock.writer >= 0
    actor.on_honoured(timer.message, context)
    assert context.messages() == [m.GetPfn(7, 0x201, 0x209, PRIVATE)]
    assert (takes(context), actor.lock.idle) == ([count], True)
    assert runs(actor.inhibited) == [(0, 0), (0x200, 1), (0x400, 0)]


@pytest.mark.parametrize(("inhibit", "again"), [("tested", []), ("each", [8])])
def test_a_look_at_the_mark_saves_the_lock(inhibit, again):
    actor = kvm(inhibit)
    actor.inhibited.set(0, 0x200, 1)
    assert takes(accepted(actor)) == again


def test_an_accept_of_2m_marks_nothing():
    actor = kvm("tested")
    assert takes(accepted(actor, 0, 0x200, LEVEL_2M)) == []


def test_a_marked_range_is_mapped_small_for_ever():
    actor = kvm("tested")
    actor.inhibited.set(0, 0x200, 1)
    context = accepted(actor, 0, 0x200, LEVEL_2M)
    context.take()
    actor.on_got_pfn(m.GotPfn(7, Reason.NONE, 9, 0x5000), context)
    assert context.messages()[0].level == LEVEL_4K


def test_a_fault_that_is_no_accept_marks_nothing():
    actor, context = kvm("each"), Recorder()
    actor.on_violation(m.Violation(7, 0, 8, LEVEL_4K, False), context)
    assert takes(context) == []


def test_the_lock_is_waited_for():
    actor = kvm("tested")
    context = accepted(actor)
    accepted(actor, 0x200, 0x208, context=context)
    assert takes(context) == [1]


def test_a_vm_that_died_meanwhile_goes_no_further():
    actor = kvm("tested")
    context = accepted(actor)
    context.take()
    actor.dead = True
    actor.on_honoured(m.Honoured(7), context)
    assert (context.take(), actor.lock.idle) == ([], True)


# --- a larger leaf -------------------------------------------------------------------------------


def test_a_larger_leaf_needs_memory_before_the_lock():
    actor = kvm("off", (0, 0x200, LEVEL_2M))
    context = accepted(actor)
    (sent,) = context.take()
    reserve = m.Reserve(VM | KVM, ACCEPT_OP | 7, 4, start=0, end=0x200)
    assert (sent.target, sent.message, actor.lock.idle) == (host_address(0), reserve, True)
    actor.on_reserved(m.Reserved(reserve.ticket, True), context)
    (block,) = context.take()
    assert (block.target, block.message.start, block.message.end) == (
        host_address(0) | TDX,
        0,
        0x200,
    )


def test_a_split_for_an_accept_is_no_conversion():
    assert not converts(ACCEPT_OP | 7)
    assert converts(7 << 18)


def test_without_memory_the_ioctl_fails_and_the_vmm_stops_the_vm():
    actor = kvm("off", (0, 0x200, LEVEL_2M))
    context = accepted(actor)
    (reserve,) = context.messages()
    actor.on_reserved(m.Reserved(reserve.ticket, False), context)
    assert context.messages() == [m.VmDead(), m.VpEnter(VM, 7, elsewhere=True)]
    assert (actor.walks, actor.faults) == ({}, {})


def test_a_frozen_leaf_is_left_to_its_conversion():
    actor, context = kvm("tested", (0, 0x200, LEVEL_2M)), Recorder()
    actor.invalidations = {5: (0, 0x200)}
    accepted(actor, context=context)
    assert (context.take(), actor.parked, actor.walks) == ([], [7], {})


def test_a_conversion_that_froze_the_range_meanwhile_goes_first():
    actor = kvm("tested", (0, 0x200, LEVEL_2M))
    context = accepted(actor)
    (reserve,) = context.messages()
    actor.invalidations = {5: (0, 0x200)}
    actor.on_reserved(m.Reserved(reserve.ticket, True), context)
    assert context.messages() == [m.GiveBack(4, VM, ACCEPT_OP | 7), m.Accessed(7, Outcome.RETRY)]
    assert (actor.walks, actor.lock.idle, runs(actor.inhibited)) == ({}, True, [(0, 0)])


def test_a_file_that_is_closed_waits_for_the_last_vcpu():
    actor = kvm("off", (0, 0x200, LEVEL_2M))
    context = accepted(actor)
    (reserve,) = context.messages()
    closed = m.Teardown(VM | GMEM)
    actor.receive(closed, context)
    assert (context.take(), runs(actor.mirror)[0]) == ([], (0, LEVEL_2M))
    actor.on_reserved(m.Reserved(reserve.ticket, False), context)
    (batch,) = context.messages()
    actor.receive(m.TakenOut(batch.instance, batch.start, batch.end), context)
    assert context.messages() == [m.TornDown(), m.FreeHkid(VM)]
    assert runs(actor.mirror) == [(0, 0)]


# --- with everybody ------------------------------------------------------------------------------


def test_a_guest_that_accepts_prefaulted_memory_by_2m_meets_no_fault():
    world = World("vm.start=prefaulted-2m")
    world.touch(0, 0x400, PRIVATE)
    world.run()
    assert world.tasks == [(1, Reason.NONE)]
    assert (world.of(Leaf), world.found, world.pending()) == ([], set(), {})


@pytest.mark.parametrize("inhibit", ["off", "tested", "each"])
def test_a_guest_that_accepts_prefaulted_memory_by_4k_has_it_split(inhibit):
    world = World(*PREFAULTED, f"vm.guest_inhibit={inhibit}")
    world.touch(0, 0x400, PRIVATE)
    world.run()
    assert world.tasks == [(1, Reason.NONE)]
    assert sum(fact.leaves for fact in world.of(HugeLost)) == 2
    assert runs(world.kvm().mirror)[:2] == [(0, LEVEL_4K), (0x400, LEVEL_2M)]
    assert world.guest().accepted.only(0, 0x400, 1)
    assert (world.found, world.pending()) == (set(), {})


def test_part_of_a_prefaulted_leaf_can_be_accepted():
    world = World("vm.start=prefaulted-2m")
    world.touch(0x10, 0x20, PRIVATE)
    world.run()
    assert world.tasks == [(1, Reason.NONE)]
    assert runs(world.guest().accepted) == [(0, 0), (0x10, 1), (0x20, 0)]
    assert (world.found, world.pending()) == (set(), {})


def test_vcpus_that_accept_side_by_side_split_each_leaf_once():
    world = World(*PREFAULTED)
    for start in (0, 0x100, 0x200, 0x300):
        world.touch(start, start + 0x100, PRIVATE)
    world.run()
    assert world.tasks and {reason for _, reason in world.tasks} == {Reason.NONE}
    assert sum(fact.leaves for fact in world.of(HugeLost)) == 2
    assert (world.found, world.pending()) == (set(), {})


@pytest.mark.parametrize(
    "protocol",
    [
        *(f"protocol.name={name}" for name in PROTOCOLS if name != "in-place"),  # knows 4 KiB alone
        "protocol.freeze_at=commit",
    ],
)
def test_a_split_under_a_conversion_ends_well_whoever_comes_first(protocol):
    overtaken = []
    for delay in range(1, 60_000, 1_500):
        world = World(*PREFAULTED, "vm.guest_inhibit=tested", protocol)
        world.touch(0, 0x80, PRIVATE)
        number = world.request(0x100, 0x180, SHARED, delay=delay)
        world.run()
        assert (world.tasks, world.answer(number)) == ([(1, Reason.NONE)], Reason.NONE)
        assert sum(fact.leaves for fact in world.of(HugeLost)) == 1
        assert (world.found, world.pending()) == (set(), {})
        overtaken += [(fact.start, fact.end, fact.level) for fact in world.of(WalkOvertaken)]
    # Where faults are let in until the decision, the ACCEPT may have split what PREPARE came for.
    assert {*overtaken} == ({(0, 0x200, LEVEL_4K)} if "freeze_at" in protocol else set())


@pytest.mark.parametrize("point", ["kvm.split_memory", "tdx.demote_busy", "tdx.interrupted"])
def test_a_split_that_fails_ends_the_vm_and_leaves_nothing_behind(point):
    world = World(*PREFAULTED)
    free = world.allocator().free
    world.inject(point)
    world.touch(0, 0x200, PRIVATE)
    world.run()
    assert len(world.of(VmStopped)) == 1
    assert world.tasks == [(1, Reason.DEAD)] or world.tasks[0][1] is Reason.POISONED
    assert (world.allocator().free, world.found) == (free, set())


def test_the_end_of_a_vm_meets_a_split_at_any_time():
    for delay in range(1, 60_000, 1_500):
        world = World(*PREFAULTED)
        free = world.allocator().free
        world.touch(0, 0x200, PRIVATE)
        world.post(VMM, m.VmDead(), delay=delay)
        world.run()
        assert (world.allocator().free, world.found) == (free, set())
        assert world.gmem().torn_down
