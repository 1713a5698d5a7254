"""Scenarios that the swarm made small, and what was wrong with the checks that they broke (docs/findings.md)."""

from tests.runs import simulated

ONE = ("fleet.hosts=1", "fleet.vms_per_host=1", "vm.memory=2MiB")
# A page that the guest does not release refuses its BLOCK; later the flush of those before it is BUSY.
REFUSED_AND_BUSY = (
    *ONE,
    "scenario.seed=2239",
    "scenario.duration=3.5ms",
    "scenario.conversions=11",
    "vm.vcpus=1",
    "vm.start=unaccepted",
    "vm.accept_level=4k",
    "vm.td_pinned=true",
    "vm.busy_background=0.01",
    "protocol.name=failable-notifier",
    'workload=[{kind="notifier-storm",pool="2MiB"}]',
    'fault=[{point="guest.release"}]',
)
# A device lets go of a page for a request that is to be tried again; meanwhile another vCPU's has nothing to do.
LET_GO = (
    *ONE,
    "scenario.seed=2773",
    "scenario.duration=300us",
    "scenario.conversions=2",
    "vm.vcpus=2",
    "vm.iommu=pin",
    "vmm.retry=cooperative",
    "vmm.unmap=on-eagain",
    'workload=[{kind="hostile",vcpus=1,back=0.5}]',
)


def found(*keys):
    """Each check that found something."""
    (word,) = simulated(*keys).watched
    return {*word["inspector"]["counts"]}


def test_a_refusal_names_what_it_met_first_whatever_fails_after_that():
    assert "L7" not in found(*REFUSED_AND_BUSY)


def test_what_devices_have_let_go_of_for_a_request_is_theirs_again_when_that_is_over():
    assert found(*LET_GO) == {"AN18"}
