"""Dynamic PAMT: a pair of pages for a 2 MiB region while leaves of 4 KiB are in it, paid by whoever maps the first."""

import random

import msgspec
import pytest

from actors import messages as m
from actors.address import ALLOCATOR, KVM, VMM
from actors.allocator import Allocator
from actors.contract import Reason
from actors.kvm.memory import SPLIT_PAGES, TABLE_PAGES, PageCache
from actors.observations import FaultFailed, PamtCounted, Reserving
from actors.tdx.entries import LEVEL_SHIFT
from actors.tdx.pamt import PAIR, DynamicPamt, count, empty
from actors.tdx.states import LEVEL_2M, LEVEL_4K, Call, Entry, Status
from tests.actors.test_tdx_module import VM, answer, call, module
from tests.helpers import COST, PRIVATE, SHARED, Recorder, World, runs

DYNAMIC = "fleet.pamt=dynamic"
UNACCEPTED = "vm.start=unaccepted"
A = ("protocol.name=failable-notifier", "protocol.on_error=remap")


def regions(world: World) -> list[tuple[int, int]]:
    """(first region, leaves) of the host."""
    dynamic = world.tdx().dynamic
    assert dynamic is not msgspec.UNSET
    return runs(dynamic.counts)


def cache(world: World) -> PageCache:
    """KVM's."""
    found = world.kvm().cache
    assert found is not msgspec.UNSET
    return found


def spare(world: World) -> int:
    """Pages of the pool, and those that wait in KVM's cache."""
    return world.allocator().free + cache(world).pages


# --- counting ------------------------------------------------------------------------------------


