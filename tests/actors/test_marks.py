"""Marks on a page that could not be unmapped: what each loses, what it lets slip, what it takes when it is needed."""

import pytest

from actors import messages as m
from actors.address import VMM
from actors.contract import TELLS, Reason, Trace
from actors.observations import Decided, LeftMapped, PoisonSet, VmBugged
from actors.protocols.marks import MARKS, SPLIT
from tests.helpers import PRIVATE, SHARED, World
from workloads.census import census

PAGE, FOLIO = 4096, 512 * 4096
START, END = 0x110, 0x114
SMALL = ("vm.page_order=0", "vm.start=mapped-4k")
each_mark = pytest.mark.parametrize("name", MARKS)
told = pytest.mark.parametrize("name", [n for n, mark in MARKS.items() if mark.trace in TELLS])


def bugged(name, *overrides, memory=True):
    """A bug at the first page that is removed; `memory`: there is some once the decision has fallen."""
    world = World(f"protocol.mark={name}", *overrides)
    world.inject("tdx.bug", nth=(1,))
    world.request(START, END, SHARED)
    if not memory:
        world.run_until(lambda: bool(world.of(Decided)))
        world.allocator().free = 0
    world.run(10**11)
    return world


def lost(world):
    """Bytes that are out of use by name, and those that nobody gets back with them."""
    counts = census([world.gmem(), world.allocator()])
    return counts["poisoned_bytes"], counts["leaked_bytes"]


def expected(mark, memory=True):
    """What the table says of a page in a huge folio: bytes lost, and what it shows besides."""
    have = memory or not mark.takes
    if mark.trace is Trace.REFERENCE:
        return (0, 0), {"AN9", "L1", "L2"}  # still waiting: the file is not closed
    if mark.trace is Trace.NONE or not mark.survives:
        return (0, 0), {"AN11", "I4"}
    if mark.takes == SPLIT:
        return ((PAGE, 0), {"AN15"}) if have else ((0, 0), {"AN11", "AN15", "I4"})
    whole = mark.whole or not have
    return ((FOLIO, 0) if whole else (PAGE, FOLIO - PAGE)), {"AN15"}


@pytest.mark.parametrize("memory", [True, False], ids=["memory", "none left"])
@each_mark
def test_the_marks_differ_by_what_the_table_says(name, memory):
    world = bugged(name, memory=memory)
    assert (lost(world), world.found) == expected(MARKS[name], memory)


@each_mark
def test_memory_that_is_refused_by_chance_is_memory_that_is_not_there(name):
    world = World(f"protocol.mark={name}")
    world.inject("tdx.bug", "gmem.mark", nth=(1,))
    world.request(START, END, SHARED)
    world.run(10**11)
    assert (lost(world), world.found) == expected(MARKS[name], memory=False)


def test_no_two_marks_come_to_the_same_in_a_huge_folio_but_by_what_a_touch_meets():
    seen = {
        name: repr([expected(mark, memory) for memory in (True, False)])
        for name, mark in MARKS.items()
    }
    alike = {(a, b) for a in seen for b in seen if a < b and seen[a] == seen[b]}
    assert alike == {("none", "page-flag"), ("folio-list", "hwpoison")}


@told
def test_in_small_folios_they_are_alike(name):
    world = bugged(name, *SMALL)
    assert (lost(world), world.found) == ((PAGE, 0), set())


def test_a_reference_on_a_small_folio_is_a_page_that_nobody_misses():
    world = bugged("refcount", *SMALL)
    assert (lost(world), world.found) == ((0, PAGE), {"AN10"})


@pytest.mark.parametrize(
    ("name", "poisoned"), [("callback", PAGE), ("folio-flag", FOLIO), ("split-flag", PAGE)]
)
def test_where_the_rest_is_stored_a_mark_of_the_folio_leaves_no_rest(name, poisoned):
    world = bugged(name, "protocol.on_poison=proceed-rest")
    assert lost(world) == (poisoned, 0)
    assert world.gmem().share.only(START + 1, END, PRIVATE if poisoned == FOLIO else SHARED)


@told
def test_a_page_is_marked_once_however_often_it_is_named(name):
    world = World(f"protocol.mark={name}")
    world.inject("tdx.bug", nth=(1, 2))
    world.convert(START, END, SHARED)
    pages = sum(fact.end - fact.start for fact in world.of(PoisonSet))
    assert pages * PAGE == lost(world)[0]


@pytest.mark.parametrize("name", ["split-flag", "folio-list", "hwpoison"])
def test_what_needs_no_mark_takes_no_memory(name):
    plain, marking = World(), World(f"protocol.mark={name}")
    for world in (plain, marking):
        world.convert(START, END, SHARED)
    assert plain.allocator().free == marking.allocator().free
    assert (marking.host.now, marking.found) == (plain.host.now, set())


@pytest.mark.parametrize("name", ["split-flag", "folio-list", "hwpoison"])
def test_the_memory_of_a_mark_is_given_back_with_the_file(name):
    assert bugged(name).allocator().free == World().allocator().free


@pytest.mark.parametrize(("name", "failed"), [("folio-list", False), ("hwpoison", True)])
def test_who_touches_memory_that_counts_as_failed_meets_ehwpoison(name, failed):
    world = World(f"protocol.mark={name}", "protocol.bug_on=no")
    world.inject("tdx.bug", nth=(1,))
    world.post(VMM, m.PunchHole(1, 0x200, 0x400))
    world.run()
    world.heal()
    assert world.gmem().poison.pages(0x200, 0x400, 1) == 0x200  # without memory the folio is named
    task = world.touch(0x200, 0x201, PRIVATE)
    world.run()
    assert (world.vmm().dead, world.tasks[-1][0]) == (failed, task)


def test_in_a_hole_a_flag_that_is_lost_lets_the_page_go_back():
    world = World("protocol.mark=page-flag", "protocol.bug_on=no")
    world.inject("tdx.bug", nth=(1,))
    world.post(VMM, m.PunchHole(1, 0x200, 0x400))
    world.run()
    assert world.found == {"AN11", "I4"}


@pytest.mark.parametrize("name", ["page-flag", "callback"])
def test_a_flag_and_a_callback_of_the_iommu_driver_bug_the_vm_once(name):
    world = World(f"protocol.mark={name}")
    world.convert(START, END, SHARED)
    world.inject("iommu.timeout")
    assert world.convert(START, END, PRIVATE) is Reason.BUG
    assert [fact.site for fact in world.of(VmBugged)] == ["iommu.commit"]
    assert {fact.trace for fact in world.of(LeftMapped)} == {MARKS[name].trace}
    assert world.of(PoisonSet)
