"""Refusals that the state decides, with no fault plan: an empty pool, a pin, a held tree lock, a stuck queue."""

import pytest

from actors import messages as m
from actors.address import PINS
from actors.contract import Reason
from actors.gmem.folios import SPLITS
from actors.gmem.store import TREE_PAGES
from actors.kvm import memory as kvm_memory
from actors.observations import ConsumerReplied, Decided, Failed, SeamcallAnswered
from actors.tdx.states import Status
from tests.helpers import PRIVATE, SHARED, World

FOREVER = 10**15  # ns
START, END = 0x10, 0x20


def shared_world(*overrides):
    """A host on which the range is shared, used by the guest, the VMM and the devices."""
    world = World(*overrides)
    world.ask(START, END, SHARED, use=True)
    world.run()
    assert world.tasks == [(1, Reason.NONE)]
    return world


def refused(world, to):
    """The reason of the refusal; everything is as before it."""
    before = world.maps()
    reason = world.convert(START, END, to)
    assert (world.maps(), world.pending(), world.found) == (before, {}, set())
    return reason, [fact.consumer for fact in world.of(Failed)]


def converted(world, to):
    return world.convert(START, END, to) is Reason.NONE and world.gmem().share.only(START, END, to)


@pytest.mark.parametrize("to", [SHARED, PRIVATE])
def test_an_empty_pool_refuses_with_no_memory(to):
    world = shared_world() if to is PRIVATE else World()
    spare, world.allocator().free = world.allocator().free, 0
    assert refused(world, to) == (Reason.NO_MEMORY, ["gmem"])
    world.allocator().free = spare
    assert converted(world, to)


def test_a_fleet_without_spare_memory_converts_nothing():
    world = World("fleet.spare_memory=0B")
    assert refused(world, SHARED) == (Reason.NO_MEMORY, ["gmem"])


@pytest.mark.parametrize(("short", "who"), [(0, None), (1, "kvm_mmu"), (4, "kvm_mmu"), (5, "gmem")])
def test_whoever_comes_last_to_the_pool_refuses(short, who):
    world = World()
    world.allocator().free = TREE_PAGES + SPLITS[9, 0].pages + kvm_memory.SPLIT_PAGES - short
    if who is None:
        assert converted(world, SHARED)
    else:
        assert refused(world, SHARED) == (Reason.NO_MEMORY, [who])


def test_a_boundary_entry_of_the_iommu_needs_a_page_too():
    world = World()
    world.convert(0, 0x200, SHARED)
    world.allocator().free = TREE_PAGES
    assert refused(world, PRIVATE) == (Reason.NO_MEMORY, ["iommu"])
    world.allocator().free = TREE_PAGES + 1
    assert converted(world, PRIVATE)


def test_a_pin_refuses_with_references_and_names_its_page():
    world = shared_world()
    world.post(PINS, m.TakePin(0x18, 0x1A, FOREVER))
    world.run(world.host.now + 10)
    before = world.maps()
    number = world.request(START, END, PRIVATE)
    world.run(world.host.now + 10**8)
    assert [(a.reason, a.offset) for a in world.answers if a.request == number] == [
        (Reason.REFERENCES, 0x18)
    ]
    assert (world.maps(), world.pending(), world.found) == (before, {}, set())
    world.post(PINS, m.DropPins(0, 0x800))
    assert converted(world, PRIVATE)


def test_a_pin_elsewhere_is_no_reason():
    world = shared_world()
    world.post(PINS, m.TakePin(END, END + 1, FOREVER))
    assert converted(world, PRIVATE)


def test_a_tree_lock_that_another_host_operation_holds_refuses_with_busy():
    world = World()
    world.td().tree_exclusive_until = FOREVER
    assert refused(world, SHARED) == (Reason.BUSY, ["kvm_mmu"])
    world.td().tree_exclusive_until = 0
    assert converted(world, SHARED)


