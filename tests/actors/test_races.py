"""Races that the guest's own order keeps out of most runs: a fault half way when a conversion begins, and the like."""

import pytest

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
