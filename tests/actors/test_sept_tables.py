"""vm.sept_add: a private fault adds the S-EPT tables that it lacks, and an entry being changed sends others back."""

import msgspec
import pytest

from actors import messages as m
from actors.address import TDX, VMM, vm_address
from actors.contract import Reason
from actors.kvm.memory import SPLIT_PAGES, TABLE_PAGES
from actors.kvm.tables import BUILT, TAKEN
from actors.observations import FaultFailed, ReEntered, SeamcallAnswered, VmBugged
from actors.tdx.entries import LEVEL_SHIFT
from actors.tdx.states import LEVEL_2M, LEVEL_4K, Call, Entry, Status
from actors.tdx.tables import Tables, over
from tests.actors.test_tdx_module import answer, call, module
from tests.helpers import PRIVATE, SHARED, World, runs, table

ADDS = "vm.sept_add=true"
UNACCEPTED = ("vm.start=unaccepted", "vm.accept_level=4k")


def calls(world: World) -> list[tuple[str, Status]]:
    """SEAMCALLs of faults, and what they were answered."""
    return [
        (Call(fact.call).name, Status(fact.status))
        for fact in world.of(SeamcallAnswered)
        if fact.call in (Call.SEPT_ADD, Call.AUG)
    ]


def names(world: World) -> list[str]:
    """The same that went well, by name."""
    return [name for name, status in calls(world) if status is Status.OK]


def large(world: World):
    """KVM's tables of leaves of 2 MiB."""
    found = world.kvm().sept
    assert found is not msgspec.UNSET
    return found.large


def cached(world: World) -> int:
    """Pages in KVM's cache."""
    found = world.kvm().cache
    assert found is not msgspec.UNSET
    return found.pages


def touched(world: World, *starts: int, size: int = 1) -> World:
    """One access after the other."""
    for start in starts:
        world.touch(start, start + size, PRIVATE)
        world.run()
    return world


# --- faults --------------------------------------------------------------------------------------


def test_tables_come_from_the_top_and_serve_all_that_comes_under_them():
    world = World(ADDS, *UNACCEPTED)
    free = world.allocator().free
    assert names(touched(world, 0x10)) == ["SEPT_ADD", "SEPT_ADD", "AUG"]
    assert names(touched(world, 0x20))[3:] == ["AUG"]
    assert names(touched(world, 0x210))[4:] == ["SEPT_ADD", "AUG"]
    assert free - world.allocator().free == TABLE_PAGES + 2 * SPLIT_PAGES
    assert (runs(large(world)), cached(world)) == ([(0, TAKEN), (1 << 18, 0)], 0)
    assert (world.found, world.pending()) == (set(), {})


def test_a_leaf_of_2_mib_wants_the_upper_table_only():
    world = touched(World(ADDS, "vm.start=unaccepted"), 0, 0x200, size=0x200)
    assert names(world) == ["SEPT_ADD", "AUG", "AUG"]


@pytest.mark.parametrize("start", ["mapped-2m", "mapped-4k"])
def test_what_is_mapped_at_the_start_has_its_tables(start):
    world = World(ADDS, f"vm.start={start}")
    assert runs(large(world)) == [(0, BUILT), (1 << 18, 0)]
    world.convert(0x10, 0x20, SHARED)
    world.ask(0x10, 0x20, PRIVATE)
    world.run()
    assert names(world) == ["AUG"]


def test_a_leaf_of_2_mib_that_was_zapped_whole_left_no_table_for_small_ones():
    world = World(ADDS)
    world.convert(0, 0x200, SHARED)
    world.ask(0x10, 0x20, PRIVATE)
    world.run()
    assert names(world) == ["SEPT_ADD", "AUG"]
    assert world.found == set()


def test_without_it_tables_are_taken_for_granted():
    assert names(touched(World(*UNACCEPTED), 0x10)) == ["AUG"]


# --- trouble -------------------------------------------------------------------------------------


def test_a_busy_sept_add_sends_the_vcpu_back_and_its_next_fault_adds_the_table():
    world = World(ADDS, *UNACCEPTED)
    world.inject("tdx.sept_add_busy", nth=(1,))
    touched(world, 0x10)
    assert calls(world)[:2] == [("SEPT_ADD", Status.BUSY), ("SEPT_ADD", Status.OK)]
    assert (len(world.of(ReEntered)), world.tasks[0][1]) == (1, Reason.NONE)
    assert world.found == set()


def test_a_bug_in_sept_add_ends_the_vm():
    world = World(ADDS, *UNACCEPTED)
    world.inject("tdx.sept_add_busy", reason=Reason.BUG)
    touched(world, 0x10)
    assert [fact.reason for fact in world.of(VmBugged)] == [Reason.BUG]
    assert world.pending() == {}


