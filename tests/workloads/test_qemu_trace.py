"""One line of a QEMU trace log: each form means the same, and damage is told from foreign text."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.trace.qemu import (
    Conversion,
    Damaged,
    LogParser,
    MemoryFault,
    SlotChange,
    VcpuCreated,
)

BARE = b"kvm_convert_memory start 0x4000 size 0x2000 private_to_shared"
BINARY = b"kvm_convert_memory 12.345 pid=7 start=0x4000 size=0x2000 msg=b'private_to_shared'"
PID = b"777@1750000255.512601:"
DATE = b"2025-06-15T15:10:55.512601Z "
NS = 1_750_000_255_512_601_000
SLOT = b"kvm_set_user_memory AddrSpace#0 Slot#1 flags=0x4 gpa=0x1000 size=0x2000 ua=0x7f0000000000"


def read(*lines: bytes) -> list[Any]:
    """All events, by the way a log goes: the whole line first, else what is on it."""
    parser = LogParser()
    found: list[Any] = []
    for line in lines:
        whole = parser.whole(line)
        found += [whole] if whole else parser.events(line)
    return found


@pytest.mark.parametrize(
    ("line", "time_ns"),
    [
        (BARE, None),
        (BARE + b"\r", None),
        (PID + BARE, NS),
        (PID + BARE + b"\r", NS),
        (DATE + BARE, NS),
        (b"2025-06-15T17:10:55.512601+02:00 " + BARE, NS),
        (b"2025-06-15T17:10:55.512601+0200 " + BARE, NS),
        (b"2025-06-15T09:40:55.512601-05:30 " + BARE, NS),
        (b"2025-06-15T15:10:55Z " + BARE, NS - 512_601_000),
        (b"2025-06-15T15:10:55.5Z " + BARE, NS - 12_601_000),
        (b"2025-06-31T15:10:55.5Z " + BARE, None),
        (BINARY, 12_345),
        (BINARY.replace(b"12.345", b"-0.001"), -1),
        (BINARY.replace(b"b'", b"").rstrip(b"'"), 12_345),
        (b"char device redirected to /dev/pts/3 " + BARE, None),
        (b"qemu-system-x86_64: warning: no IOM" + PID + BARE, NS),
        (b"Bdsdxe: starting Boot0001\r" + DATE + BARE, NS),
        (DATE + b"host qemu[777]: " + BARE, NS),
        (PID + BARE + b"qemu-system-x86_64: warning: no IOMMU", NS),
        (PID + BARE + b" 2025-06-15T15:10:56.5Z note", NS),
        (b"\x1b[0m\xff\x00 " + BINARY + b" \xfe", 12_345),
    ],
)
def test_each_form_says_the_same(line, time_ns):
    assert read(line) == [Conversion(time_ns, 0x4000, 0x2000, True)]


def test_both_directions_are_told_apart():
    back = BARE.replace(b"private_to_shared", b"shared_to_private")
    assert [event.to_shared for event in read(BARE, back, BARE)] == [True, False, True]


def test_the_form_may_change_from_line_to_line():
    times = [event.time_ns for event in read(BARE, PID + BARE, BARE, DATE + BARE, BINARY, BARE)]
    assert times == [None, NS, NS, NS, NS + 12_345, NS + 12_345]


def test_deltas_of_every_event_count_in_the_binary_form():
    other = b"kvm_run_exit 1.500 pid=7 cpu_index=0x1 reason=0x18"
    dropped = b"Dropped_Event 100.000 pid=7 num_events_dropped=0x3"
    damaged = b"kvm_convert_memory 0.250 pid=7 start=0x4000 siz"
    events = read(BINARY, other, dropped, damaged, BINARY)
    assert [type(event) for event in events] == [Conversion, Damaged, Conversion]
    assert events[2].time_ns - events[0].time_ns == 1_500 + 100_000 + 250 + 12_345


def test_two_events_on_one_line_are_two_events():
    assert len(read(PID + BARE + PID + BARE)) == 2


def test_an_event_cut_short_by_another_is_damaged_and_the_other_is_read():
    cut, whole = read(PID + BARE[:30] + PID + BARE)
    assert (type(cut), whole) == (Damaged, Conversion(NS, 0x4000, 0x2000, True))


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (SLOT + b" ret=0", SlotChange((0, 1), 0x1000, 0x2000, None, 0, 0)),
        (
            SLOT.replace(b" AddrSpace#0", b"") + b" ret=0",
            SlotChange((0, 1), 4096, 8192, None, 0, 0),
        ),
        (
            PID + SLOT + b" guest_memfd=13 guest_memfd_offset=0x3000 ret=0\r",
            SlotChange((0, 1), 0x1000, 0x2000, 13, 0x3000, 0),
        ),
        (
            DATE + SLOT + b" guest_memfd=-1 guest_memfd_offset=0x0 ret=-22",
            SlotChange((0, 1), 0x1000, 0x2000, None, 0, -22),
        ),
        (
            b"kvm_set_user_memory 0.100 pid=7 as=0x1 slot=0xa flags=0x4 guest_phys_addr=0x1000 "
            b"memory_size=0x2000 userspace_addr=0x7f0000000000 fd=0xd fd_offset=0x3000 ret=0x0",
            SlotChange((1, 10), 0x1000, 0x2000, 13, 0x3000, 0),
        ),
        (
            b"kvm_set_user_memory 0.100 pid=7 as=0x0 slot=0xa flags=0x0 guest_phys_addr=0x1000 "
            b"memory_size=0x2000 userspace_addr=0x0 fd=0xffffffff fd_offset=0x0 ret=0x0",
            SlotChange((0, 10), 0x1000, 0x2000, None, 0, 0),
        ),
        (b"kvm_create_vcpu index: 3, id: 6, kvm fd: 20", VcpuCreated(3)),
        (b"kvm_create_vcpu index: 3 id: 6", VcpuCreated(3)),
        (b"kvm_create_vcpu 0.1 pid=7 cpu_index=0x1", Damaged),
        (
            b"kvm_create_vcpu 0.100 pid=7 cpu_index=0x1f arch_cpu_id=0x1f kvm_fd=0x14",
            VcpuCreated(31),
        ),
        (b"kvm_memory_fault start 0x5000 size 0x1000 flags 0x8", MemoryFault(0x5000, 0x1000)),
        (
            b"kvm_memory_fault 0.100 pid=7 start=0x5000 size=0x1000 flags=0x8",
            MemoryFault(0x5000, 0x1000),
        ),
    ],
)
def test_the_events_that_describe_the_vm(line, event):
    (found,) = read(line)
    assert type(found) is event if isinstance(event, type) else found == event


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"kvm_convert_memory", "cut short before its start"),
        (b"kvm_convert_memory start 0x", "no valid start in 'start 0x'"),
        (b"kvm_convert_memory start 0x4000", "cut short before its size"),
        (b"kvm_convert_memory start 0x4000 size", "no valid size in 'size'"),
        (b"kvm_convert_memory start 0x4000 size 0x1000", "cut short before its direction"),
        (BARE[:-1], "no valid direction in 'private_to_share'"),
        (BINARY[:-4], "no valid msg in \"msg=b'private_to_sha"),
        (b"kvm_convert_memory 12.3", "no valid start in '12.3'"),
        (b"kvm_convert_memory 12.345 pid=7", "cut short before its start"),
        (BARE.replace(b"0x4000", b"0x4g00"), "no valid start in 'start 0x4g00 size 0x200'"),
        (BARE.replace(b"0x4000", b"4000"), "no valid start"),
        (BARE.replace(b"0x2000 ", b"0x2000"), "no valid size"),
        (BARE.replace(b"to_shared", b"to_nobody"), "no valid direction"),
        (BARE.replace(b"0x2000", b"0x0"), "zero size"),
        (BARE.replace(b"0x4000", b"0x4001"), "not aligned to 4 KiB: 0x4001+0x2000"),
        (BARE.replace(b"0x2000", b"0x2800"), "not aligned"),
        (BARE.replace(b"0x4000", b"0xfffffffffffff000"), "past the address space"),
        (BARE.replace(b"0x4000", b"0xfffffffffe000").replace(b"0x2000", b"0x3000"), "past the"),
        (BARE.replace(b"0x2000", b"0x" + b"f" * 9000 + b"000"), "past the address space"),
    ],
)
def test_a_damaged_conversion_says_what_is_wrong(line, reason):
    (event,) = read(PID + line)
    assert event.conversion
    assert reason in event.reason


@pytest.mark.parametrize(
    "line",
    [
        SLOT,
        SLOT[:40],
        SLOT + b" guest_memfd=x guest_memfd_offset=0x0 ret=0",
        SLOT.replace(b"size=0x2000", b"size=0x2001") + b" ret=0",
        SLOT + b" guest_memfd=13 guest_memfd_offset=0x1 ret=0",
        b"kvm_create_vcpu index: 0, id:",
        b"kvm_create_vcpu index: 65536, id: 0, kvm fd: 20",
        b"kvm_memory_fault start 0x5000 size 0x1000 fla",
    ],
)
def test_another_damaged_event_is_no_conversion(line):
    assert [(type(event), event.conversion) for event in read(line)] == [(Damaged, False)]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\r",
        b"qemu-system-x86_64: warning: host doesn't support requested feature: CPUID.07H",
        b"kvm_set_user_memory_region: KVM_SET_USER_MEMORY_REGION failed, slot=3",
        b"777@1750000001.000001:kvm_run_exit cpu_index 1, reason 24",
        b"kvm_convert_mem",
    ],
)
def test_a_foreign_line_has_no_event(line):
    assert read(line) == []


def test_the_end_of_the_address_space_is_in_it():
    last = BARE.replace(b"0x4000", b"0xffffffffff000").replace(b"0x2000", b"0x1000")
    assert read(last) == [Conversion(None, (1 << 52) - 4096, 4096, True)]


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.data())
def test_a_cut_conversion_is_never_read_as_another(data):
    line = data.draw(st.sampled_from([BARE, PID + BARE, DATE + BARE, BINARY]))
    cut = line[: data.draw(st.integers(0, len(line)))]
    whole = [(event.gpa, event.size) for event in read(cut) if isinstance(event, Conversion)]
    assert whole in ([], [(0x4000, 0x2000)])


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([BARE, PID, DATE, BINARY, SLOT, b" ret=0", b" "]) | st.binary()))
def test_any_mixture_of_pieces_is_read_to_its_end(pieces):
    mentions = b"".join(pieces).count(b"kvm_convert_memory")
    of_conversions = [e for e in read(b"".join(pieces)) if getattr(e, "conversion", True)]
    assert len([e for e in of_conversions if isinstance(e, Conversion | Damaged)]) == mentions
