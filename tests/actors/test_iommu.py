"""IOMMU: one queue for all VMs of a unit, descriptors reserved in PREPARE, boundary entries that stay split."""

import pytest

from actors import messages as m
from actors.address import ALLOCATOR, GMEM, IOMMU, PINS, VMM, vm_address
from actors.contract import Consumer, Fault, Reason
from actors.iommu.driver import QUEUE_SLOTS, Iommu
from actors.iommu.queue import depth
from actors.iommu.tables import huge_part
from actors.observations import Dma, IotlbQueued
from actors.tdx.states import LEVEL_2M, LEVEL_4K
from tests.helpers import COST, LINK, PRIVATE, SHARED, TIMER, Recorder, Sent, World, runs, table

VM, OTHER = vm_address(0, 0), vm_address(0, 1)
FILE, OP, TIMEOUT = VM | GMEM, 3, 1_000_000
HUGE = (0, 0x800, LEVEL_2M)
READY = m.Ready(OP, Consumer.IOMMU)


def unit(*mapped, **fields):
    found = Iommu(0, TIMEOUT, {VM: table(*mapped), OTHER: table(*mapped)})
    for name, value in fields.items():
        setattr(found, name, value)
    return found


def prepared(actor, start, end, to=PRIVATE, context=None, vm=VM):
    context = context or Recorder()
    actor.on_prepare(m.Prepare(vm | GMEM, OP, start, end, to), context)
    return context


def refusal(reason):
    return m.Refused(OP, Consumer.IOMMU, reason, 0x10)


# --- PREPARE -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mapped", "to"), [((), PRIVATE), ((HUGE,), SHARED)], ids=["nothing mapped", "to shared"]
)
def test_where_nothing_has_to_be_unmapped_nothing_is_taken(mapped, to):
    actor = unit(*mapped)
    assert (prepared(actor, 0x10, 0x20, to).messages(), actor.slots) == ([READY], 0)


def test_a_vm_without_devices_is_always_ready():
    actor = Iommu(0, TIMEOUT, {})
    assert prepared(actor, 0x10, 0x20).messages() == [READY]


def test_a_vm_that_dies_after_its_prepare_has_nothing_left_to_unmap():
    actor = unit((0, 0x100, LEVEL_4K))
    context = prepared(actor, 0x10, 0x20)
    actor.receive(m.Detach(VM), context)
    context.take()
    actor.on_commit(m.Commit(FILE, OP, 0x10, 0x20, PRIVATE), context)
    assert context.take() == [Sent(FILE, m.Committed(OP, Consumer.IOMMU), LINK)]
    assert (actor.slots, actor.free_at, actor.unmaps) == (0, 0, {})


def test_small_entries_need_a_descriptor_and_no_memory():
    actor = unit((0, 0x100, LEVEL_4K))
    assert (prepared(actor, 0x10, 0x20).messages(), actor.slots) == ([READY], 1)


@pytest.mark.parametrize(
    ("start", "end", "leaves"),
    [(0, 0x200, []), (0x10, 0x20, [0]), (0x1F0, 0x210, [0, 0x200]), (0x10, 0x400, [0])],
)
def test_boundary_entries_are_split_with_a_page_each_and_stay_split(start, end, leaves):
    actor = unit(HUGE)
    context = prepared(actor, start, end)
    if leaves:
        reserve = m.Reserve(IOMMU, 1, len(leaves), VM, OP, start, end)
        assert context.take() == [Sent(ALLOCATOR, reserve, LINK)]
        actor.on_reserved(m.Reserved(1, True), context)
    actor.on_abort(m.Abort(FILE, OP), context)
    split = [leaf for leaf in (0, 0x200, 0x400) if actor.domains[VM].get(leaf) == LEVEL_4K]
    assert (split, actor.slots, actor.unmaps, actor.tickets) == (leaves, 0, {}, {})


@pytest.mark.parametrize(
    ("fields", "choices", "reason"),
    [
        ({"free_at": TIMEOUT + 1}, {}, Reason.TIMEOUT),
        ({"slots": QUEUE_SLOTS}, {}, Reason.NO_MEMORY),
        ({}, {"iommu.slots": Fault(Reason.NO_MEMORY, 0)}, Reason.NO_MEMORY),
    ],
    ids=["stuck queue", "full queue", "injected"],
)
def test_a_refusal_keeps_nothing(fields, choices, reason):
    actor = unit(HUGE, **fields)
    slots = actor.slots
    assert prepared(actor, 0x10, 0x20, context=Recorder(choices)).messages() == [refusal(reason)]
    assert (actor.slots, actor.unmaps, actor.tickets) == (slots, {}, {})