@pytest.mark.parametrize("pages", [TABLE_PAGES + SPLIT_PAGES - 1, TABLE_PAGES + SPLIT_PAGES])
def test_a_fault_without_memory_for_its_tables_ends_with_enomem(pages):
    world = World(ADDS, *UNACCEPTED)
    world.allocator().free = pages
    touched(world, 0x10)
    assert len(world.of(FaultFailed)) == (pages < TABLE_PAGES + SPLIT_PAGES)
    assert world.pending() == {}


# --- frozen entries ------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [0x10, 0x20])
def test_who_meets_an_entry_that_is_being_changed_faults_again(other):
    """Of two vCPUs at one page, or under one table that is missing, one makes the calls."""
    world = World(ADDS, *UNACCEPTED)
    world.touch(0x10, 0x11, PRIVATE)
    world.run_until(lambda: bool(world.of(SeamcallAnswered)))
    access = m.Access(vm_address(0, 0), 99, other, other + 1, LEVEL_4K, accept=True)
    world.post(TDX, access, vm=-1)
    world.run_until(lambda: bool(world.of(ReEntered)))
    assert len(world.of(ReEntered)) == 1
    world.run()
    assert {status for _, status in calls(world)} == {Status.OK}
    assert names(world).count("SEPT_ADD") == 2
    assert world.pending() == {}


def test_faults_under_tables_that_are_there_do_not_meet():
    world = touched(World(ADDS, *UNACCEPTED), 0x10)
    for start in (0x20, 0x30):
        world.touch(start, start + 1, PRIVATE)
    world.run()
    assert (world.of(ReEntered), names(world)[3:]) == ([], ["AUG", "AUG"])


# --- the end -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pamt", ["at-split", "dynamic", "static"])
@pytest.mark.parametrize("steps", range(0, 300, 11))
def test_nothing_is_lost_whenever_the_vm_is_stopped(steps, pamt):
    world = World(ADDS, *UNACCEPTED, f"fleet.pamt={pamt}")
    free = world.allocator().free
    for start in (0, 8, 0x200):
        world.touch(start, start + 4, PRIVATE)
    world.ask(0, 8, SHARED, delay=2_000)
    for _ in range(steps):
        at = world.host.next_time()
        if at is not None:
            world.host.run(at + 1, 1 << 30)
    world.post(VMM, m.VmDead())
    world.run()
    assert world.allocator().free == free


# --- the module's tables -------------------------------------------------------------------------


def with_tables(state=Entry.FREE, level=LEVEL_4K, small=(), large=()):
    tdx, td = module(state, level, 512)
    td.tables = Tables(table(*small), table(*large))
    return tdx, td


def add(level):
    end = 512 if level == LEVEL_4K else 1 << 18
    return msgspec.structs.replace(call(Call.SEPT_ADD, end=512), level=level, end=end, count=1)


def test_a_leaf_goes_only_where_its_table_is():
    tdx, td = with_tables(small=[(0, 4, 1)])
    assert answer(tdx, call(Call.AUG)) == (Status.WRONG_STATE, 4)
    assert answer(with_tables()[0], call(Call.AUG)) == (Status.WRONG_STATE, 0)
    assert td.sept.get(3) == Entry.PENDING | LEVEL_4K << LEVEL_SHIFT


def test_a_table_goes_once_and_under_its_parent_only():
    tdx, td = with_tables()
    order = [add(LEVEL_4K), add(LEVEL_2M), add(LEVEL_2M), add(LEVEL_4K), add(LEVEL_4K)]
    expected = ["WRONG_STATE", "OK", "WRONG_STATE", "OK", "WRONG_STATE"]
    assert [answer(tdx, message)[0].name for message in order] == expected
    assert td.tables == Tables(table((0, 512, 1)), table((0, 1 << 18, 1)))


def test_a_demoted_leaf_has_a_table():
    tdx, td = with_tables(Entry.BLOCKED, LEVEL_2M, large=[(0, 1 << 18, 1)])
    answer(tdx, call(Call.DEMOTE, end=512, level=LEVEL_2M))
    assert td.tables.small.get(511) == 1


def test_tables_over_leaves_are_rounded_out():
    found = over(table((0x205, 0x206, LEVEL_4K), (0x600, 0x800, LEVEL_2M)))
    assert runs(found.small) == [(0, 0), (0x200, 1), (0x400, 0)]
    assert runs(found.large) == [(0, 1), (1 << 18, 0)]
