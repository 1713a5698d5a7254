"""Holes in guest_memfd: what the guest gives up is the host's, and is had again by the next fault."""

import pytest

from actors import messages as m
from actors.address import GMEM, GUEST, HOST_MAP, KVM, VMM
from actors.contract import PAGES_2M, Reason
from actors.gmem.folios import HOLE, SPLITS
from actors.gmem.frames import Tenancy
from actors.observations import (
    FolioOrder,
    FramesFreed,
    FramesKept,
    FramesTaken,
    GuestAccess,
    HostPte,
    Leaf,
    Pinned,
    PoisonSet,
    Punched,
    VmBugged,
)
from tests.helpers import PRIVATE, SHARED, World, runs, table

BLOCK = (0x200, 0x400)
SPLIT_PAGES = SPLITS[9, 0].pages
KINDS = [("mapped-2m", 9), ("mapped-4k", 9), ("mapped-4k", 0), ("unaccepted", 9)]


def give_up(world, start=BLOCK[0], end=BLOCK[1], delay=1):
    world.numbers += 1
    world.post(GUEST, m.GiveUp(world.numbers, start, end), delay=delay)
    return world.numbers


def punched(*overrides):
    """A host whose guest has given up a block."""
    world = World(*overrides)
    give_up(world)
    world.run()
    return world


def outcome(world, task):
    (reason,) = [reason for number, reason in world.tasks if number == task]
    return reason


def clean(world):
    return (world.found, world.pending()) == (set(), {})


# --- punching ------------------------------------------------------------------------------------


def test_the_frames_of_a_tenant_go_and_come_back():
    """No load punches holes in a VM that comes after another; guest_memfd would know which frames are its own."""
    world = World()
    tenancy = Tenancy(table((0, 0x400, 0x10000), (0x400, 0x800, 0x20000)), admitted=True)
    world.gmem().tenancy, world.td().frames = tenancy, tenancy.frames
    give_up(world, 0x200, 0x600)
    world.run()
    freed = [(f.start, f.end) for f in world.of(FramesFreed)]
    assert freed == [(0x10200, 0x10400), (0x20400, 0x20600)]
    for start in (0x200, 0x400):
        world.touch(start, start + 8, PRIVATE)
    world.run()
    assert [(f.start, f.end) for f in world.of(FramesTaken)] == freed


@pytest.mark.parametrize(("start", "order"), KINDS)
def test_a_block_that_is_given_up_is_mapped_nowhere_and_free(start, order):
    world = punched(f"vm.start={start}", f"vm.page_order={order}")
    assert world.tasks == [(1, Reason.NONE)]
    assert world.gmem().folios.only(*BLOCK, HOLE) and world.gmem().share.only(*BLOCK, PRIVATE)
    assert world.kvm().mirror.only(*BLOCK, 0) and world.td().sept.only(*BLOCK, 0)
    assert runs(world.allocator().frames) == [(0, 0), (BLOCK[0], 1), (BLOCK[1], 0)]
    assert world.guest().accepted.only(*BLOCK, 0)
    assert clean(world)


@pytest.mark.parametrize(("start", "order"), KINDS)
def test_it_comes_back_as_it_was_with_the_next_use(start, order):
    overrides = (f"vm.start={start}", f"vm.page_order={order}")
    plain = World(*overrides)
    plain.touch(*BLOCK, PRIVATE)
    plain.run()
    world = punched(*overrides)
    world.touch(*BLOCK, PRIVATE)
    world.run()
    found, expected = world.maps(), plain.maps()
    if (start, order) == ("mapped-4k", 9):  # a new folio is whole, and so is its leaf
        found, expected = ({**maps, "mirror": 0, "sept": 0} for maps in (found, expected))
    assert found == expected
    assert world.of(GuestAccess) == [] or world.of(GuestAccess)[-1].ok
    assert clean(world)


def test_a_hole_is_punched_twice_and_nothing_is_freed_twice():
    world = punched()
    give_up(world)
    world.run()
    assert (len(world.of(FramesFreed)), len(world.of(Punched))) == (1, 2)
    assert clean(world)


def test_split_folios_give_their_metadata_back_and_new_ones_are_whole():
    world = World()
    world.convert(0x210, 0x220, SHARED)
    world.convert(0x300, 0x310, SHARED)
    world.convert(0x210, 0x220, PRIVATE)  # 0x300 keeps the block split
    free = world.allocator().free
    assert outcome_of_shared(world) is Reason.REFERENCES
    world.convert(0x300, 0x310, PRIVATE)
    merged = world.allocator().free
    assert merged == free + SPLIT_PAGES
    give_up(world)
    world.touch(*BLOCK, PRIVATE, delay=10**9)
    world.run()
    assert (world.allocator().free, world.gmem().folios.get(BLOCK[0])) == (merged, 9)
    assert clean(world)


