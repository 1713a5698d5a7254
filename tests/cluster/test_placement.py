"""Placements: a mapping from address to partition, and nothing else of a run changes with it."""

import pytest

from actors.address import (
    ALLOCATOR,
    GMEM,
    GUEST,
    IOMMU,
    KVM,
    PINS,
    TDX,
    VMM,
    host_address,
    vm_address,
)
from cluster.placement import PlacementError, join, packed, split
from tests.determinism.test_arrivals import FLEET
from tests.runs import FAULTS, KILLS, PINNED, READMITS, SCHEDULED, in_pieces, simulated
from workloads import scenario
from workloads.outcome.summary import summarise

KINDS = (GUEST, VMM, KVM, PINS, GMEM, GMEM | 1)
HOST = host_address(0)
VMS = (vm_address(0, 0), vm_address(0, 1))
ADDRESSES = [HOST | k for k in (ALLOCATOR, TDX, IOMMU)] + [vm | k for vm in VMS for k in KINDS]
SMALL = ("scenario.conversions=120", "fleet.hosts=2", "fleet.vms_per_host=2")
TOGETHER = (
    'fault=[{point="gmem.tree",nth=[3],lasts="1ms",also=["kvm.split_memory","tdx.busy"]},'
    '{point="pins.long",every=7}]',
)


def groups(instances, together=(), partitions=0):
    """Partitions as sets of addresses."""
    places = split(1, ADDRESSES, instances, together, partitions)
    found: list[set[int]] = [set() for _ in range(places.count)]
    for address in ADDRESSES:
        found[places.of(address)].add(address)
    return found


def told(outcome, *overrides):
    """What a summary says, but for how it was run; and the findings."""
    summary = summarise(scenario.decode("", "test.toml", [*SMALL, *overrides]), outcome, [])
    (words,) = outcome.watched
    findings = sorted(words["inspector"]["findings"])
    return {key: value for key, value in summary.items() if key != "engine"}, findings


def alone(group):
    """Is it one actor's partition?"""
    return len(group) == 1


def test_by_instance_each_model_has_a_partition_and_the_rest_of_a_vm_another():
    found = groups(True)
    assert {next(iter(g)) for g in found if alone(g)} == {
        *ADDRESSES[:3],
        *(vm | k for vm in VMS for k in (KVM, GMEM, GMEM | 1)),
    }
    assert [g for g in found if not alone(g)] == [{vm | GUEST, vm | VMM, vm | PINS} for vm in VMS]


def test_by_kind_all_of_a_kind_are_together():
    assert {VMS[0] | KVM, VMS[1] | KVM} in groups(False)
    assert {HOST | TDX} in groups(False)


def test_files_of_a_vm_share_what_a_schedule_has_counted():
    assert {VMS[0] | GMEM, VMS[0] | GMEM | 1} in groups(True, [("gmem.tree",)])


def test_who_shares_what_a_rule_remembers_shares_a_partition():
    found = groups(True, [("gmem.tree", "kvm.split_memory"), ("kvm.split_memory", "tdx.busy")])
    assert {HOST | TDX, *(vm | k for vm in VMS for k in (KVM, GMEM, GMEM | 1))} in found
    assert join([("pins.long",), ("tdx.busy",)]) == {}


@pytest.mark.parametrize("instances", [True, False])
def test_fewer_partitions_than_labels_take_several_each(instances):
    found = groups(instances, partitions=3)
    assert (len(found), set().union(*found)) == (3, set(ADDRESSES))


def test_whole_hosts_come_in_runs():
    places = packed(5, 2)
    assert [list(places.hosts(n)) for n in range(2)] == [[0, 1, 2], [3, 4]]
    assert (places.names, packed(2, 2).names) == (["h0..h2", "h3..h4"], ["h0", "h1"])
    assert places.of(vm_address(3, 7) | KVM) == 1


def test_hosts_that_differ_are_shared_out_by_weight():
    places = packed(6, 2, [10, 1, 1, 1, 4, 5])
    assert [list(places.hosts(n)) for n in range(2)] == [[0, 2], [1, 3, 4, 5]]
    assert places.names == ["h0 h2", "h1 h3..h5"]


@pytest.mark.parametrize("weights", [[0, 0, 0, 9], [7, 7, 7, 7], [1, 1000, 1, 1]])
def test_no_partition_is_left_without_a_host(weights):
    places = packed(4, 3, weights)
    assert {len(places.hosts(n)) > 0 for n in range(3)} == {True}


def test_hosts_that_hardly_differ_stay_with_their_neighbours():
    assert packed(5, 2, [125, 125, 124, 124, 124]) == packed(5, 2)


@pytest.mark.parametrize("faults", [(), FAULTS, SCHEDULED, TOGETHER, KILLS, READMITS, PINNED])
@pytest.mark.parametrize("placement", ["kind", "instance"])
def test_a_placement_changes_nothing_that_comes_of_a_run(placement, faults):
    local = simulated(*SMALL, *faults)
    found = in_pieces(*SMALL, *faults, placement=placement)
    assert found.digest == local.digest
    assert (found.census, found.totals.events) == (local.census, local.totals.events)
    assert told(found, *faults) == told(local, *faults)
    assert found.totals.windows > 100 and found.lookahead == 200


def test_only_partitions_with_events_in_a_window_are_called():
    found = in_pieces(*SMALL, placement="instance")
    assert found.totals.calls < found.totals.windows * found.partitions / 4


def test_a_lookahead_that_is_too_short_is_refused():
    with pytest.raises(PlacementError, match='placement "kind" has a lookahead of 50 ns'):
        in_pieces(*SMALL, 'costs.override={"link"="50ns"}', placement="kind")


@pytest.mark.parametrize("placement", ["packed", "host"])
def test_hosts_that_talk_over_a_network_that_is_too_fast_are_refused_apart(placement):
    quick = (*FLEET, 'costs.override={"network"="50ns"}')
    text = rf'placement "{placement}" has a lookahead of 50 ns \(cost network\), expected 100 ns'
    with pytest.raises(PlacementError, match=text):
        in_pieces(*quick, placement=placement, partitions=2)
    together = in_pieces(*quick, placement=placement, partitions=1)
    assert together.digest == simulated(*quick).digest
