"""Loads over all of memory: a balloon that comes back whole, a sweep that leaves no page out, a shutdown in order."""

import pytest

from actors import observations as o
from actors.contract import PAGES_2M, Reason
from tests.helpers import PRIVATE, SHARED, World, runs
from workloads.census import census

PAGES = 0x4000  # 64 MiB


def world_of(kind, *overrides):
    return World(f"workload.0.kind={kind}", "vm.memory=64MiB", *overrides, load=True, spread=True)


def census_of(world):
    return census(cell.actor for cell in world.host.cells.values())


# --- balloon -------------------------------------------------------------------------------------


def test_a_full_balloon_has_its_size_and_an_empty_one_leaves_no_trace():
    world = world_of("balloon", "workload.0.size=16MiB", "workload.0.outstanding=0")
    before = world.maps()
    world.run_until(lambda: len(world.of(o.Punched)) == 8)
    world.run(world.host.now + 10**5)
    assert census_of(world)["punched_bytes"] == 16 << 20
    assert census_of(world).get("leaked_bytes", 0) == 0
    assert world.allocator().frames.pages(0, PAGES, 1) == PAGES // 4
    world.run()
    assert world.maps() == before
    assert (len(world.of(o.Punched)), world.found, world.pending()) == (8, set(), {})


def test_blocks_come_at_the_rate_asked_for():
    world = world_of(
        "balloon", "workload.0.size=32MiB", "workload.0.rate=1000", "workload.0.rounds=8"
    )
    world.run()
    assert len(world.of(o.Punched)) == 8 * 16
    # 256 blocks one after the other, each some 0.3 ms after a mean pause of 1 ms.
    assert 0.25 < world.host.now / 1e9 < 0.55


@pytest.mark.parametrize(("start", "order"), [("mapped-4k", 0), ("unaccepted", 9)])
def test_holes_and_churn_get_on_with_each_other(start, order):
    faults = (
        'fault=[{point="alloc.pages",probability=0.02},{point="pins.transient",probability=0.05}]',
    )
    world = world_of(
        "balloon",
        f"vm.start={start}",
        f"vm.page_order={order}",
        "workload.0.size=16MiB",
        "workload.0.rate=1000",
        "workload.0.rounds=2",
        "workload.0.outstanding=3",
        *faults,
    )
    world.run()
    assert len(world.of(o.Punched)) == 2 * 8
    assert len(world.of(o.ConvertEnd)) > 50
    # A hole of 2 MiB in leaves of 4 KiB holds ilock for 12 ms: a fault that comes just then waits too long (AN23).
    assert world.found <= {"AN15", "AN16", "AN23", "AN25"} and world.pending() == {}


# --- sweep ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("passes", "side"), [(1, SHARED), (2, PRIVATE), (3, SHARED)])
def test_a_sweep_leaves_no_page_out(passes, side):
    world = world_of("sweep", "workload.0.window=12MiB", f"workload.0.passes={passes}")
    world.run()
    assert runs(world.gmem().share) == ([(0, SHARED), (PAGES, PRIVATE)] if side else [(0, PRIVATE)])
    assert world.guest().accepted.only(0, PAGES, int(side is PRIVATE))
    # MapGPA goes by 2 MiB and nobody else asks: the writers know where each page is.
    assert len(world.of(o.Requested)) == passes * PAGES // PAGES_2M
    assert (world.found, world.pending()) == (set(), {})


def test_the_guest_writes_on_both_sides_meanwhile():
    world = world_of("sweep", "workload.0.window=4MiB", "workload.0.write_rate=20000")
    world.run()
    written = [fact for fact in world.of(o.GuestAccess) if fact.end - fact.start == 1]
    assert {fact.share for fact in written} == {PRIVATE, SHARED}
    assert all(fact.ok for fact in written)
    rate = len(written) / (world.host.now / 1e9)
    assert 5_000 < rate <= 21_000


def test_without_writers_only_the_sweep_goes_on():
    world = world_of("sweep", "workload.0.writers=0", "vm.start=unaccepted")
    world.run()
    assert [fact for fact in world.of(o.GuestAccess) if fact.end - fact.start == 1] == []
    assert (world.found, world.pending()) == (set(), {})


# --- shutdown ------------------------------------------------------------------------------------


def test_a_shutdown_takes_everything_back_then_the_mm_goes_then_the_file():
    world = world_of("shutdown", "workload.0.shared=16MiB")
    world.run_until(lambda: bool(world.of(o.NotifierCalled)))
    assert world.gmem().share.only(0, PAGES, PRIVATE)
    assert world.guest().accepted.only(0, PAGES, 1)
    assert not world.vmm().dead
    world.run()
    assert [fact.site for fact in world.of(o.NotifierCalled)] == ["N8 exit_mmap"]
    order = [type(fact) for _, fact in world.notebook.facts]
    assert order.index(o.NotifierCalled) < order.index(o.VmStopped) < order.index(o.FramesFreed)
    assert census_of(world).get("leaked_bytes", 0) == 0
    assert world.allocator().frames.only(0, PAGES, 1)
    assert (world.found, world.pending()) == (set(), {})


def test_memory_that_cannot_be_taken_back_goes_with_the_vmm():
    world = world_of("shutdown", "workload.0.shared=16MiB", "vm.guest_retries=0")
    world.run_until(lambda: world.gmem().share.only(PAGES - 0x1000, PAGES, SHARED))
    world.inject("iommu.slots")
    world.run()
    assert {fact.reason for fact in world.of(o.Failed)} == {Reason.NO_MEMORY}
    assert world.of(o.VmStopped) and world.allocator().frames.only(0, PAGES, 1)
    assert (world.found, world.pending()) == (set(), {})
