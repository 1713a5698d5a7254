"""Page allocator: all or nothing, and nothing lost."""

import pytest

from actors import messages as m
from actors.address import vm_address
from actors.allocator import Allocator
from actors.contract import Fault, Reason
from actors.fleet.admission import Admissions, whole
from actors.intervals import IntervalMap
from actors.observations import PagesReturned
from tests.helpers import COST, Recorder, Sent, runs

VM = vm_address(0, 0)


def pool(free):
    return Allocator(free, IntervalMap.filled(0))


@pytest.mark.parametrize(("free", "granted", "left"), [(4, True, 0), (3, False, 3), (0, False, 0)])
def test_a_request_is_served_whole_or_not_at_all(free, granted, left):
    actor, context = pool(free), Recorder()
    actor.on_reserve(m.Reserve(7, 1, 4), context)
    assert (actor.free, context.take()) == (left, [Sent(7, m.Reserved(1, granted), COST)])


def test_an_injected_refusal_takes_nothing():
    actor, context = pool(9), Recorder({"alloc.pages": Fault(Reason.NO_MEMORY, 0)})
    actor.on_reserve(m.Reserve(7, 1, 4), context)
    assert (actor.free, context.messages()) == (9, [m.Reserved(1, False)])


def test_an_injected_refusal_has_its_class():
    actor, context = pool(9), Recorder({"alloc.pages": Fault(Reason.INTERRUPTED, 0)})
    actor.on_reserve(m.Reserve(7, 1, 4, start=0x10, end=0x30), context)
    assert context.messages() == [m.Reserved(1, False, Reason.INTERRUPTED)]
    assert context.places == [[(0x10, 0x30)]]


def test_what_is_given_back_can_be_had_again():
    actor = pool(0)
    context = Recorder()
    actor.on_give_back(m.GiveBack(4, VM, 9), context)
    assert context.facts == [PagesReturned(VM, 9, 4)]
    actor.on_reserve(m.Reserve(7, 1, 4), Recorder())
    assert actor.free == 0


def test_freed_guest_memory_is_remembered_by_frame():
    actor = pool(0)
    actor.on_free_memory(m.FreeMemory(0x100, 0x180), Recorder())
    assert runs(actor.frames) == [(0, 0), (0x100, 1), (0x180, 0)]


def test_frames_of_a_hole_are_kept_for_it_where_an_agent_admits_vms():
    actor = Allocator(8, IntervalMap.filled(0), admits=Admissions({}, 512, 512, 0, agent=64))
    actor.on_free_memory(m.FreeMemory(0, 512, hole=True), Recorder())
    assert whole(actor.frames, 512) == []  # not for a VM that comes
    context = Recorder()
    actor.on_take_frames(m.TakeFrames(96, 1, 0, 512, 1, 0, 0), context)
    assert context.messages() == [m.FramesTaken(1, True, 0)]
    actor.on_free_memory(m.FreeMemory(0, 512, hole=True), Recorder())
    actor.on_no_hole(m.NoHole(0, 1024), Recorder())  # what was never given back stays as it is
    assert whole(actor.frames, 512) == [(0, 512)]
