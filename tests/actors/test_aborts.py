"""ABORT restores: for every fault point that refuses, in every direction, the state before is the state after."""

import pytest

from actors import messages as m
from actors.address import GMEM, vm_address
from actors.contract import Reason
from actors.gmem.inode import Gmem
from actors.kvm.memory import SPLIT_PAGES
from actors.observations import (
    ConvertEnd,
    Decided,
    Failed,
    HugeLost,
    PoisonSet,
    SeamcallAnswered,
    VmBugged,
)
from actors.protocols.table import ALL
from actors.tdx.entries import STATE_MASK
from actors.tdx.states import LEVEL_2M, LEVEL_4K, Call, Entry
from cluster.faults import FAULT_POINTS
from tests.helpers import PRIVATE, SHARED, World

# Both edges cut through a 2 MiB leaf of their own.
START, END = 0x1F0, 0x410

# Fault points that refuse: direction, what the guest is told, and who says no.
REFUSALS = [
    ("alloc.pages", SHARED, Reason.NO_MEMORY, "gmem"),
    ("alloc.pages", PRIVATE, Reason.NO_MEMORY, "gmem"),
    ("gmem.tree", SHARED, Reason.NO_MEMORY, "gmem"),
    ("gmem.tree", PRIVATE, Reason.NO_MEMORY, "gmem"),
    ("gmem.vmemmap", SHARED, Reason.NO_MEMORY, "gmem"),
    ("gmem.stash", SHARED, Reason.NO_MEMORY, "gmem"),
    ("iommu.slots", PRIVATE, Reason.NO_MEMORY, "iommu"),
    ("kvm.split_memory", SHARED, Reason.NO_MEMORY, "kvm_mmu"),
    ("pins.long", PRIVATE, Reason.REFERENCES, "pins"),
    ("pins.private", SHARED, Reason.REFERENCES, "pins"),
    ("pins.transient", PRIVATE, Reason.REFERENCES, "pins"),
    ("tdx.busy", SHARED, Reason.BUSY, "kvm_mmu"),
    ("tdx.demote_busy", SHARED, Reason.BUSY, "kvm_mmu"),
    ("tdx.interrupted", SHARED, Reason.INTERRUPTED, "kvm_mmu"),
    ("tdx.track_busy", SHARED, Reason.BUSY, "kvm_mmu"),
]
# Fault points that refuse nothing: they delay, end in poison, or come after the conversion.
OTHERS = {
    "gmem.mark",  # comes after the decision: test_marks.py
    "guest.release",  # off by default: test_td_pinned.py
    "kvm.file_split",  # another VM's KVM, which an inode with one file has not: test_files.py
    "iommu.map",
    "iommu.outlier",
    "iommu.timeout",
    "kvm.interrupt",
    "kvm.preempted",
    "pins.lru",
    "kvm.notifier",  # fails callers of mmu_notifiers, no conversion
    "tdx.accept_storm",
    "tdx.accepting",
    "tdx.aug_busy",
    "tdx.background",  # a retry does not meet it
    "tdx.bug",
    "tdx.remove_busy",
    "tdx.sept_add_busy",
    "tdx.wbinvd_busy",
    "tdx.teardown",  # nothing is converted any more
    "vmm.kill",  # refuses nothing
}
# Fault points of steps that two-phase does not have: it keeps no list, undoes nothing, and readds from its reserve.
# And of moves of VMs, which are no conversions.
NEVER_MET = {
    "gmem.readd",
    "gmem.undo_readd",
    "gmem.undo_restructure",
    "gmem.undo_tree",
    "gmem.work",
    "move.refused",
    "move.transfer",
}
# A transient reference that outlasts the freeze budget.
BRIEF = ("costs.override.long_pin=10us", "costs.override.stray_ref=10us")
SLOW = ("costs.override.transient_ref=1ms", "protocol.freeze_budget=100us")


def world_before(to, *overrides):
    """A host on which everybody uses the range on the side that it is to leave."""
    world = World(*SLOW, *overrides)
    if to is PRIVATE:
        world.ask(START, END, SHARED, use=True)
        world.run()
    return world


def found(point):
    """A short reference that outlasts the freeze budget is refused as if it were a pin."""
    return {"AN25"} if point == "pins.transient" else set()


