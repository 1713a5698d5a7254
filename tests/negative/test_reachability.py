"""The partner of the checks: one faulty run in which every state that they are about is really reached."""

from collections import defaultdict

import pytest

from actors import messages as m
from actors import observations as o
from actors.address import KVM
from actors.contract import Reason
from actors.kvm.mmu import KvmMmu
from actors.locks.observations import LockWaited
from actors.tdx.states import Status
from tests.helpers import World
from workloads.checkers import ANOMALIES, INVARIANTS
from workloads.checkers.admitted import admits

FAULTS = {
    "alloc.pages": 1e-2,
    "iommu.map": 1e-2,
    "iommu.slots": 1e-2,
    "pins.long": 1e-3,
    "pins.transient": 1e-3,
    "tdx.aug_busy": 5e-3,
    "tdx.bug": 1e-3,  # of VM 0 alone
    "tdx.busy": 1e-5,
    "tdx.demote_busy": 1e-1,
    "tdx.interrupted": 1e-1,
}
VMS = 4


@pytest.fixture(scope="module")
def churn():
    """Four VMs that convert, use and convert back, with every kind of trouble."""
    faults = [
        text
        for n, (point, probability) in enumerate(FAULTS.items())
        for text in (f"fault.{n}.point={point}", f"fault.{n}.probability={probability}")
    ]
    world = World(
        "scenario.conversions=1200",
        f"fleet.vms_per_host={VMS}",
        "vm.interrupt_probability=0.1",
        "vm.guest_retries=0",
        "vm.memory=32MiB",
        "workload.0.kind=churn",
        "workload.0.outstanding=3",  # parts of memory that share a leaf of 2 MiB
        "workload.0.size_mean=1MiB",
        "workload.0.size_max=8MiB",
        *faults,
        f"fault.{list(FAULTS).index('tdx.bug')}.vms=[0]",
        load=True,
        spread=True,
    )
    world.parked = 0
    for vm in range(VMS):
        world.replace(KVM, m.Thaw, counting_parked(world), vm)
    world.run()
    return world


def counting_parked(world):
    """INV_END that counts the faults which waited for it."""

    def thaw(kvm, message, context):
        world.parked += len(kvm.parked)
        KvmMmu.HANDLERS[m.Thaw](kvm, message, context)

    return thaw


def test_no_check_fires_but_those_that_the_protocol_admits(churn):
    checks = INVARIANTS + ANOMALIES
    assert churn.found <= {check.id for check in checks if admits(check.id, "two-phase", {})}
    assert churn.pending() == {}


def test_conversions_are_aborted_after_some_consumer_was_ready(churn):
    aborted = {fact.op for fact in churn.of(o.Decided) if not fact.commit}
    ready = {
        fact.op
        for fact in churn.of(o.ConsumerReplied)
        if fact.phase == "prepare" and fact.reason is Reason.NONE
    }
    assert len(aborted & ready) > 10


def test_pages_are_poisoned_and_their_vms_die(churn):
    poisoned = {fact.gmem >> 8 for fact in churn.of(o.PoisonSet)}
    assert poisoned and poisoned <= {fact.vm >> 8 for fact in churn.of(o.VmBugged)}
    assert churn.of(o.FramesFreed)


def test_calls_succeed_at_the_retry_after_busy(churn):
    statuses = defaultdict(list)
    for fact in churn.of(o.SeamcallAnswered):
        statuses[fact.vm, fact.op, fact.call, fact.end].append(fact.status)
    assert [Status.BUSY, Status.OK] in statuses.values()


@pytest.mark.parametrize("reason", [Reason.NO_MEMORY, Reason.REFERENCES, Reason.INTERRUPTED])
def test_conversions_are_refused_for_different_reasons(churn, reason):
    assert reason in {fact.reason for fact in churn.of(o.Failed)}


def test_map_gpa_is_converted_in_part(churn):
    assert churn.of(o.MapGpaFailed)


def test_faults_are_parked_in_frozen_ranges(churn):
    assert churn.parked


def test_leaves_and_folios_are_split_and_folios_merged(churn):
    assert churn.of(o.HugeLost)
    assert {0, 9, -1} == {fact.order for fact in churn.of(o.FolioOrder)}


def test_leaves_of_both_sides_and_both_sizes_come_and_go(churn):
    seen = {(fact.share, fact.level) for fact in churn.of(o.Leaf)}
    assert {(0, 0), (0, 1), (1, 0), (1, 1)} <= seen


def test_locks_are_waited_for(churn):
    assert {"ilock", "vmm"} <= {fact.lock for fact in churn.of(LockWaited)}


def test_some_vms_live_to_the_end(churn):
    assert any(not churn.kvm(vm).dead for vm in range(VMS))
