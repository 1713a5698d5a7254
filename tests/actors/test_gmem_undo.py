"""A restructuring that fails half way: under every protocol metadata adds up and nothing shared is in a huge folio."""

import pytest

from actors.contract import Reason
from actors.gmem import folios as gmem_folios
from tests.helpers import PRIVATE, SHARED, World, runs

START, END = 0x1F0, 0x410  # three folios of 2 MiB
GIGABYTE_PAGES = ("vm.page_order=18", "vm.memory=1GiB")


def shared_world(protocol, *overrides):
    """A host whose VM uses three folios' edges as shared memory."""
    world = World(f"protocol.name={protocol}", *overrides)
    assert world.convert(START, END, SHARED) is Reason.NONE
    return world


# Without 1 GiB folios in-place-huge has one folio in hand at a time: there is no second one to fail at.
HALF_WAY = [
    ("in-place-huge", (), 0),
    *[("in-place-huge", GIGABYTE_PAGES, first) for first in (0, 1, 2, 3)],
    *[("failable-notifier", (), first) for first in (0, 1, 2)],
    *[("failable-notifier", GIGABYTE_PAGES, first) for first in (0, 1, 2, 3)],
]


@pytest.mark.parametrize(("protocol", "overrides", "first"), HALF_WAY)
def test_a_merge_that_fails_half_way_is_taken_back_with_the_pages_at_hand(
    protocol, overrides, first
):
    world = shared_world(protocol, *overrides)
    before = world.maps()
    world.inject("gmem.readd", nth=(first + 1,))
    assert world.convert(START, END, PRIVATE) is Reason.NO_MEMORY
    # The devices' mapping does not come back by itself, and the VMM knows nothing of it.
    assert (world.found, world.pending()) == ({"AN18", "I21"}, {})
    after = world.maps()
    assert {name for name in before if before[name] != after[name]} == {"iommu"}


def test_a_taken_back_merge_can_be_tried_again():
    world = shared_world("in-place-huge", *GIGABYTE_PAGES)
    world.inject("gmem.readd", nth=(3,))
    world.convert(START, END, PRIVATE)
    world.heal()
    assert world.convert(START, END, PRIVATE) is Reason.NONE
    assert (runs(world.gmem().folios), world.gmem().metadata) == ([(0, 18), (0x40000, -1)], 0)


@pytest.mark.parametrize("first", [1, 2])
def test_folios_that_the_failable_notifier_has_split_stay_split(first):
    world = World("protocol.name=failable-notifier")
    free = world.allocator().free
    world.inject("gmem.readd", nth=(first + 1,))
    assert world.convert(START, END, SHARED) is Reason.NO_MEMORY
    assert runs(world.gmem().folios) == [(0, 0), (first * 0x200, 9), (0x800, -1)]
    assert world.gmem().share.only(0, 0x800, PRIVATE)
    assert world.gmem().metadata == first * gmem_folios.SPLITS[9, 0].pages
    assert {"AN7", "AN3"} <= world.found and not world.found & {"AN4", "I6"}
    split = world.kvm().tables.pages(0, 0x800, 1) // 0x200
    assert free - world.allocator().free == world.gmem().metadata + 4 * split


@pytest.mark.parametrize("protocol", ["undo", "undo-split-first"])
@pytest.mark.parametrize("to", [SHARED, PRIVATE])
@pytest.mark.parametrize("first", [0, 1, 2])
def test_an_undo_asks_for_its_memory_anew_and_gives_back_what_it_does_not_use(protocol, to, first):
    world = shared_world(protocol) if to is PRIVATE else World(f"protocol.name={protocol}")
    before = world.maps()
    world.inject("gmem.readd", nth=(first + 1,))
    assert world.convert(START, END, to) is Reason.NO_MEMORY
    after = world.maps()
    assert (after["folios"], after["share"]) == (before["folios"], before["share"])
    assert world.pending() == {}
    assert world.gmem().metadata == (24 if to is PRIVATE else 0)
