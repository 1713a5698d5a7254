"""Errors that nobody hears of, and failures that the fault plan makes: a fact for each of them, and for no other."""

import pytest

from actors.address import vm_address
from actors.contract import Reason
from actors.observations import ErrorDropped, FaultStruck
from tests.helpers import PRIVATE, SHARED, World

VM = vm_address(0, 0)


def dropped(world):
    """Who met what, while what."""
    return [(fact.consumer, fact.phase, fact.reason) for fact in world.of(ErrorDropped)]


@pytest.mark.parametrize(
    ("swallows", "expected"), [("true", [("gmem", "listing", Reason.NO_MEMORY)]), ("false", [])]
)
def test_a_list_that_is_cut_hides_an_error(swallows, expected):
    world = World("protocol.name=undo", f"protocol.swallow_enomem={swallows}")
    world.inject("gmem.work")
    world.convert(0x10, 0x20, SHARED)
    assert dropped(world) == expected


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [("undo", [("kvm_mmu", "invalidating", Reason.BUG)]), ("failable-notifier", [])],
)
def test_the_result_of_an_unmap_is_dropped_where_the_protocol_says_so(protocol, expected):
    world = World(f"protocol.name={protocol}")
    world.inject("tdx.bug")
    world.request(0x10, 0x11, SHARED)
    world.run(world.host.now + 10**8)
    assert dropped(world) == expected


@pytest.mark.parametrize("hangs", [True, False])
def test_nobody_hears_of_an_unmap_whose_invalidation_was_given_up(hangs):
    world = World("vm.iommu=pin")
    world.convert(0x10, 0x20, SHARED)
    world.inject(*["iommu.timeout"] * hangs)
    world.convert(0x10, 0x20, PRIVATE)
    assert dropped(world) == [("iommu", "unmap", Reason.TIMEOUT)] * hangs


def test_a_fault_that_strikes_says_where_and_of_what_class():
    world = World()
    world.inject("tdx.busy", nth=(2,))
    world.convert(0x10, 0x12, SHARED)
    (fact,) = world.of(FaultStruck)
    assert (fact.vm, fact.point, fact.reason) == (VM, "tdx.busy", Reason.BUSY)
    assert (fact.start, fact.end) == (0x10, 0x11)


def test_where_the_opportunities_have_places_of_their_own_it_names_none():
    world = World()
    world.inject("kvm.split_memory")
    world.convert(0x10, 0x12, SHARED)
    (fact,) = world.of(FaultStruck)
    assert (fact.point, fact.end - fact.start) == ("kvm.split_memory", 0)


def test_an_opportunity_that_is_spared_is_no_fact():
    world = World()
    world.inject("tdx.busy", nth=(99,))
    world.convert(0x10, 0x12, SHARED)
    assert world.of(FaultStruck) == []


def test_a_fault_of_the_host_s_own_belongs_to_no_story():
    """What names no VM has no books to go into."""
    world = World()
    world.inspector.struck(5, FaultStruck(0, 1, "alloc.pages", Reason.NO_MEMORY, 0, 0))
    assert world.inspector.known.get(0) is None