def test_counts_and_pairs_are_those_of_a_plain_set_of_frames():
    pamt, draw = DynamicPamt(), random.Random(1)
    frames: set[int] = set()
    for _ in range(500):
        first = draw.randrange(4000)
        last = first + draw.randrange(1, 2000)
        there = first in frames
        alike = [page for page in range(first, last) if (page in frames) is not there]
        last = min(alike, default=last)
        before = {page // 512 for page in frames}
        pairs = sum(part.pairs for part in count(pamt, first, last, -1 if there else 1))
        frames ^= set(range(first, last))
        after = {page // 512 for page in frames}
        assert pairs == len(after) - len(before)
        assert empty(pamt, 0, 12 * 512) == 12 - len(after)
    assert [pamt.counts.get(region) for region in range(12)] == [
        sum(page // 512 == region for page in frames) for region in range(12)
    ]


def test_a_terabyte_of_small_leaves_is_two_runs():
    pamt = DynamicPamt()
    (part,) = count(pamt, 0, 1 << 28, 1)
    assert (part.pairs, pamt.counts.fragments) == (1 << 19, 2)


# --- the module ----------------------------------------------------------------------------------


def dynamic(*arguments, **fields):
    tdx, td = module(*arguments, **fields)
    tdx.dynamic = DynamicPamt()
    return tdx, td


def offered(what, pairs, **where):
    return msgspec.structs.replace(call(what, **where), pairs=pairs)


@pytest.mark.parametrize(("pairs", "status"), [(0, Status.NO_PAMT), (1, Status.OK)])
def test_the_first_small_leaf_of_a_region_wants_a_pair_and_the_second_does_not(pairs, status):
    tdx, _ = dynamic(Entry.FREE)
    assert answer(tdx, offered(Call.AUG, pairs, end=1))[0] is status
    assert answer(tdx, offered(Call.AUG, 1 - pairs, start=1, end=2))[0] is Status.OK
    assert runs(tdx.dynamic.counts) == [(0, 0), (8, 1 + pairs), (9, 0)]


def test_a_huge_leaf_wants_none_until_it_is_demoted():
    tdx, td = dynamic(Entry.FREE, pages=512)
    assert answer(tdx, call(Call.AUG, end=512, level=LEVEL_2M)) == (Status.OK, 1)
    assert runs(tdx.dynamic.counts) == [(0, 0)]
    td.sept.set(0, 512, Entry.BLOCKED | LEVEL_2M << LEVEL_SHIFT)
    assert answer(tdx, call(Call.DEMOTE, end=512, level=LEVEL_2M)) == (Status.NO_PAMT, 0)
    assert answer(tdx, offered(Call.DEMOTE, 1, end=512, level=LEVEL_2M)) == (Status.OK, 1)
    assert runs(tdx.dynamic.counts) == [(0, 0), (8, 512), (9, 0)]


def test_the_pair_goes_back_with_the_last_leaf_and_both_ways_take_time():
    tdx, td = dynamic(Entry.FREE)
    context = Recorder(costs={"pamt_add_pair": 7 * COST, "pamt_remove_pair": 9 * COST})
    for what, pairs, took in ((Call.AUG, 1, 8 * COST), (Call.REMOVE, -1, 10 * COST)):
        tdx.on_seamcall(offered(what, 1, end=1), context)
        (sent,) = context.take()
        assert (sent.message.pairs, sent.delay) == (pairs, took)
        td.sept.set(0, 1, Entry.BLOCKED | LEVEL_4K << LEVEL_SHIFT)
        td.tree_exclusive_until = td.tree_shared_until = 0
    assert context.of(PamtCounted) == [PamtCounted(VM, 8, 9, 1, 1), PamtCounted(VM, 8, 9, 0, -1)]


# --- a whole host --------------------------------------------------------------------------------


def test_a_split_brings_the_pair_and_the_end_of_its_last_leaf_takes_it_back():
    world = World(DYNAMIC)
    free = spare(world)
    assert world.convert(0x10, 0x20, SHARED) is Reason.NONE
    assert regions(world) == [(0, 512 - 16), (1, 0)]
    assert world.convert(0, 0x200, SHARED) is Reason.NONE
    assert regions(world) == [(0, 0)]
    metadata = world.gmem().metadata
    assert free - spare(world) - metadata == 2  # the page table and its mirror stay
    assert world.found == set()


def test_faults_share_a_cache_and_only_the_first_one_of_a_region_uses_it():
    world = World(DYNAMIC, UNACCEPTED, "vm.accept_level=4k")
    free = spare(world)
    for start in (0x10, 0x20, 0x210):
        world.touch(start, start + 1, PRIVATE)
        world.run()
    assert regions(world) == [(0, 2), (1, 1), (2, 0)]
    assert free - spare(world) == 2 * PAIR
    assert (cache(world).pages, cache(world).lent) == (0, {})
    assert world.found == set()


def test_a_fault_of_2_mib_leaves_its_pair_to_the_next_one():
    world = World(DYNAMIC, UNACCEPTED)
    world.touch(0, 0x200, PRIVATE)
    world.run()
    assert (cache(world).pages, regions(world)) == (PAIR, [(0, 0)])


def test_a_fault_without_memory_ends_the_access():
    world = World(DYNAMIC, UNACCEPTED, "fleet.spare_memory=0B")
    world.touch(0x10, 0x11, PRIVATE)
    world.run()
    assert len(world.of(FaultFailed)) == 1
    assert (cache(world).lent, cache(world).asked) == ({}, {})
    assert world.pending() == {}


def test_with_a_static_pamt_a_split_wants_a_table_and_its_mirror_only():
    static, kept = World("fleet.pamt=static"), World()
    pages = []
    for world in (static, kept):
        world.convert(0x10, 0x20, SHARED)
        pages += [fact.pages for fact in world.of(Reserving)]
    assert sorted(pages)[:2] == [TABLE_PAGES, SPLIT_PAGES]
    assert static.tdx().dynamic is msgspec.UNSET
    costs = kept.host.costs.costs
    pair = costs["pamt_add_pair"].mean + PAIR * costs["page_alloc"].mean
    assert kept.host.now - static.host.now == pair


@pytest.mark.parametrize("free", [True, False])
def test_what_is_mapped_again_wants_pairs_and_stays_unmapped_without(free):
    world = World(DYNAMIC, *A)
    world.convert(0x10, 0x20, SHARED)
    world.convert(0x10, 0x20, PRIVATE)
    world.inject("gmem.tree")
    if not free:
        world.replace(ALLOCATOR, m.Reserve, refusing_the_second(), vm=-1)
    before = spare(world)
    assert world.convert(0, 0x200, SHARED) is Reason.NO_MEMORY
    assert regions(world) == ([(0, 496), (1, 0)] if free else [(0, 0)])
    assert spare(world) - before == (0 if free else PAIR)
    assert world.pending() == {} and "I20" not in world.found


def refusing_the_second():
    """A pool that has no pages for KVM's REMAP."""

    def reserve(pool: Allocator, message: m.Reserve, context):
        if message.reply_to == VM | KVM:
            context.send(message.reply_to, m.Reserved(message.ticket, False), 1)
        else:
            Allocator.HANDLERS[m.Reserve](pool, message, context)

    return reserve


@pytest.mark.parametrize("steps", range(0, 400, 7))
def test_nothing_is_lost_whenever_the_vm_is_stopped(steps):
    """In the middle of faults, splits and zaps too: all that came from the pool is there at the end."""
    world = World(DYNAMIC, UNACCEPTED, "vm.accept_level=4k")
    free = world.allocator().free
    world.touch(0, 0x10, PRIVATE)
    world.touch(0x200, 0x210, PRIVATE)
    world.ask(0, 8, SHARED, delay=2_000)
    for _ in range(steps):
        at = world.host.next_time()
        if at is None:
            break
        world.host.run(at + 1, 1 << 30)
    world.post(VMM, m.VmDead())
    world.run()
    assert world.allocator().free == free
    assert regions(world) == [(0, 0)]


def test_a_churn_with_every_trouble_keeps_the_books():
    """The partner of I20: regions fill, empty and are counted in part, pairs are short, and nothing is lost."""
    world = World(
        DYNAMIC,
        "scenario.conversions=300",
        "workload.0.kind=churn",
        "workload.0.outstanding=3",
        "workload.0.size_mean=1MiB",
        "workload.0.size_max=4MiB",
        "vm.memory=32MiB",
        load=True,
        spread=True,
    )
    world.inject("alloc.pages", "tdx.busy", "tdx.demote_busy", "tdx.interrupted", probability=5e-4)
    world.run()
    counts = {fact.count for fact in world.of(PamtCounted)}
    assert {0, 512} < counts and len(counts) > 20
    assert {fact.pairs for fact in world.of(PamtCounted)} == {-1, 0, 1}
    assert "I20" not in world.found
