"""Races that the guest's own order keeps out of most runs: a fault half way when a conversion begins, and the like."""

import pytest

from actors import messages as m
from actors.address import HOST_MAP, KVM, VMM
from actors.kvm.tickets import HOLE
from actors.messages import ATTEMPT_BITS
from tests.helpers import PRIVATE, SHARED, World


@pytest.mark.parametrize("delay", [1_000, 3_000, 20_000, 200_000])
@pytest.mark.parametrize("order", [0, 9])
def test_a_conversion_waits_for_a_fault_that_is_half_way(delay, order):
    world = World('vm.start="unaccepted"', f"vm.page_order={order}")
    world.touch(0, 512, PRIVATE)
    world.request(0, 512, SHARED, delay=delay)
    world.run()
    assert world.found <= {"AN15"}


def test_one_busy_on_each_of_many_pages_is_not_a_second_busy():
    world = World('vm.start="mapped-4k"', "fault.0.point=tdx.busy", "fault.0.probability=0.01")
    world.convert(0, 512, SHARED)
    assert not world.kvm().dead


@pytest.mark.parametrize("delay", range(1, 60_000, 3_000))
@pytest.mark.parametrize(
    "keys",
    [
        ("vm.start=unaccepted", "vm.accept_level=4k"),
        ("vm.start=prefaulted-2m", "vm.accept_level=4k", "vm.guest_inhibit=tested"),
    ],
    ids=["fault", "split"],
)
def test_a_hole_waits_for_a_fault_or_a_split_that_is_half_way(keys, delay):
    world = World(*keys)
    world.touch(0, 512, PRIVATE)
    hole = (1 << 20 << 3 | HOLE) << ATTEMPT_BITS
    world.post(VMM, m.PunchHole(hole, 0, 512), delay=delay)
    world.run()
    assert (world.found, world.pending()) == (set(), {})


@pytest.mark.parametrize("delay", range(1, 6_000, 500))
def test_an_mmu_notifier_waits_for_a_fault_that_is_half_way(delay):
    world = World()
    world.convert(0, 8, SHARED)
    began = world.host.now
    world.touch(0, 8, SHARED)
    world.post(KVM, m.RangeStart(7, 0, 8, False, True, False), delay=delay)
    world.replace(HOST_MAP, m.RangeStarted, lambda *_: None)
    world.run(began + 1_000_000)
    assert world.kvm().shared_ept.only(0, 8, 0), "a leaf came in after invalidate_range_start"