def test_a_queue_that_is_late_and_not_too_late_is_no_reason_to_refuse():
    actor = unit((0, 0x100, LEVEL_4K), free_at=TIMEOUT)
    assert prepared(actor, 0x10, 0x20).messages() == [READY]


def test_without_memory_for_the_split_the_descriptor_goes_back():
    actor = unit(HUGE)
    context = prepared(actor, 0x10, 0x20)
    context.take()
    actor.on_reserved(m.Reserved(1, False), context)
    assert (context.messages(), actor.slots) == ([refusal(Reason.NO_MEMORY)], 0)


# --- COMMIT --------------------------------------------------------------------------------------


def committed(actor, start=0x10, end=0x20, choices=None, costs=None):
    context = prepared(actor, start, end, context=Recorder(choices, costs))
    actor.on_commit(m.Commit(FILE, OP, start, end, PRIVATE), context)
    return context


def test_commit_unmaps_invalidates_and_waits():
    actor = unit((0, 0x100, LEVEL_4K))
    context = committed(actor, costs={"vfio_unmap_4k": 70, "iotlb_invalidate": 2000})
    assert context.take()[-1] == Sent(FILE, m.Committed(OP, Consumer.IOMMU), 2070)
    assert runs(actor.domains[VM]) == [(0, LEVEL_4K), (0x10, 0), (0x20, LEVEL_4K), (0x100, 0)]
    assert context.of(Dma) == [Dma(VM, 0x10, 0x20, False)]
    assert (actor.slots, actor.free_at) == (0, 2070)


def test_invalidations_of_all_vms_are_served_in_order_by_one_queue():
    actor = unit((0, 0x100, LEVEL_4K))
    first = committed(actor)
    second = prepared(actor, 0x10, 0x20, vm=OTHER)
    actor.on_commit(m.Commit(OTHER | GMEM, OP, 0x10, 0x20, PRIVATE), second)
    assert [c.sent[-1].delay for c in (first, second)] == [2 * COST, 3 * COST]
    assert [(fact.wait, fact.took) for fact in second.of(IotlbQueued)] == [(COST, 3 * COST)]


def test_a_vm_with_a_queue_of_its_own_waits_for_no_other_and_still_for_itself():
    actor = unit((0, 0x100, LEVEL_4K), own={})
    first = committed(actor)
    other = prepared(actor, 0x10, 0x20, vm=OTHER)
    actor.on_commit(m.Commit(OTHER | GMEM, OP, 0x10, 0x20, PRIVATE), other)
    again = committed(actor, 0x30, 0x40)
    facts = [c.of(IotlbQueued)[0] for c in (first, other, again)]
    assert [(f.queue, f.wait, f.took) for f in facts] == [
        (VM, 0, 2 * COST),
        (OTHER, 0, 2 * COST),
        (VM, COST, 3 * COST),
    ]
    assert actor.free_at == 0


@pytest.mark.parametrize(("vm", "answer"), [(VM, refusal(Reason.TIMEOUT)), (OTHER, READY)])
def test_a_stuck_queue_of_its_own_refuses_that_vm_alone(vm, answer):
    actor = unit((0, 0x100, LEVEL_4K), own={VM: TIMEOUT + 1})
    assert prepared(actor, 0x10, 0x20, vm=vm).messages() == [answer]


def test_descriptors_of_queues_of_their_own_are_counted_apart():
    actor = unit((0, 0x100, LEVEL_4K), own={})
    prepared(actor, 0x10, 0x20, vm=OTHER)
    prepared(actor, 0x10, 0x20)
    assert (actor.slots, depth(actor, VM), depth(actor, OTHER)) == (2, 1, 1)


def test_commit_after_the_vm_has_gone_has_nothing_to_invalidate():
    actor = unit((0, 0x100, LEVEL_4K))
    prepared(actor, 0x10, 0x20)
    actor.receive(m.Detach(VM), Recorder())
    before, context = actor.free_at, Recorder()
    actor.on_commit(m.Commit(FILE, OP, 0x10, 0x20, PRIVATE), context)
    assert context.take() == [Sent(FILE, m.Committed(OP, Consumer.IOMMU), LINK)]
    assert actor.free_at == before


def test_commit_over_nothing_is_free():
    assert committed(unit()).take()[-1].delay == LINK