def outcome_of_shared(world):
    """Giving up a block that is shared in part."""
    task = give_up(world)
    world.run()
    return outcome(world, task)


def test_a_block_whose_folio_stayed_split_gives_its_metadata_back():
    world = World()
    free = world.allocator().free
    world.gmem().folios.set(*BLOCK, 0)
    world.allocator().free -= SPLIT_PAGES
    world.inspector.books(world.gmem().address).pool.had += SPLIT_PAGES
    give_up(world)
    world.run()
    assert (world.allocator().free, world.found) == (free, set())


def test_a_hole_in_a_poisoned_range_or_a_closed_file_is_refused():
    world = World()
    world.gmem().poison.set(0x210, 0x211, 1)
    task = give_up(world)
    world.run()
    assert outcome(world, task) is Reason.POISONED
    world.gmem().released = True
    world.post(GMEM, m.PunchHole(1, *BLOCK))
    world.run()
    assert not world.of(Punched)


def test_a_dead_vmm_punches_nothing():
    world = World()
    world.vmm().dead = True
    task = give_up(world)
    world.run()
    assert (outcome(world, task), world.of(Punched)) == (Reason.DEAD, [])


def test_what_a_bug_leaves_mapped_is_poisoned_and_never_freed():
    world = World("vm.start=mapped-4k")
    world.inject("tdx.bug", nth=(1,))
    give_up(world)
    world.run()
    (poison,) = world.of(PoisonSet)
    assert len(world.of(VmBugged)) == 1 and world.gmem().torn_down
    assert poison.end - poison.start == 1
    assert world.allocator().frames.only(*BLOCK, 0)  # a huge folio goes back whole or not at all
    assert (world.of(Punched), world.found) == ([], set())


@pytest.mark.parametrize(("order", "size"), [(0, 1), (9, PAGES_2M)])
def test_a_reference_keeps_its_folio_and_lets_the_rest_go(order, size):
    small = ("vm.start=mapped-4k", f"vm.page_order={order}")
    world = World(*small, "protocol.name=two-phase-refcount")
    world.inject("tdx.bug", probability=0.002)
    give_up(world)
    world.run()
    (kept,) = world.of(FramesKept)
    assert (world.kvm().dead, kept.end - kept.start, len(world.of(Punched))) == (False, size, 1)
    assert world.allocator().frames.pages(*BLOCK, 1) == PAGES_2M - size
    assert world.pending() == {}


def test_a_bug_that_leaves_no_trace_has_pages_freed_that_are_mapped():
    world = World("vm.start=mapped-4k", "protocol.name=two-phase-untraced")
    world.inject("tdx.bug")
    give_up(world)
    world.run()
    assert world.of(VmBugged) and len(world.of(Punched)) == 1
    assert world.found == {"I4", "AN11"}


@pytest.mark.parametrize("to", [SHARED, PRIVATE])
@pytest.mark.parametrize("after", range(0, 60_000, 7_500))
def test_holes_and_conversions_of_one_file_take_turns(to, after):
    world = World()
    if to is PRIVATE:
        world.ask(0x3F0, 0x410, SHARED, use=True)
        world.run()
    number = world.request(0x400, 0x410, to)
    give_up(world, 0, 0x200, delay=1 + after)
    world.touch(0x100, 0x110, PRIVATE, delay=1 + after)
    world.run()
    assert world.answer(number) is Reason.NONE
    assert [reason for _, reason in world.tasks] == [Reason.NONE] * len(world.tasks)
    assert clean(world)


def test_a_fault_waits_until_the_hole_is_there_and_fills_it():
    world = World()
    give_up(world)
    world.run_until(lambda: not world.td().sept.only(*BLOCK, world.td().sept.get(0)))
    world.guest().active.clear()  # another vCPU, which nothing holds back
    world.touch(0x210, 0x220, PRIVATE)
    world.run_until(lambda: bool(world.kvm().parked))
    world.run()
    assert world.of(GuestAccess) == [] and world.gmem().folios.only(*BLOCK, 9)
    assert world.guest().accepted.only(0x210, 0x220, 1)
    assert clean(world)