def test_every_fault_point_is_accounted_for():
    refusing = {point for point, *_ in REFUSALS}
    assert refusing | OTHERS | NEVER_MET == set(FAULT_POINTS)
    assert len(refusing) + len(OTHERS) + len(NEVER_MET) == len(FAULT_POINTS)


@pytest.mark.parametrize("to", [SHARED, PRIVATE])
def test_what_two_phase_does_not_do_cannot_fail(to):
    world = world_before(to)
    world.inject(*NEVER_MET)
    assert world.convert(START, END, to) is Reason.NONE
    assert (world.pending(), world.found) == ({}, set())


@pytest.mark.parametrize(("point", "to", "reason", "who"), REFUSALS)
def test_a_refused_conversion_leaves_everything_as_it_was(point, to, reason, who):
    world = world_before(to)
    before = world.maps()
    world.inject(point)
    assert world.convert(START, END, to) is reason
    assert (world.maps(), world.pending()) == (before, {})
    assert world.found == found(point)
    assert [fact.consumer for fact in world.of(Failed)] == [who]


@pytest.mark.parametrize(("point", "to", "reason", "who"), REFUSALS)
def test_once_the_cause_is_gone_the_same_conversion_succeeds(point, to, reason, who):
    world = world_before(to, "vmm.retry=backoff", *BRIEF)
    world.inject(point)
    number = world.request(START, END, to)
    world.run_until(lambda: bool(world.of(Failed)))
    world.heal()
    world.run()
    assert (world.answer(number), world.pending(), world.found) == (Reason.NONE, {}, found(point))
    assert world.gmem().share.only(START, END, to)


@pytest.mark.parametrize(("point", "to", "reason", "who"), REFUSALS)
def test_a_guest_that_lives_through_a_refusal_still_uses_its_memory(point, to, reason, who):
    world = world_before(to)
    world.inject(point)
    world.convert(START, END, to)
    world.heal()
    task = world.touch(START, END, PRIVATE if to is SHARED else SHARED)
    world.run()
    assert (world.tasks[-1], world.found) == ((task, Reason.NONE), found(point))


@pytest.mark.parametrize("point", ["tdx.busy", "tdx.demote_busy", "tdx.interrupted"])
def test_a_refusal_at_the_second_leaf_leaves_the_first_one_split(point):
    world = World()
    before = world.maps()
    number = world.request(START, END, SHARED)
    world.run_until(lambda: bool(world.of(HugeLost)))
    world.inject(point)
    world.run()
    after = world.maps()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"mirror", "sept", "free"}
    assert after["mirror"] == [(0, LEVEL_4K), (0x200, LEVEL_2M), (0x800, 0)]
    assert before["free"] - after["free"] == SPLIT_PAGES
    assert (world.answer(number) is Reason.NONE, world.found) == (False, {"AN15"})


@pytest.mark.parametrize(
    ("point", "reason"),
    [("tdx.demote_busy", Reason.BUSY), ("tdx.interrupted", Reason.INTERRUPTED)],
)
@pytest.mark.parametrize("protocol", ["two-phase", "undo-split-first", "in-place-huge"])
def test_where_a_split_that_fails_is_a_bug_the_vm_dies_with_its_leaf_blocked(
    protocol, point, reason
):
    world = World(f"protocol.name={protocol}", "protocol.prepare_busy=bug")
    world.inject(point)
    number = world.request(START, END, SHARED)
    world.run_until(lambda: bool(world.of(Failed)))
    assert world.td().sept.get(0) & STATE_MASK == Entry.BLOCKED
    world.run()
    bugs = [(fact.site, fact.reason, fact.injected) for fact in world.of(VmBugged)]
    assert (bugs, world.answer(number)) == ([("prepare", reason, True)], reason)
    assert world.found == ({"AN24"} if reason is Reason.BUSY else set())
    assert not {f for f in world.of(SeamcallAnswered) if f.call == Call.UNBLOCK}
    assert world.gmem().torn_down and world.td().sept.only(0, 0x800, Entry.FREE)