@pytest.mark.parametrize(
    ("fields", "choices", "injected"),
    [
        ({}, {"iommu.timeout": Fault(Reason.TIMEOUT, 0)}, True),
        ({"free_at": TIMEOUT - 1}, {}, False),
    ],
    ids=["injected", "queue"],
)
def test_a_wait_that_never_ends_is_reported_as_poison_and_then_acknowledged(
    fields, choices, injected
):
    actor = unit((0, 0x100, LEVEL_4K), **fields)
    context = committed(actor, choices=choices)
    poison = m.Poison(OP, Consumer.IOMMU, Reason.TIMEOUT, 0x10, 0x20, injected)
    done = m.Committed(OP, Consumer.IOMMU)
    assert context.take()[-2:] == [Sent(FILE, poison, TIMEOUT), Sent(FILE, done, TIMEOUT + 1)]
    assert context.of(Dma) == []


# --- ABORT ---------------------------------------------------------------------------------------


def aborted_at(delay):
    return Sent(FILE, m.Aborted(OP, Consumer.IOMMU), delay)


def test_abort_gives_the_descriptor_back_and_unmaps_nothing():
    actor = unit((0, 0x100, LEVEL_4K))
    context = prepared(actor, 0x10, 0x20)
    actor.on_abort(m.Abort(FILE, OP), context)
    assert (actor.slots, runs(actor.domains[VM])) == (0, [(0, LEVEL_4K), (0x100, 0)])
    assert context.take()[-1] == aborted_at(LINK + 1)  # never before its own READY


def test_abort_of_what_was_refused_is_acknowledged():
    context = Recorder()
    unit().on_abort(m.Abort(FILE, OP), context)
    assert context.take() == [aborted_at(LINK)]


@pytest.mark.parametrize("granted", [True, False])
def test_abort_waits_for_the_allocators_answer(granted):
    actor = unit(HUGE)
    context = prepared(actor, 0x10, 0x20)
    actor.on_abort(m.Abort(FILE, OP), context)
    context.take()
    actor.on_reserved(m.Reserved(1, granted), context)
    first, second = context.take()
    assert first.message == (READY if granted else refusal(Reason.NO_MEMORY))
    assert (second.message, second.delay > first.delay) == (m.Aborted(OP, Consumer.IOMMU), True)
    assert (actor.slots, actor.unmaps) == (0, {})


# --- mapping -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "part"),
    [
        (0, 0x200, (0, 0x200)),
        (0, 0x1FF, (0, 0)),
        (1, 0x3FF, (1, 1)),
        (1, 0x401, (0x200, 0x400)),
        (0x200, 0x7FF, (0x200, 0x600)),
    ],
)
def test_huge_entries_map_the_aligned_part(start, end, part):
    assert huge_part(start, end) == part


def test_a_map_has_small_entries_at_its_edges():
    actor, context = unit(), Recorder(costs={"vfio_map_4k": 400, "vfio_map_2m": 6000})
    actor.receive(m.DmaMap(VM, OP, 0x1F0, 0x410), context)
    assert runs(actor.domains[VM]) == [(0, 0), (0x1F0, 1), (0x200, 2), (0x400, 1), (0x410, 0)]
    assert context.take() == [Sent(VM | VMM, m.DmaMapped(OP, Reason.NONE), 6400)]


def test_a_map_that_fails_maps_nothing():
    actor, context = unit(), Recorder({"iommu.map": Fault(Reason.NO_MEMORY, 0)})
    actor.receive(m.DmaMap(VM, OP, 0x1F0, 0x410), context)
    assert (runs(actor.domains[VM]), context.facts) == ([(0, 0)], [])
    assert context.messages() == [m.DmaMapped(OP, Reason.NO_MEMORY)]


def test_a_detached_vm_has_nothing_mapped_and_maps_nothing_any_more():
    actor, context = unit(HUGE), Recorder()
    actor.receive(m.Detach(VM), context)
    actor.receive(m.DmaMap(VM, OP, 0, 0x200), context)
    assert (runs(actor.domains[VM]), context.messages()) == (
        [(0, 0)],
        [m.DmaMapped(OP, Reason.DEAD)],
    )


def test_a_vm_that_stops_while_it_converts_leaves_no_device_mapping_behind():
    world = World()
    number = world.request(0, 0x200, SHARED)
    world.run_until(lambda: bool(world.gmem().conversions))
    world.post(VMM, m.VmDead())
    world.run()
    assert (world.answer(number), world.found, world.pending()) == (Reason.DEAD, set(), {})
    assert runs(world.iommu().domains[VM]) == [(0, 0)]


