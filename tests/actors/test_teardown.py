"""The end of a VM's memory: closed files are taken out of the S-EPT page by page, batch by batch, and a bug leaks."""

import pytest

from actors import messages as m
from actors.address import GMEM, TDX, VMM, vm_address
from actors.contract import Trace
from actors.kvm.mmu import KvmMmu
from actors.kvm.teardown import BATCH, Hkid
from actors.locks.observations import LockAsked, LockLeft
from actors.observations import (
    FileClosed,
    FramesFreed,
    FramesKept,
    LeftMapped,
    PoisonSet,
    ReferenceKept,
)
from actors.slots import Slot
from actors.tdx.states import LEVEL_2M, LEVEL_4K
from cluster.partition import FOREVER, Order
from tests.helpers import Recorder, World, runs, table

VM = vm_address(0, 0)
FILE = VM | GMEM
SLOTS = (Slot(0, 0x400, 0, 0), Slot(0x1000, 0x400, 1, 0), Slot(2 * BATCH, 3 * BATCH, 0, 0x400))


def kvm(*private, shared=()):
    return KvmMmu(VM, SLOTS, False, table(*private), table(*shared))


def play(actor, context, left=()):
    """Answer every batch; the batches, and what is sent besides."""
    batches, others = [], []
    pending = context.take()
    while pending:
        for sent in pending:
            message = sent.message
            if isinstance(message, m.TakeOut):
                assert not actor.lock.idle
                batches.append((message.start, message.end))
                answer = m.TakenOut(message.instance, message.start, message.end, tuple(left))
                actor.receive(answer, context)
            elif isinstance(message, m.TakenOut):
                actor.receive(message, context)
            else:
                others.append((sent.target, message))
        pending = context.take()
    return batches, others


# --- KVM -----------------------------------------------------------------------------------------


def test_a_batch_is_a_gibibyte_and_where_nothing_is_mapped_there_is_none():
    actor = kvm(
        (0, 0x200, LEVEL_2M), (3 * BATCH, 3 * BATCH + 8, LEVEL_4K), (5 * BATCH - 1, 5 * BATCH, 1)
    )
    context = Recorder()
    actor.receive(m.Teardown(FILE), context)
    batches, _ = play(actor, context)
    assert batches == [(0, 0x400), (3 * BATCH, 4 * BATCH), (4 * BATCH, 5 * BATCH)]
    assert runs(actor.mirror) == [(0, 0)]


def test_a_file_takes_its_own_leaves_with_it_and_the_last_one_the_hkid():
    actor = kvm((0, 0x200, LEVEL_2M), (0x1000, 0x1004, LEVEL_4K), shared=((0x1004, 0x1008, 1),))
    context = Recorder()
    actor.receive(m.Teardown(FILE), context)
    assert play(actor, context) == ([(0, 0x400)], [(FILE, m.TornDown())])
    assert runs(actor.mirror) == [(0, 0), (0x1000, LEVEL_4K), (0x1004, 0)]
    actor.receive(m.Teardown(FILE + 1), context)
    batches, others = play(actor, context)
    assert (batches, runs(actor.shared_ept)) == ([(0x1000, 0x1400)], [(0, 0)])
    assert [message for _, message in others] == [m.TornDown(), m.FreeHkid(VM)]
    actor.receive(m.HkidFreed(), context)
    assert context.messages() == [m.Reclaim(VM)]


def test_mmu_lock_is_held_for_one_batch_at_a_time():
    actor = kvm((0, 0x200, LEVEL_2M), (3 * BATCH, 3 * BATCH + 8, LEVEL_4K))
    context = Recorder()
    actor.receive(m.Teardown(FILE), context)
    play(actor, context)
    facts = [fact for fact in context.facts if isinstance(fact, LockAsked | LockLeft)]
    assert [type(fact) for fact in facts] == [LockAsked, LockLeft] * 2
    assert actor.lock.idle


def test_shared_leaves_alone_take_their_time_too():
    actor = kvm(shared=((0, 8, 1),))
    context = Recorder(costs={"shared_zap_4k": 700})
    actor.receive(m.Teardown(FILE), context)
    ((_, message, delay),) = context.take()
    assert (message, delay) == (m.TakenOut(0, 0, 0), 700)
    actor.receive(message, context)
    assert context.messages() == [m.TornDown()]


@pytest.mark.parametrize(
    ("trace", "word"),
    [
        (Trace.CALLBACK, m.Poison),
        (Trace.FLAG, m.Poison),
        (Trace.REFERENCE, m.KeepReference),
        (Trace.NONE, None),
    ],
)
def test_word_of_a_page_that_stays_is_left_as_the_file_said(trace, word):
    actor = kvm((0, 4, LEVEL_4K))
    context = Recorder()
    actor.receive(m.Teardown(FILE, trace), context)
    _, others = play(actor, context, left=[(2, 3)])
    told = [
        (message.start, message.end) for _, message in others if word and isinstance(message, word)
    ]
    assert told == ([(2, 3)] if word else [])
    assert others[-1] == (FILE, m.TornDown())  # after the word
    assert [(f.start, f.end, f.trace) for f in context.of(LeftMapped)] == [(2, 3, trace)]
    assert runs(actor.mirror) == [(0, 0)]