@pytest.mark.parametrize("to", [SHARED, PRIVATE])
@pytest.mark.parametrize("silent", ALL)
def test_a_consumer_that_does_not_answer_is_a_no(to, silent):
    world = world_before(to)
    before = world.maps()
    lose_ready(world, silent)
    assert world.convert(START, END, to) is Reason.TIMEOUT
    after = world.maps()
    allowed = {"mirror", "sept", "free"} if to is SHARED else {"iommu", "free"}
    assert {name for name in before if before[name] != after[name]} <= allowed
    assert (world.pending(), world.found - {"AN15"}) == ({}, set())
    assert [fact.consumer for fact in world.of(Failed)] == [silent.name.lower()]


@pytest.mark.parametrize("point", ["gmem.tree", "alloc.pages"])
def test_guest_memfds_own_refusal_names_the_first_page_that_was_to_change(point):
    world = World()
    world.convert(START, START + 4, SHARED)
    world.inject(point)
    world.convert(START, END, SHARED)
    assert (world.of(ConvertEnd)[-1].offset, world.found) == (START + 4, set())


def test_a_poisoned_range_is_refused_by_its_first_poisoned_page():
    world = World()
    world.post(GMEM, m.MemoryFailure(0x205))
    world.run()
    assert world.convert(START, END, SHARED) is Reason.POISONED
    assert (world.of(ConvertEnd)[-1].offset, world.found) == (0x200, set())


def lose_ready(world, consumer):
    """This consumer's READY gets lost."""

    def on_ready(gmem, message, context):
        if message.consumer is not consumer:
            Gmem.HANDLERS[m.Ready](gmem, message, context)

    world.replace(GMEM, m.Ready, on_ready)


def test_refusals_before_anything_is_frozen_do_not_pile_up_in_kvm():
    world = World("protocol.freeze_at=commit")
    world.inject("tdx.busy")
    left = []
    for _ in range(3):
        assert world.convert(START, END, SHARED) is Reason.BUSY
        left.append(len(world.kvm().walks))
    assert left == [0, 0, 0]
    world.heal()
    assert world.convert(START, END, SHARED) is Reason.NONE
    assert world.pending() == {}


# --- fault points that refuse nothing ------------------------------------------------------------


def test_an_interrupt_only_sends_the_guest_back():
    world = World()
    world.inject("kvm.interrupt")
    task = world.ask(0, 0x600, SHARED, use=True)
    world.run()
    assert (world.tasks, world.found) == ([(task, Reason.NONE)], set())


def test_a_busy_aug_is_another_fault():
    world = world_before(PRIVATE)
    world.inject("tdx.aug_busy", probability=0.01)
    task = world.ask(START, END, PRIVATE)
    world.run()
    assert (world.tasks[-1], world.pending(), world.found) == ((task, Reason.NONE), {}, set())


def test_after_a_busy_aug_in_the_middle_of_a_batch_the_mirror_is_what_the_module_has():
    world = world_before(PRIVATE)
    world.inject("tdx.aug_busy", probability=0.01)
    world.ask(START, END, PRIVATE)
    world.run()
    world.heal()
    assert world.convert(START, END, SHARED) is Reason.NONE
    assert (world.td().sept.only(START, END, 0), world.found) == (True, set())


def test_a_map_that_fails_for_the_devices_leaves_the_page_shared():
    world = World()
    world.inject("iommu.map")
    assert world.convert(START, END, SHARED) is Reason.NO_MEMORY
    assert world.gmem().share.only(START, END, SHARED)
    assert (world.iommu().domains[vm_address(0, 0)].only(0, 0x800, 0), world.found) == (
        True,
        {"AN18"},
    )


@pytest.mark.parametrize(
    ("point", "to"),
    [("tdx.bug", SHARED), ("tdx.remove_busy", SHARED), ("iommu.timeout", PRIVATE)],
)
def test_after_the_decision_a_failure_is_poison_and_the_vms_end(point, to):
    world = world_before(to)
    share = world.maps()["share"]
    world.inject(point)
    assert world.convert(START, END, to) is Reason.BUG
    assert world.maps()["share"] == share
    assert [fact.injected for fact in world.of(VmBugged)] == [True]
    assert world.of(Decided)[-1].commit and world.of(PoisonSet)
    assert world.gmem().released
