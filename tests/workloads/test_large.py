"""Large requests and large VMs cost what their leaves and fragments cost; slots that lie askew."""

import pytest

from actors.address import GMEM, GUEST, KVM, vm_address
from cluster.digest import canonical
from cluster.partition import FOREVER, Order, Partition
from cluster.placement import packed
from tests.runs import simulated
from workloads import scenario, simulate
from workloads.fleet import build
from workloads.plan import ENCODER

MAPPED_4K = ("fleet.hosts=1", "fleet.vms_per_host=1", "scenario.duration=1h", "vm.start=mapped-4k")


def one_line(tmp_path, size: int) -> str:
    """A scenario key: a trace of one conversion to shared of so many bytes."""
    log = tmp_path / "one.log"
    log.write_text(f"kvm_convert_memory start 0x0 size {size:#x} private_to_shared\n")
    return f'workload=[{{kind="trace",log=["{log}"]}}]'


def test_a_gib_takes_at_most_twenty_events_for_each_two_mib(tmp_path):
    outcome = simulated(one_line(tmp_path, 1 << 30), *MAPPED_4K)
    assert outcome.totals.events <= 20 * 512


def sizes(memory: str) -> list[int]:
    """Bytes of the guest, of KVM and of guest_memfd at time 0."""
    found = scenario.decode("", "big.toml", [f"vm.memory={memory}", "fleet.hosts=1"])
    plan = simulate.prepare(found).plan
    partition = Partition(build, ENCODER.encode(plan), packed(1, 1))
    cells, vm = partition.hosts[0].cells, vm_address(0, 0)
    return [len(canonical(cells[vm | kind].actor)) for kind in (GUEST, KVM, GMEM)]


def test_a_vm_of_a_tebibyte_starts_as_a_few_hundred_bytes_for_each_actor():
    large, small = sizes("1TiB"), sizes("8MiB")
    assert max(large) < 500
    # Only numbers of more digits make it larger.
    assert all(0 <= a - b < 10 for a, b in zip(large, small, strict=True))


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_a_tebibyte_converts_in_one_request(tmp_path):
    size = 1 << 40
    load = (one_line(tmp_path, size), *MAPPED_4K[:3], "fleet.spare_memory=64GiB")
    outcome = simulated(*load)
    assert outcome.census["shared_bytes"] == size
    assert outcome.totals.events <= 20 * (size >> 21)


def test_an_order_without_events_ends_at_once():
    found = scenario.decode("", "none.toml", ["scenario.duration=1ns", "fleet.hosts=1"])
    plan = simulate.prepare(found).plan
    partition = Partition(build, ENCODER.encode(plan), packed(1, 1))
    report = partition.advance(Order(FOREVER, 1.0))
    assert (report.next_time, report.finished) == (None, True)


def test_a_slot_that_lies_askew_in_its_file_is_never_mapped_by_2m(tmp_path):
    log = tmp_path / "askew.log"
    log.write_text(
        "kvm_set_user_memory AddrSpace#0 Slot#0 flags=0x4 gpa=0x100000 size=0x800000 ua=0x7f0000000000 "
        "guest_memfd=20 guest_memfd_offset=0x0 ret=0\n"
        "kvm_convert_memory start 0x200000 size 0x400000 private_to_shared\n"
        "kvm_convert_memory start 0x200000 size 0x400000 shared_to_private\n"
        "kvm_convert_memory start 0x310000 size 0x1000 private_to_shared\n"
    )
    load = f'workload=[{{kind="trace",log=["{log}"],pace="back-to-back"}}]'
    outcome = simulated(load, "fleet.hosts=1", "fleet.vms_per_host=1")
    assert outcome.watched[0]["inspector"]["counts"] == {}
    assert outcome.census["shared_bytes"] == 4096
