"""The host's pool: what conversions have had of it is in use while the VM lives, and back when it has ended."""

import pytest

from actors import messages as m
from actors.address import VMM
from actors.observations import ReserveSettled, VmStopped
from actors.protocols import PROTOCOLS
from tests.helpers import PRIVATE, SHARED, World

FAULTS = (
    "alloc.pages",
    "gmem.readd",
    "gmem.tree",
    "gmem.vmemmap",
    "iommu.slots",
    "kvm.split_memory",
    "pins.transient",
    "tdx.demote_busy",
    "tdx.interrupted",
)
SECOND = 10**9
STEPS = (
    (0, 0x400, SHARED),
    (0x10, 0x240, PRIVATE),
    (0x1F0, 0x410, SHARED),
    (0x300, 0x420, PRIVATE),
)
SMALL = ("vm.page_order=0", "vm.start=mapped-4k")


def there_and_back(protocol, pamt, probability):
    """Conversions whose edges cut through leaves, folios and IOMMU entries of 2 MiB; what the pool had before."""
    small = SMALL if protocol == "in-place" else ()
    world = World(f"protocol.name={protocol}", f"fleet.pamt={pamt}", *small)
    free = world.allocator().free
    world.inject(*FAULTS, probability=probability)
    for start, end, to in STEPS:
        world.ask(start, end, to, use=True)
        world.run(world.host.now + SECOND)
    world.heal()
    world.run(world.host.now + SECOND)
    return world, free


@pytest.mark.parametrize("pamt", ["at-split", "static"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_while_a_vm_lives_what_is_missing_is_what_was_told_to_be_in_use(protocol, pamt):
    world, free = there_and_back(protocol, pamt, 0)
    used = sum(fact.used for fact in world.of(ReserveSettled))
    assert (free - world.allocator().free, world.of(VmStopped)) == (used, [])


@pytest.mark.parametrize("pamt", ["at-split", "static"])
@pytest.mark.parametrize("probability", [0, 0.1])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_of_a_vm_that_has_ended_is_missing(protocol, probability, pamt):
    world, free = there_and_back(protocol, pamt, probability)
    assert not world.gmem().conversions
    world.post(VMM, m.VmDead())
    world.run()
    assert world.gmem().torn_down and world.allocator().free == free