def test_a_vmm_that_terminates_the_td_has_its_hkid_freed_before_anything_is_taken_out():
    actor = kvm((0, 0x200, LEVEL_2M))
    context = Recorder()
    actor.receive(m.Terminate(), context)
    for file in (FILE, FILE + 1):
        actor.receive(m.Teardown(file), context)
    assert context.messages() == [m.FreeHkid(VM)]
    actor.receive(m.HkidFreed(), context)
    batches, others = play(actor, context)
    assert batches == [(0, 0x400)]
    assert [message for _, message in others] == [m.TornDown(), m.TornDown(), m.Reclaim(VM)]
    assert (actor.hkid, actor.ends) == (Hkid.FREED, {})


def test_a_td_of_which_nothing_is_mapped_is_reclaimed_once():
    actor = kvm((0, 0x400, 0))
    context = Recorder()
    actor.receive(m.Terminate(), context)
    for file in (FILE, FILE + 1):
        actor.receive(m.Teardown(file), context)
    actor.receive(m.HkidFreed(), context)
    _, others = play(actor, context)
    assert [message for _, message in others].count(m.Reclaim(VM)) == 1


# --- with everybody ------------------------------------------------------------------------------

SMALL = ("vm.start=mapped-4k", "vm.page_order=0")
UNTRACED, REFERENCE = "two-phase-untraced", "two-phase-refcount"


def ended(*overrides, vms=1, before=lambda world: None):
    """VM 0's VMM stops; all that follows has happened."""
    world = World(f"fleet.vms_per_host={vms}", *overrides)
    before(world)
    world.post(VMM, m.VmDead())
    world.run()
    assert world.pending() == {}
    return world


def took(world):
    """From the last close to the frames' way back (ns)."""
    (closed,) = [now for now, fact in world.notebook.facts if isinstance(fact, FileClosed)]
    freed = [now for now, fact in world.notebook.facts if isinstance(fact, FramesFreed)]
    return freed[-1] - closed


def per_page(*overrides):
    """What ten times the memory takes, it takes ten times as long."""
    small, large = (took(ended(f"vm.memory={size}", *overrides)) for size in ("64MiB", "640MiB"))
    pages = (640 - 64) << 8
    assert abs((large - small) / pages * (64 << 8) - small) < small / 2
    return (large - small) / pages


def test_it_takes_time_in_proportion_to_the_pages_and_a_reclaim_a_fraction_of_a_removal():
    """23 us are what one page takes (DS); without HKID 4.8 us (TV)."""
    assert 22_500 < per_page(*SMALL) < 23_500
    assert 4_500 < per_page(*SMALL, "vm.terminate=true") < 5_200


def test_a_large_vm_is_torn_down_in_as_many_messages_as_it_has_gibibytes():
    met = []

    def before(world):
        def handle(tdx, message, context):
            met.append(message)
            type(tdx).HANDLERS[m.TakeOut](tdx, message, context)

        world.replace(TDX, m.TakeOut, handle, -1)

    world = ended("vm.memory=1TiB", before=before)
    assert len(met) == 1024
    assert world.partition.advance(Order(FOREVER, 1.0)).handled < 4 * 1024


def broken(*overrides, **rule):
    """VM 0 ends, and its first page stays in the S-EPT for a bug; the host gives out what it gets at once."""
    return ended(
        *SMALL,
        *overrides,
        before=lambda world: world.inject("tdx.teardown", nth=(1,), **rule),
    )


@pytest.mark.parametrize("terminate", ["false", "true"])
def test_a_page_that_stays_is_poisoned_and_never_given_to_anybody(terminate):
    world = broken(f"vm.terminate={terminate}")
    assert [(f.start, f.end) for f in world.of(PoisonSet)] == [(0, 1)]
    assert [(f.start, f.end) for f in world.of(FramesKept)] == [(0, 1)]
    assert sum(f.end - f.start for f in world.of(FramesFreed)) == 0x7FF
    assert world.found == set()


def test_with_a_reference_it_is_kept_and_nobody_has_its_name():
    world = broken("protocol.name=" + REFERENCE)
    assert [(f.start, f.end) for f in world.of(ReferenceKept)] == [(0, 1)]
    assert [(f.start, f.end) for f in world.of(FramesKept)] == [(0, 1)]
    assert world.found == {"AN10"}


def test_without_a_mark_the_host_gives_it_away_while_it_is_the_tds():
    world = broken("protocol.name=" + UNTRACED)
    assert (world.of(FramesKept), "AN11" in world.found) == ([], True)
    assert [f.trace for f in world.of(LeftMapped)] == [Trace.NONE]
