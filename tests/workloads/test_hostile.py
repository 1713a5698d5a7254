"""A hostile guest: its faults meet conversions half way, its locks make SEAMCALLs busy, and it harms itself alone."""

from itertools import pairwise

import pytest

from actors import messages as m
from actors import observations as o
from actors.address import TDX
from actors.protocols import PROTOCOLS
from actors.tdx.module import TdxModule
from actors.tdx.states import Call, Status
from tests.helpers import PRIVATE, SHARED, World
from tests.runs import simulated
from workloads.errors import UsageError
from workloads.outcome.summary import summarise
from workloads.scenario import decode

KIND = ("workload.0.kind=hostile", "scenario.duration=5ms", "vm.vcpus=6")
SMALL_FOLIOS = ("vm.page_order=0", "vm.start=mapped-4k")
SIZES = {
    "a page": (),
    "2 MiB, page by page": ("workload.0.size=2MiB",),
    "2 MiB at once": ("workload.0.size=2MiB", "workload.0.access_size=2MiB"),
    "4 MiB, both sides used": (
        "workload.0.size=4MiB",
        "workload.0.access_size=64KiB",
        "workload.0.touch=1",
    ),
}
# Every vCPU at its next access as soon as it can be, and a memory fault's exit within its range of 8 to 40 us.
STARVING = (
    "workload.0.size=64KiB",
    "workload.0.vcpus=2",
    "workload.0.back=0",
    "workload.0.think=1us",
    "workload.0.pause=1us",
    "costs.override.memory_fault_exit=40us",
    "scenario.duration=20ms",
)


def played(*overrides, protocol="two-phase"):
    """The load from start to end on one host."""
    small = SMALL_FOLIOS if protocol == "in-place" else ()
    name = f"protocol.name={protocol}"
    world = World(name, *KIND, *small, *overrides, load=True, spread=True)
    world.run()
    return world


def meets_conversions(world):
    """Faults at the private alias that waited for a conversion."""
    return [fact for fact in world.of(o.FaultParked) if fact.start < 0x400]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_faults_race_with_conversions_and_nothing_comes_of_it_but_in_the_window(protocol, size):
    world = played(*SIZES[size], protocol=protocol)
    assert meets_conversions(world) and world.of(o.GuestAccepted)
    assert {fact.to for fact in world.of(o.ShareStored)} == {PRIVATE, SHARED}
    # AN23: a fault beside a conversion that takes long. I17 without AN20: the next conversion takes the stale leaf out.
    window = {"I17"} if protocol == "in-place-huge" else set()
    assert world.found - {"AN20", "I2", "AN23"} == window
    assert world.found & {"AN20", "I2"} == set() or window
    assert world.pending() == {} and not world.kvm().dead


def test_with_the_store_first_in_place_huge_has_no_window():
    world = played("protocol.store_first=true", protocol="in-place-huge")
    assert meets_conversions(world) and world.found == set()


def test_an_accept_makes_block_busy_and_no_vcpu_gets_in_before_the_retry():
    world = played("workload.0.pause=1us")
    statuses = [fact.status for fact in world.of(o.SeamcallAnswered) if fact.call == Call.BLOCK]
    assert statuses.count(Status.BUSY) > 5
    assert (Status.BUSY, Status.BUSY) not in set(pairwise(statuses))
    assert world.found == set()


def test_reading_what_was_not_accepted_is_the_guests_own_fault():
    world = played("workload.0.access=read")
    assert [fact.site for fact in world.of(o.VmBugged)] == ["access before acceptance"]
    assert (world.found, world.inspector.result()["guest_faults"]) == (set(), 1)


def test_what_a_conversion_has_lost_is_not_the_guests_own_fault():
    world = World("protocol.name=undo", "vm.reaction=keep-private", "vm.guest_retries=0")
    world.inject("gmem.tree")
    world.ask(0, 1, SHARED, use=True)
    world.run()
    assert ("AN1" in world.found, world.inspector.result()["guest_faults"]) == (True, 0)


def test_a_summary_counts_a_guests_own_faults():
    found = decode("[scenario]\nname='t'", "t", [*KIND, "workload.0.access=read", "fleet.hosts=1"])
    outcome = simulated(*KIND, "workload.0.access=read", "fleet.hosts=1", "scenario.name=t")
    summary = summarise(found, outcome)
    assert summary["guest_faults"] == summary["vms_bugged"] > 0
    assert summary["verdict"] == "valid"


def test_starving_vcpus_are_suspected_of_zero_stepping_and_make_seamcalls_busy():
    """X16 without any injected failure: one BUSY, all are kicked once and kept out, the retry succeeds."""
    world = World(*KIND, *STARVING, load=True, spread=True)
    busy = []

    def seamcall(module, message, context):
        td = module.tds[message.vm]
        suspicious = context.now < td.zero_step_until
        before = len(world.of(o.SeamcallAnswered))
        TdxModule.on_seamcall(module, message, context)
        answer = world.of(o.SeamcallAnswered)[before]
        if suspicious and answer.status == Status.BUSY:
            busy.append(Call(message.call).name)

    world.replace(TDX, m.Seamcall, seamcall, vm=-1)
    world.run()
    assert {"BLOCK", "AUG"} <= set(busy)
    assert world.found == set() and not world.kvm().dead


def test_the_range_has_to_lie_in_memory():
    with pytest.raises(UsageError, match=r"workload\.0\.size: found \"1GiB\", expected at most"):
        decode(
            "[scenario]", "t", ["workload.0.kind=hostile", "workload.0.size=1GiB", "vm.memory=8MiB"]
        )