def test_frames_that_lie_anywhere_get_small_entries():
    actor, context = unit(scattered={VM: True}), Recorder(costs={"vfio_map_4k": 67})
    actor.receive(m.DmaMap(VM, OP, 0, 0x400), context)
    actor.receive(m.DmaMap(OTHER, OP, 0, 0x400), context)
    assert [runs(actor.domains[vm])[0] for vm in (VM, OTHER)] == [(0, LEVEL_4K), (0, LEVEL_2M)]


# --- an invalidation that does not complete ------------------------------------------------------


def shared_and_in_use(*overrides):
    """A host on which the devices reach a range that is shared."""
    world = World(*overrides)
    world.ask(0x1F0, 0x410, SHARED, use=True)
    world.run()
    return world


def queued(world):
    return len(world.of(IotlbQueued))


def test_an_early_unmap_that_hangs_is_a_no_when_patience_ends_and_its_abort_waits_for_that():
    actor = unit((0, 0x100, LEVEL_4K))
    context = Recorder({"iommu.timeout": Fault(Reason.TIMEOUT, 0)})
    actor.on_prepare(m.Prepare(FILE, OP, 0x10, 0x20, PRIVATE, early=True), context)
    assert context.take() == [Sent(TIMER, m.WaitFailed(1, Reason.TIMEOUT), TIMEOUT - LINK)]
    actor.on_abort(m.Abort(FILE, OP), context)
    assert (context.take(), actor.domains[VM].only(0x10, 0x20, 0)) == ([], True)
    actor.on_wait_failed(m.WaitFailed(1, Reason.TIMEOUT), context)
    assert context.take() == [
        Sent(FILE, refusal(Reason.TIMEOUT), LINK),
        Sent(FILE, m.Aborted(OP, Consumer.IOMMU), LINK + 1),
    ]
    assert (runs(actor.domains[VM]), actor.unmaps, actor.slots) == ([(0, 1), (0x100, 0)], {}, 0)


def test_a_refusal_that_comes_late_meets_a_conversion_that_still_waits_for_it():
    world = shared_and_in_use("protocol.iommu_prepare=unmap-early")
    world.post(PINS, m.TakePin(0x200, 0x201, 10**10))
    world.run(world.host.now + 10)
    before = world.maps()
    world.inject("iommu.timeout")
    assert world.convert(0x1F0, 0x410, PRIVATE) is Reason.REFERENCES
    assert (world.maps(), world.pending(), world.found) == (before, {}, set())


@pytest.mark.parametrize("protocol", ["failable-notifier", "undo", "undo-split-first"])
def test_what_was_never_flushed_is_invalidated_when_it_is_asked_for_again(protocol):
    world = shared_and_in_use(f"protocol.name={protocol}")
    world.inject("iommu.timeout")
    assert world.convert(0x1F0, 0x410, PRIVATE) is Reason.TIMEOUT
    world.heal()
    before = queued(world)
    assert world.convert(0x1F0, 0x410, PRIVATE) is Reason.NONE
    assert (queued(world) - before, world.pending()) == (1, {})
    assert (world.iommu().lingering, world.found) == ({}, {"AN8"})


def test_an_invalidation_that_completes_confirms_the_ones_before_it():
    world = shared_and_in_use("protocol.name=failable-notifier")
    world.inject("iommu.timeout")
    world.convert(0x1F0, 0x200, PRIVATE)
    world.heal()
    assert not world.iommu().lingering[VM].only(0x1F0, 0x200, 0)
    assert world.convert(0x400, 0x410, PRIVATE) is Reason.NONE
    assert world.iommu().lingering == {}
    assert (world.of(Dma)[-2].start, world.of(Dma)[-2].mapped) == (0x1F0, False)


def test_a_range_that_is_mapped_again_has_nothing_left_to_flush():
    actor = unit(lingering={VM: table((0, 0x40, 1))})
    actor.receive(m.DmaMap(VM, OP, 0x10, 0x20), Recorder())
    assert runs(actor.lingering[VM]) == [(0, 1), (0x10, 0), (0x20, 1), (0x40, 0)]


def test_a_domain_that_is_torn_down_is_flushed():
    actor, context = unit(lingering={VM: table((0, 0x40, 1))}), Recorder()
    actor.receive(m.Detach(VM), context)
    assert (actor.lingering, context.of(Dma)) == ({}, [Dma(VM, 0, 0x40, False)])
