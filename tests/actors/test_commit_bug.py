"""A bug in COMMIT: poison by callback, a dead VM, pages lost for ever, a neighbour unharmed."""

import pytest

from actors.contract import Reason
from actors.observations import (
    ConsumerReplied,
    Decided,
    Failed,
    FramesFreed,
    Leaf,
    PoisonSet,
    Sept,
    ShareStored,
    VmBugged,
)
from actors.tdx.states import Entry
from tests.helpers import PRIVATE, SHARED, World, runs, table
from workloads.census import census as census_of

START, END = 0x10, 0x20
PAGES = 0x800  # of each VM


def bugged(*overrides, vms=1, probability=1.0, nth=(1,)):
    """VM 0 meets a bug in COMMIT, at the first page; every VM converts the same range."""
    world = World(f"fleet.vms_per_host={vms}", *overrides)
    world.inject("tdx.bug", probability=probability, nth=nth, vms=(0,))
    numbers = [world.request(START, END, SHARED, vm) for vm in range(vms)]
    world.run()
    return world, [world.answer(number) for number in numbers]


def test_the_bug_falls_after_the_decision_and_is_told_by_callback():
    world, answers = bugged()
    assert answers == [Reason.BUG]
    assert [fact.commit for fact in world.of(Decided)] == [True]
    assert [(f.phase, f.consumer, f.reason) for f in world.of(Failed)] == [
        ("committing", "kvm_mmu", Reason.BUG)
    ]


def test_only_the_page_that_is_still_mapped_is_poisoned():
    world, _ = bugged()
    assert [(fact.start, fact.end) for fact in world.of(PoisonSet)] == [(START, START + 1)]
    assert runs(world.gmem().poison) == [(0, 0), (START, 1), (START + 1, 0)]


@pytest.mark.parametrize("pages", [(5,), (1, 2), (3, 16), tuple(range(1, 17))])
def test_every_page_that_fails_is_poisoned_and_the_rest_is_unmapped_by_a_dead_vm_too(pages):
    world, answers = bugged(nth=pages)
    bad = [START + page - 1 for page in pages]
    assert answers == [Reason.BUG]
    assert [(fact.start, fact.end) for fact in world.of(PoisonSet)] == [(p, p + 1) for p in bad]
    (told,) = (
        fact for fact in world.of(ConsumerReplied) if fact.phase == "commit" and not fact.consumer
    )
    assert len(world.of(VmBugged)) == 1 and told.reason is Reason.NONE
    removed = [f for f in world.of(Leaf) if not f.level and f.end <= END]
    gone = {page for fact in removed for page in range(fact.start, fact.end)}
    assert gone >= set(range(START, END)) - set(bad)


def test_nothing_is_stored():
    world, _ = bugged()
    assert (world.of(ShareStored), runs(world.gmem().share)) == ([], [(0, PRIVATE)])


def test_the_vm_dies_once_and_is_torn_down():
    world, _ = bugged()
    assert len(world.of(VmBugged)) == 1
    assert world.kvm().dead and world.vmm().dead and world.guest().dead
    assert (runs(world.td().sept), runs(world.kvm().mirror)) == ([(0, 0)], [(0, 0)])


SMALL = ("vm.page_order=0", "vm.start=mapped-4k")


@pytest.mark.parametrize(
    ("overrides", "freed"),
    [((), [(0x200, PAGES)]), (SMALL, [(0, START), (START + 1, PAGES)])],
    ids=["2M", "4K"],
)
def test_the_rest_is_freed_and_the_poisoned_folio_never(overrides, freed):
    world, _ = bugged(*overrides)
    assert [(fact.start, fact.end) for fact in world.of(FramesFreed)] == freed
    assert world.found <= {"AN15"}  # the page has its name on a list: nothing is leaked (AN10)
    census = census_of([world.gmem(), world.allocator()])
    assert census["poisoned_bytes"] == 4096
    lost = (PAGES - sum(last - first for first, last in freed)) * 4096
    assert census["leaked_bytes"] == lost - 4096


def test_no_frame_is_freed_before_the_module_has_let_go_of_it():
    world, _ = bugged()
    facts = [fact for _, fact in world.notebook.facts]
    first_freed = min(n for n, f in enumerate(facts) if isinstance(f, FramesFreed))
    entries = table((0, PAGES, Entry.MAPPED))
    for fact in facts[:first_freed]:
        if isinstance(fact, Sept):
            entries.set(fact.start, fact.end, fact.state)
    assert runs(entries) == [(0, Entry.FREE), (START, Entry.BLOCKED), (START + 1, Entry.FREE)]
    after = [(f.start, f.end, f.state) for f in facts[first_freed:] if isinstance(f, Sept)]
    assert after == [(START, START + 1, Entry.FREE)]  # with the HKID: nobody gets this frame


def test_no_check_fires_but_for_the_leaf_that_prepare_had_split():
    world, _ = bugged()
    assert (world.found, world.pending()) == ({"AN15"}, {})


def test_a_later_request_of_the_dead_vm_is_answered_eio():
    world, _ = bugged()
    assert world.convert(0x100, 0x101, SHARED) is Reason.DEAD


@pytest.mark.parametrize("victim", [1, 2])
def test_another_vm_of_the_host_is_not_affected(victim):
    world, answers = bugged(vms=3)
    assert answers == [Reason.BUG, Reason.NONE, Reason.NONE]
    assert [world.convert(START, END, to, victim) for to in (PRIVATE, SHARED)] == [Reason.NONE] * 2
    assert (world.pending(), world.found) == ({}, {"AN15"})
    assert not world.kvm(victim).dead


def test_the_neighbours_history_is_the_same_without_the_bug():
    alone = World("fleet.vms_per_host=2")
    for vm in (0, 1):
        alone.request(START, END, SHARED, vm)
    alone.run()
    world, _ = bugged(vms=2)
    assert world.maps(1)["share"] == alone.maps(1)["share"]
    assert world.maps(1)["sept"] == alone.maps(1)["sept"]


def test_a_dead_vm_gives_its_metadata_pages_back():
    world = World()
    free = world.allocator().free
    world.convert(0, 0x10, SHARED)
    world.inject("tdx.bug")
    world.convert(0x400, 0x410, SHARED)
    assert world.kvm().dead
    assert world.allocator().free == free