def test_entries_that_an_accept_holds_are_busy_until_the_kick_takes_the_vcpu_out():
    world = World()
    td = world.td()
    td.entry_start, td.entry_end, td.entry_until = 0x1F0, 0x200, FOREVER  # in the boundary leaf
    assert converted(world, SHARED)
    assert [fact.status for fact in world.of(SeamcallAnswered)][:2] == [Status.BUSY, Status.OK]


def test_a_stuck_queue_refuses_with_a_timeout():
    world = shared_world()
    world.iommu().free_at = FOREVER
    assert refused(world, PRIVATE) == (Reason.TIMEOUT, ["iommu"])
    world.iommu().free_at = 0
    assert converted(world, PRIVATE)


def test_a_full_queue_refuses_with_no_memory():
    world = shared_world()
    world.iommu().slots = 256
    before = world.maps()
    assert world.convert(START, END, PRIVATE) is Reason.NO_MEMORY
    assert (world.maps(), world.iommu().slots) == (before, 256)
    world.iommu().slots = 0
    assert converted(world, PRIVATE)


@pytest.mark.parametrize(
    ("plant", "to"),
    [
        (lambda world: setattr(world.td(), "tree_exclusive_until", FOREVER), SHARED),
        (lambda world: setattr(world.iommu(), "free_at", FOREVER), PRIVATE),
    ],
    ids=["tree lock", "queue"],
)
def test_a_refusal_takes_back_every_ready(plant, to):
    world = shared_world() if to is PRIVATE else World()
    plant(world)
    world.convert(START, END, to)
    ready = [f.consumer for f in world.of(ConsumerReplied) if f.phase == "prepare"]
    last = world.of(Decided)[-1]
    aborted = [f.consumer for f in world.of(ConsumerReplied) if f.phase == "abort"]
    assert (last.commit, len(ready) >= 4, len(aborted)) == (False, True, 3)


def test_of_two_vms_only_the_one_whose_lock_is_held_is_refused():
    world = World("fleet.vms_per_host=2")
    world.td(0).tree_exclusive_until = FOREVER
    numbers = [world.request(START, END, SHARED, vm) for vm in (0, 1)]
    world.run()
    assert [world.answer(number) for number in numbers] == [Reason.BUSY, Reason.NONE]


# --- where it is that refuses ----------------------------------------------------------------------

EDGES = (0x1F0, 0x410)  # a part of one huge page, a whole one, a part of a third


def refused_at(world, start, end, to):
    """The errno's class and error_offset, in gfns, of a request."""
    number = world.request(start, end, to)
    world.run(world.host.now + 3 * 10**9)
    (found,) = [answer for answer in world.answers if answer.request == number]
    assert "L7" not in world.found
    return found.reason, found.offset


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        ("kvm.split_memory", Reason.NO_MEMORY),
        ("tdx.demote_busy", Reason.BUG),
        ("tdx.interrupted", Reason.INTERRUPTED),
        ("tdx.track_busy", Reason.TIMEOUT),
    ],
)
@pytest.mark.parametrize(("nth", "leaf"), [(1, 0x1F0), (2, 0x400)])
def test_a_leaf_that_cannot_be_split_is_named(point, reason, nth, leaf):
    world = World()
    world.inject(point, nth=(nth,), reason=reason)
    assert refused_at(world, *EDGES, SHARED) == (reason, leaf)


def test_the_leaf_for_whose_table_there_is_no_page_is_named():
    world = World()
    world.convert(0x10, 0x11, SHARED)
    world.ask(0x10, 0x11, PRIVATE)
    world.run()
    world.kvm().mirror.set(0, 0x200, 2)  # whole again, and its table is there
    world.inject("alloc.pages", pages=(0x1F0, 0x410), nth=(2,))
    assert refused_at(world, *EDGES, SHARED) == (Reason.NO_MEMORY, 0x400)


