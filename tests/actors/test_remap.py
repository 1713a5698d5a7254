"""REMAP (failable notifier with on_error = remap): what this conversion unmapped is mapped again, and nothing else."""

import pytest

from actors import messages as m
from actors.contract import Consumer, Reason
from actors.host_map import HostMap
from actors.kvm.mmu import KvmMmu
from actors.observations import Leaf
from actors.slots import Slot
from actors.tdx.states import LEVEL_2M, LEVEL_4K, Call, Status
from tests.actors.test_kvm_mmu import FILE, OP, VM, WALK, kvm, play
from tests.helpers import PRIVATE, SHARED, Recorder, World, runs, table

A = ("protocol.name=failable-notifier", "protocol.on_error=remap")


def mixed(*overrides):
    """[0x300, 0x410) is shared and in use, the rest private and accepted."""
    world = World(*A, *overrides)
    world.ask(0x300, 0x410, SHARED, use=True)
    world.run()
    return world


def test_secure_leaves_come_back_pending_and_the_shared_pages_between_them_are_left_alone():
    world = mixed()
    before = world.maps()
    world.inject("gmem.tree")
    assert world.convert(0x200, 0x600, SHARED) is Reason.NO_MEMORY
    after = world.maps()
    assert after["mirror"] == before["mirror"]
    assert {name for name in before if before[name] != after[name]} == {"sept"}
    assert (world.found, world.pending()) == ({"AN3", "I11", "I13"}, {})


def test_devices_and_the_vmm_get_back_what_they_had_of_a_range_that_is_partly_private():
    world = mixed()
    before = world.maps()
    world.inject("gmem.tree")
    assert world.convert(0x200, 0x600, PRIVATE) is Reason.NO_MEMORY
    after = world.maps()
    assert {name for name in before if before[name] != after[name]} == {"shared_ept"}
    assert (world.found, world.pending()) == (set(), {})


@pytest.mark.parametrize("to", [SHARED, PRIVATE])
def test_without_the_option_nobody_keeps_a_list(to):
    world = World("protocol.name=failable-notifier")
    world.ask(0x300, 0x410, SHARED, use=True)
    world.run()
    world.inject("gmem.tree")
    assert world.convert(0x200, 0x600, to) is Reason.NO_MEMORY
    assert world.pending() == {}


# --- single consumers ----------------------------------------------------------------------------


def zapped(actor: KvmMmu, statuses=()):
    """What KVM says that it has unmapped of 0x300 pages."""
    context = Recorder()
    actor.on_invalidate(m.Invalidate(FILE, OP, 0, 0x300, SHARED, listed=True), context)
    (done,) = [told for told in play(actor, context, statuses) if isinstance(told, m.Invalidated)]
    return done.unmapped


def test_kvm_lists_leaves_as_they_were_and_absent_ones_not():
    actor = kvm((0, 0x200, LEVEL_2M), (0x210, 0x300, LEVEL_4K))
    assert zapped(actor) == ((0, 0x200, LEVEL_2M), (0x210, 0x300, LEVEL_4K))
    assert actor.walks == {}


def test_a_leaf_is_listed_once_however_often_its_step_was_taken_up():
    context = Recorder()
    actor = kvm((0x100, 0x110, LEVEL_4K))
    actor.on_invalidate(m.Invalidate(FILE, OP, 0x100, 0x110, SHARED, listed=True), context)
    (walk,) = actor.walks.values()
    play_until_remove(actor, context)
    actor.on_seamcall_done(m.SeamcallDone(WALK, Call.REMOVE, Status.BUSY, 4), context)
    assert walk.unmapped == [(0x100, 0x104, LEVEL_4K)]
    (done,) = [told for told in play(actor, context) if isinstance(told, m.Invalidated)]
    assert done.unmapped == ((0x100, 0x104, LEVEL_4K), (0x104, 0x110, LEVEL_4K))


def play_until_remove(actor, context):
    """BLOCK, TRACK and the kick are answered; REMOVE is on its way."""
    for _ in range(3):
        (sent,) = context.messages()
        if isinstance(sent, m.Kick):
            actor.on_kicked(m.Kicked(sent.ticket), context)
        else:
            done = m.SeamcallDone(sent.ticket, sent.call, Status.OK, sent.count)
            actor.on_seamcall_done(done, context)
    (sent,) = context.messages()
    assert sent.call == Call.REMOVE


def remapped(actor, unmapped, statuses=()):
    context = Recorder()
    actor.on_remap(m.Remap(FILE, OP, 0, 0x300, SHARED, unmapped), context)
    return play(actor, context, statuses), context.of(Leaf)


def test_kvm_maps_again_at_the_level_that_the_list_says():
    actor = kvm()
    calls, leaves = remapped(actor, ((0, 0x200, LEVEL_2M), (0x210, 0x300, LEVEL_4K)))
    assert calls == [
        ("AUG", 0, 0x200, 1),
        ("AUG", 0x210, 0x300, 0xF0),
        m.Remapped(OP, Consumer.KVM_MMU, Reason.NONE),
    ]
    assert [(leaf.start, leaf.end, leaf.level) for leaf in leaves] == [
        (0, 0x200, LEVEL_2M),
        (0x210, 0x300, LEVEL_4K),
    ]
    assert actor.walks == {}


def test_a_second_busy_ends_it_with_the_mirror_as_the_module_has_it():
    actor = kvm()
    context = Recorder()
    actor.on_remap(m.Remap(FILE, OP, 0, 0x300, SHARED, ((0, 0x20, LEVEL_4K),)), context)
    context.take()
    actor.on_seamcall_done(m.SeamcallDone(WALK, Call.AUG, Status.BUSY, 8), context)
    context.take()
    actor.on_kicked(m.Kicked(OP), context)
    context.take()
    actor.on_seamcall_done(m.SeamcallDone(WALK, Call.AUG, Status.BUSY, 0), context)
    assert context.messages() == [m.LetIn(), m.Remapped(OP, Consumer.KVM_MMU, Reason.BUSY)]
    assert (runs(actor.mirror), actor.lock.idle) == ([(0, LEVEL_4K), (8, 0)], True)


def test_a_host_map_keeps_nothing_itself():
    actor = HostMap(VM, (Slot(0, 0x800, 0, 0),), table((0, 4, 1), (5, 8, 1)))
    context = Recorder()
    actor.on_invalidate(m.Invalidate(FILE, OP, 2, 6, PRIVATE, listed=True), context)
    (done,) = context.messages()
    assert (done.unmapped, actor.saved) == (((2, 4, 1), (5, 6, 1)), {})
    actor.on_remap(m.Remap(FILE, OP, 2, 6, PRIVATE, done.unmapped), context)
    assert runs(actor.ptes) == [(0, 1), (4, 0), (5, 1), (8, 0)]


def test_devices_may_be_refused_the_memory_to_map_again():
    world = mixed()
    world.inject("gmem.tree", "iommu.map")
    assert world.convert(0x200, 0x600, PRIVATE) is Reason.NO_MEMORY
    vm_domain = next(iter(world.iommu().domains.values()))
    assert vm_domain.only(0, 0x800, 0) and world.pending() == {}
