"""Memory failure: the folio is unmapped on whichever side it is, and nobody maps, converts or frees it again."""

import pytest

from actors import messages as m
from actors.address import GMEM, HOST_MAP, VMM
from actors.contract import ERRNO, Reason
from actors.observations import (
    FaultFailed,
    FramesFreed,
    FramesKept,
    HostPte,
    LeftMapped,
    MemoryFailed,
    PoisonSet,
    VmBugged,
    VmStopped,
)
from actors.protocols import PROTOCOLS
from tests.helpers import PRIVATE, SHARED, World, runs

FOLIO = (0, 0x200)
UNACCEPTED = ("vm.start=unaccepted", "vm.accept_level=4k")


def failing(page=0x10, *overrides):
    """The frame of a page goes bad in a world at rest."""
    world = World(*overrides)
    fail(world, page)
    world.run()
    return world


def fail(world, page, delay=1):
    world.post(GMEM, m.MemoryFailure(page), delay=delay)


# --- unmapped ------------------------------------------------------------------------------------


def test_the_whole_folio_of_a_private_page_goes_and_is_poisoned():
    world = failing()
    after = world.maps()
    assert after["poison"] == [(0, 1), (0x200, 0)]
    assert (after["mirror"], after["sept"][0]) == ([(0, 0), (0x200, 2), (0x800, 0)], (0, 0))
    assert after["share"] == [(0, PRIVATE)]
    assert (world.found, world.pending()) == (set(), {})


def test_of_shared_memory_one_page_goes_and_with_it_what_the_host_maps():
    world = World()
    world.ask(*FOLIO, SHARED, use=True)
    world.run()
    fail(world, 0x10)
    world.run()
    after = world.maps()
    assert after["poison"] == [(0, 0), (0x10, 1), (0x11, 0)]
    for name in ("shared_ept", "ptes"):
        assert after[name] == [(0, 1), (0x10, 0), (0x11, 1), (0x200, 0)]
    world.post(HOST_MAP, m.HostTouch(0x10, 0x11))
    world.run()
    assert world.of(HostPte)[-1].present is False
    assert (world.found, world.pending()) == (set(), {})


def test_a_page_fails_once_and_its_folio_with_it():
    world = failing()
    for page in (0x10, 0x11):
        fail(world, page)
    world.run()
    assert len(world.of(MemoryFailed)) == len(world.of(PoisonSet)) == 1


def test_a_hole_has_no_folio_to_fail():
    world = World()
    world.post(VMM, m.PunchHole(0x5 << 16, *FOLIO))
    world.run()
    fail(world, 0x10)
    world.run()
    assert (world.of(MemoryFailed), world.pending()) == ([], {})


def test_a_bug_in_the_zap_ends_the_vm_and_the_page_is_out_of_use_all_the_same():
    world = World("vm.start=mapped-4k")
    world.inject("tdx.bug")
    fail(world, 0x10)
    world.run()
    assert len(world.of(LeftMapped)) == FOLIO[1] - FOLIO[0]
    assert len(world.of(VmBugged)) == 1
    assert world.gmem().poison.get(0x10) == 1
    assert (world.found, world.pending()) == (set(), {})


# --- and nobody has it again ---------------------------------------------------------------------


@pytest.mark.parametrize("share", [PRIVATE, SHARED])
def test_who_touches_it_meets_ehwpoison_and_the_vmm_stops_the_vm(share):
    world = World()
    if share is SHARED:
        world.ask(*FOLIO, SHARED)
        world.run()
    fail(world, 0x10)
    world.run()
    assert world.of(VmStopped) == []
    world.touch(0x10, 0x11, share)
    world.run()
    assert len(world.of(FaultFailed)) == len(world.of(VmStopped)) == 1
    assert world.of(VmBugged) == []
    assert (world.found, world.pending()) == (set(), {})


def test_who_touches_its_neighbour_does_not():
    world = failing()
    world.touch(0x200, 0x210, PRIVATE)
    world.run()
    assert (world.tasks[-1][1], world.of(VmStopped)) == (Reason.NONE, [])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_conversion_that_covers_it_is_refused_and_changes_nothing(protocol):
    order = "vm.page_order=0" if protocol == "in-place" else "vm.page_order=9"
    start = "vm.start=mapped-4k" if protocol == "in-place" else "vm.start=mapped-2m"
    world = failing(0x10, f"protocol.name={protocol}", order, start)
    before = world.maps()
    assert ERRNO[world.convert(0, 0x400, SHARED)] == "EHWPOISON"
    assert world.maps() == before
    assert world.convert(0x200, 0x400, SHARED) is Reason.NONE
    assert (world.found, world.pending()) == (set(), {})


def test_its_frames_are_kept_when_the_file_is_closed():
    world = failing()
    world.post(VMM, m.VmDead())
    world.run()
    assert [(fact.gfn, fact.end - fact.start) for fact in world.of(FramesKept)] == [FOLIO]
    assert sum(fact.end - fact.start for fact in world.of(FramesFreed)) == 0x800 - 0x200
    assert world.found == set()


# --- races ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", [SHARED, PRIVATE])
@pytest.mark.parametrize("delay", range(1, 400_000, 13_000))
def test_it_waits_for_a_conversion_and_a_conversion_for_it(delay, to):
    world = World()
    if to is PRIVATE:
        world.convert(0x10, 0x20, SHARED)
    world.request(0x10, 0x20, to)
    fail(world, 0x10, delay)
    world.run()
    assert world.answers[-1].reason in (Reason.NONE, Reason.POISONED)
    share = world.gmem().share.get(0x10)
    assert world.gmem().poison.pages(0, 0x200, 1) == (1 if share == SHARED else 0x200)
    assert (world.found - {"AN15"}, world.pending()) == (set(), {})


@pytest.mark.parametrize("delay", range(1, 12_000, 300))
def test_a_fault_that_has_its_page_already_does_not_map_it(delay):
    world = World(*UNACCEPTED)
    world.touch(0x10, 0x11, PRIVATE)
    fail(world, 0x10, delay)
    world.run()
    assert world.kvm().mirror.get(0x10) == 0
    assert world.gmem().poison.get(0x10) == 1
    assert (world.found, world.pending()) == (set(), {})


@pytest.mark.parametrize("delay", range(1, 6_000, 200))
def test_a_host_fault_that_has_its_page_already_loses_it(delay):
    world = World()
    world.convert(0x10, 0x20, SHARED)
    world.post(HOST_MAP, m.HostTouch(0x10, 0x20))
    fail(world, 0x10, delay)
    world.run()
    assert world.host_map().ptes.get(0x10) == 0
    assert (world.found, world.pending()) == (set(), {})


# --- the load ------------------------------------------------------------------------------------


def test_failures_come_as_often_as_asked_beside_a_churn():
    world = World(
        "workload.0.kind=memory-failure",
        "workload.0.rate=2000",
        "workload.0.outstanding=1",
        "scenario.duration=20ms",
        "vm.memory=1GiB",
        load=True,
        spread=True,
    )
    world.run()
    failed = world.of(MemoryFailed)
    assert 20 < len(failed) < 80
    assert {fact.end - fact.start for fact in failed} == {0x200}
    assert runs(world.gmem().poison)[0] == (0, 0)
    assert world.found <= {"AN15", "AN16", "AN23", "AN25"}