def test_freeing_before_the_zap_is_found():
    world = World()

    def at_once(kvm, message, context):
        context.send(message.gmem, m.Zapped(message.op), context.link)

    world.replace(KVM, m.Zap, at_once)
    world.replace(KVM, m.ZapEnd, lambda kvm, message, context: None)
    give_up(world)
    world.run()
    assert world.found >= {"I4", "AN11"}


def test_a_folio_that_is_lost_and_in_no_hole_is_found():
    world = World()
    give_up(world)
    world.run()
    world.convert(0x1F0, 0x3F0, SHARED)
    assert world.found == set()
    inspector = World()
    inspector.gmem().folios.set(*BLOCK, HOLE)
    cell = inspector.host.cells[inspector.address(GMEM)]
    cell.observe(FolioOrder(inspector.gmem().address, *BLOCK, HOLE))
    inspector.convert(0x1F0, 0x3F0, SHARED)
    assert "I5" in inspector.found


@pytest.mark.parametrize("use", [Leaf, HostPte, Pinned])
def test_nobody_may_map_or_pin_a_hole(use):
    world = punched()
    vm = world.gmem().address & ~0xFF
    last = {Leaf: (PRIVATE, 1), HostPte: (True,), Pinned: (True,)}[use]
    world.host.cells[world.address(GMEM)].observe(use(vm, 0x210, 0x211, *last))
    assert "I4" in world.found


# --- filling -------------------------------------------------------------------------------------


def test_a_hole_that_became_shared_is_filled_with_small_folios():
    world = punched()
    free = world.allocator().free
    world.ask(0x210, 0x220, SHARED, use=True)
    world.run()
    assert world.gmem().folios.only(*BLOCK, 0) and world.gmem().metadata == SPLIT_PAGES
    assert world.host_map().ptes.only(0x210, 0x220, 1)
    world.ask(0x210, 0x220, PRIVATE)
    world.run()
    assert (world.gmem().folios.get(0x210), world.allocator().free) == (9, free)
    assert world.gmem().metadata == 0
    assert clean(world)


def test_a_device_backend_fills_a_hole_too():
    world = punched()
    world.convert(0x210, 0x220, SHARED)
    world.post(HOST_MAP, m.HostTouch(0x210, 0x220))
    world.run()
    assert world.host_map().ptes.only(0x210, 0x220, 1)
    assert clean(world)


@pytest.mark.parametrize("order", [0, 9])
def test_two_faults_in_one_hole_fill_it_once(order):
    world = punched("vm.start=mapped-4k", f"vm.page_order={order}")
    for start in (0x210, 0x218):
        world.touch(start, start + 8, PRIVATE)
    world.run()
    filled = 16 if order == 0 else PAGES_2M
    assert world.gmem().folios.pages(*BLOCK, HOLE) == PAGES_2M - filled
    assert [reason for _, reason in world.tasks[1:]] == [Reason.NONE] * 2
    assert clean(world)


def test_faults_that_meet_in_one_hole_wait_for_the_first():
    world = punched()
    for access in (1 << 20, 1 << 21):
        world.post(GMEM, m.GetPfn(access, 0x210 + (access >> 20), 0x220, PRIVATE))
    got = []
    world.replace(KVM, m.GotPfn, lambda kvm, message, context: got.append(message))
    world.run()
    assert [(message.reason, message.order) for message in got] == [(Reason.NONE, 9)] * 2
    assert world.allocator().frames.only(*BLOCK, 0)


def test_frames_that_are_somebody_elses_by_now_cannot_be_had():
    world = punched()
    world.allocator().frames.set(0x300, 0x301, 0)
    task = world.touch(*BLOCK, PRIVATE)
    world.run()
    assert outcome(world, task) is not Reason.NONE
    assert world.gmem().folios.only(*BLOCK, HOLE)
    assert clean(world)


def test_a_backend_that_cannot_have_them_gets_sigbus():
    world = punched()
    world.convert(0x210, 0x220, SHARED)
    world.inject("alloc.pages")
    world.post(HOST_MAP, m.HostTouch(0x210, 0x220))
    world.run()
    assert world.host_map().ptes.only(0, 0x800, 0)
    assert clean(world)


def test_a_vm_that_ends_frees_what_is_left_once():
    world = punched()
    world.post(VMM, m.VmDead())
    world.run()
    freed = sorted((fact.start, fact.end) for fact in world.of(FramesFreed))
    assert freed == [(0, 0x200), (0x200, 0x400), (0x400, 0x800)]
    assert world.of(FramesKept) == []
    assert clean(world)