@pytest.mark.parametrize("protocol", ["two-phase", "undo", "in-place-huge", "failable-notifier"])
def test_a_pinned_page_is_named(protocol):
    world = World(f"protocol.name={protocol}")
    world.convert(*EDGES, SHARED)
    world.post(PINS, m.TakePin(0x300, 0x302, FOREVER))
    assert refused_at(world, *EDGES, PRIVATE) == (Reason.REFERENCES, 0x300)


def devices_have(world, start):
    world.convert(start, EDGES[1], SHARED)
    return world


@pytest.mark.parametrize(
    ("plant", "reason"),
    [
        (lambda world: setattr(world.iommu(), "free_at", FOREVER), Reason.TIMEOUT),
        (lambda world: setattr(world.iommu(), "slots", 256), Reason.NO_MEMORY),
        (lambda world: world.inject("iommu.slots", reason=Reason.BUSY), Reason.BUSY),
    ],
    ids=["queue", "descriptors", "injected"],
)
def test_the_first_page_that_devices_have_is_named(plant, reason):
    world = devices_have(World(), 0x300)
    plant(world)
    assert refused_at(world, *EDGES, PRIVATE) == (reason, 0x300)


def test_the_first_page_of_an_invalidation_that_failed_is_named():
    world = devices_have(World("protocol.name=failable-notifier"), 0x300)
    world.inject("iommu.timeout")
    assert refused_at(world, *EDGES, PRIVATE) == (Reason.TIMEOUT, 0x300)


def test_the_entry_for_whose_split_there_is_no_page_is_named():
    world = devices_have(World(), 0x200)
    world.iommu().domains[world.kvm().vm].set(
        0x400, 0x600, 2
    )  # a listener that maps more than is shared
    world.allocator().free = TREE_PAGES
    assert refused_at(world, *EDGES, PRIVATE) == (Reason.NO_MEMORY, 0x400)


@pytest.mark.parametrize("point", ["gmem.vmemmap", "gmem.stash"])
@pytest.mark.parametrize(("nth", "folio"), [(1, 0x1F0), (2, 0x200), (3, 0x400)])
@pytest.mark.parametrize("protocol", ["two-phase", "failable-notifier", "undo"])
def test_a_folio_that_cannot_be_split_is_named(point, nth, folio, protocol):
    world = World(f"protocol.name={protocol}")
    world.inject(point, nth=(nth,))
    assert refused_at(world, *EDGES, SHARED) == (Reason.NO_MEMORY, folio)


@pytest.mark.parametrize("protocol", ["failable-notifier", "undo"])
def test_a_folio_that_cannot_be_added_again_is_named(protocol):
    world = World(f"protocol.name={protocol}")
    world.inject("gmem.readd", nth=(2,))
    assert refused_at(world, *EDGES, SHARED) == (Reason.NO_MEMORY, 0x200)


@pytest.mark.parametrize(("nth", "item"), [(1, 0x10), (2, 0x600)])
def test_a_range_that_has_no_place_on_the_list_is_named(nth, item):
    world = World("protocol.name=undo", "protocol.swallow_enomem=false")
    world.convert(0x200, 0x600, SHARED)
    world.inject("gmem.work", nth=(nth,))
    assert refused_at(world, 0x10, 0x7F0, SHARED) == (Reason.NO_MEMORY, item)


def test_without_a_page_for_the_list_its_first_range_is_named():
    world = World("protocol.name=undo", "protocol.swallow_enomem=false")
    world.convert(0, 0x200, SHARED)
    world.allocator().free = 0
    assert refused_at(world, 0x10, 0x7F0, SHARED) == (Reason.NO_MEMORY, 0x200)


def test_a_reference_that_a_bug_left_is_named():
    world = World("protocol.name=two-phase-refcount", "protocol.post_commit_check=fail-efault")
    world.convert(*EDGES, SHARED)  # in small folios
    world.ask(*EDGES, PRIVATE)
    world.run()
    world.inject("tdx.bug", pages=(0x300, 0x301))
    reason, at = refused_at(world, *EDGES, SHARED)
    assert (reason, at) == (Reason.BUG, 0x200)  # a reference is the folio's
