"""Runs in which nothing is wrong and a hasty check might say otherwise."""

import pytest

from actors import messages as m
from actors.address import GMEM, VMM
from actors.contract import Observation, Reason
from actors.observations import (
    ConvertBegin,
    ConvertEnd,
    FolioOrder,
    InvalidationBegin,
    SeamcallAnswered,
    Sept,
    VcpusKept,
)
from actors.tdx.states import Entry
from tests.helpers import PRIVATE, SHARED, World
from tests.runs import simulated
from workloads import scenario
from workloads.outcome.settings import of_scenario
from workloads.outcome.tally import tally

AN18 = "AN18 holds the bitmap of a mixed range against the attribute of its first page"
SECOND = 1_000_000_000
AN18_DEVICES = "AN18 takes any ENOMEM of a shared range for a failed device map"


def test_a_refusal_over_a_mixed_range_is_no_divergence():
    world = World()
    world.convert(1, 2, SHARED)
    world.allocator().free = 0
    assert world.convert(0, 2, SHARED) is Reason.NO_MEMORY
    assert world.found == set()


def test_a_vm_without_devices_has_no_device_mappings_to_lose():
    world = World("vm.devices=0")
    world.convert(1, 2, SHARED)
    world.allocator().free = 0
    assert world.convert(1, 2, PRIVATE) is Reason.NO_MEMORY
    assert world.found == set()


def test_a_file_may_go_while_another_one_of_the_vm_converts():
    world = World()
    world.request(0x10, 0x20, SHARED)
    world.run_until(lambda: bool(world.of(InvalidationBegin)))
    other = world.gmem().address + 1
    world.host.cells[world.address(GMEM)].observe(FolioOrder(other, 0x600, 0x800, -1))
    assert "I14" not in world.found


@pytest.mark.parametrize("to", [SHARED, PRIVATE])
@pytest.mark.parametrize("after", range(0, 60_000, 7_500))
def test_a_vm_that_is_stopped_in_the_middle_of_a_conversion_need_not_be_put_back(to, after):
    world = World()
    if to is PRIVATE:
        world.ask(0x10, 0x400, SHARED, use=True)
        world.run()
    number = world.request(0x10, 0x400, to)
    world.run(world.host.now + 1 + after)
    world.post(VMM, m.VmDead())
    world.run()
    assert world.answer(number) in (Reason.NONE, Reason.DEAD, Reason.BUG)
    assert (world.found <= {"AN15"}, world.pending()) == (True, {})


def test_converting_what_is_converted_already_is_nothing():
    world = World()
    for to in (PRIVATE, SHARED, SHARED, PRIVATE, PRIVATE):
        assert world.convert(0x10, 0x20, to) is Reason.NONE
    assert (world.found, world.pending()) == (set(), {})


@pytest.mark.parametrize(
    ("start", "page_order"),
    [("mapped-2m", 9), ("mapped-4k", 9), ("mapped-4k", 0), ("unaccepted", 9), ("unaccepted", 0)],
)
def test_there_and_back_leaves_nothing_behind(start, page_order):
    world = World(f"vm.start={start}", f"vm.page_order={page_order}")
    before = world.maps()
    for to in (SHARED, PRIVATE) * 2:
        world.ask(0x1F0, 0x410, to, use=True)
        world.run()
    after = world.maps()
    same = ("share", "folios", "poison", "shared_ept", "iommu", "ptes", "bitmap")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert (world.found, world.pending()) == (set(), {})


@pytest.mark.parametrize("protocol", ["two-phase", "two-phase-refcount", "two-phase-untraced"])
def test_a_reference_that_a_bug_left_is_waited_for_and_never_split_over(protocol):
    bug = 'fault=[{point="tdx.bug",nth=[3]}]'
    world = World(f"protocol.name={protocol}", "protocol.mark=refcount", bug)
    world.request(0x10, 0x18, SHARED)
    world.run(5 * SECOND)
    assert (world.answers, world.found) == ([], {"AN9", "L1", "L2"})


# Whole runs that were once found guilty: two walks at one folio, marks written out, the rest stored under any mark.
FAILS = 'workload=[{kind="memory-failure"}]'
ACQUITTED = {
    "two zaps of one folio of 1 GiB": (
        "vm.page_order=18", "vm.memory=2GiB", "scenario.seed=6727", FAILS, "fault=[]",
        "scenario.conversions=200", "fleet.hosts=4", "fleet.vms_per_host=4",
    ),
    "a failed page under a leaf that no PREPARE has seen": (
        "vm.page_order=18", "vm.memory=2GiB", "protocol.uniform_split=true", FAILS, "fault=[]",
        "scenario.conversions=60", "fleet.hosts=1", "fleet.vms_per_host=2",
    ),
    "a reference on one page of a folio": (
        "protocol.name=undo-split-first", "protocol.mark=refcount", "vm.memory=256MiB",
        'workload=[{kind="churn"}]', 'fault=[{point="tdx.bug",probability=0.5}]',
        "scenario.conversions=300", "fleet.hosts=4", "fleet.vms_per_host=8",
    ),
    **{f"the rest is stored under {protocol}": (
        f"protocol.name={protocol}", "protocol.on_poison=proceed-rest", "protocol.mark=callback",
        'workload=[{kind="boot"}]', 'fault=[{point="tdx.bug",nth=3}]',
        "scenario.conversions=300", "fleet.hosts=2", "fleet.vms_per_host=4",
    ) for protocol in ("two-phase", "two-phase-refcount", "two-phase-untraced")},
}  # fmt: skip


@pytest.mark.parametrize("name", ACQUITTED)
def test_a_run_without_a_planted_bug_is_valid(name):
    overrides = (*ACQUITTED[name], "checks={}")
    found = scenario.load("quickstart", overrides)
    outcome = simulated(*overrides, source="quickstart")
    seen = tally(outcome.watched, found.protocol.name, settings=of_scenario(found))
    assert [line["text"] for line in seen.findings if not line["admitted"]] == []


def test_a_fault_that_is_busy_twice_leaves_nothing_blocked():
    world = World("vm.start=unaccepted", "vm.page_order=0")
    world.inject("tdx.aug_busy", nth=(1, 2))
    world.touch(0x10, 0x11, PRIVATE)
    world.run()
    assert len(world.of(SeamcallAnswered)) > 2
    world.heal()
    world.inject("tdx.busy", nth=(1,))  # of BLOCK: its retry succeeds, and vCPUs may enter
    assert world.convert(0x10, 0x11, SHARED) is Reason.NONE
    assert (world.of(VcpusKept) != [], world.found) == (True, set())


def until(world: World, kind: type[Observation]) -> None:
    """As far as the first fact of the kind."""
    world.run_until(lambda: bool(world.of(kind)))


def test_a_leaf_that_an_accept_has_in_hand_is_no_affair_of_a_conversion_that_ends_meanwhile():
    settings = ("vm.start=prefaulted-2m", "vm.accept_level=4k", "protocol.freeze_at=commit")
    in_hand = 0
    for ahead in range(2000, 12_000, 1000):
        world = World(*settings, "costs.override.track=100us")
        world.inject("pins.private")
        world.touch(0x10, 0x11, PRIVATE, delay=ahead)
        world.request(0x210, 0x220, SHARED)
        until(world, ConvertBegin)
        before = world.of(Sept)
        until(world, ConvertEnd)
        assert world.of(ConvertEnd)[0].reason is Reason.REFERENCES
        blocked = [fact for fact in world.of(Sept) if fact.state == Entry.PENDING_BLOCKED]
        in_hand += not before and blocked == world.of(Sept) != []
        world.run()
        assert world.found <= {"AN15"}
    assert in_hand
