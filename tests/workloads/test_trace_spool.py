"""Whole QEMU trace logs: the samples counted by other means, every form, damage, memory, errors."""

import gzip
import io
import re
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.errors import UsageError
from workloads.trace.spool import (
    LINE_LIMIT,
    SHIPPED,
    Slot,
    TraceLog,
    lines_of,
    read_log,
    read_logs,
    resolve,
    shipped,
    unpack_page,
)

GIB = 1 << 30
SLOT = b"kvm_set_user_memory AddrSpace#0 Slot#%d flags=0x4 gpa=0x%x size=0x%x ua=0x7f3e00000000"
PRIVATE = SLOT + b" guest_memfd=%d guest_memfd_offset=0x%x ret=0\n"
CONVERT = b"kvm_convert_memory start 0x%x size 0x%x private_to_shared\n"
BACK = b"kvm_convert_memory start 0x%x size 0x%x shared_to_private\n"
ONE = CONVERT % (0x4000, 0x1000)


def text_of(name: str) -> bytes:
    data = (SHIPPED / name).read_bytes()
    return gzip.decompress(data) if name.endswith(".gz") else data


def read(*pieces: bytes) -> TraceLog:
    """A log from standard input, whatever the damage."""
    return read_logs(["-"], max_damaged=1 << 30, stdin=io.BytesIO(b"".join(pieces)))[0]


def records(log: TraceLog) -> list[tuple[int, int, int, int]]:
    return unpack_page(log.page(0, log.conversions))


def what(log: TraceLog) -> list[tuple[int, int, int]]:
    return [record[1:] for record in records(log)]


# By grep -c and awk over the logs; shared bytes and redundancy page by page below.
SAMPLES = {
    "mixed-stderr.log": (392, 340, 1, 44, 4, 4, 89_018_368),
    "td-boot-bare.log": (5889, 5869, 0, 8, 8, 35, 455_921_664),
    "td-boot-iso.log": (856, 845, 0, 4, 4, 8, 184_049_664),
    "td-boot-pid.log.gz": (7751, 7683, 0, 32, 32, 79, 1_714_810_880),
}
UP_TO_4_GIB = (Slot(0, 2 * GIB, 0, 0), Slot(0xFFC00000, 4 << 20, 1, 0))
SAMPLE_SLOTS = {
    "mixed-stderr.log": UP_TO_4_GIB,
    "td-boot-bare.log": (*UP_TO_4_GIB, Slot(4 * GIB, 2 * GIB, 0, 2 * GIB)),
    "td-boot-iso.log": UP_TO_4_GIB,
    "td-boot-pid.log.gz": (*UP_TO_4_GIB, Slot(4 * GIB, 14 * GIB, 0, 2 * GIB)),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_samples_have_these_counts(name):
    log = read_log(name)
    counted = (log.lines, log.conversions, log.damaged, log.ignored, log.vcpus)
    assert (*counted, log.redundant, log.shared_bytes) == SAMPLES[name]
    assert log.slots == SAMPLE_SLOTS[name]
    assert log.faults == 1


@pytest.mark.parametrize("name", SAMPLES)
def test_the_records_are_what_a_plain_search_finds(name):
    pattern = rb"kvm_convert_memory start 0x(\w+) size 0x(\w+) (private|shared)_to_"
    found = [
        (int(gpa, 16), int(size, 16), int(way == b"private"))
        for gpa, size, way in re.findall(pattern, text_of(name))
    ]
    log = read_log(name)
    assert what(log) == found
    assert log.highest_end == max(gpa + size for gpa, size, _ in found)
    assert (log.redundant, log.shared_bytes) == by_pages(found)


def by_pages(conversions: list[tuple[int, int, int]]) -> tuple[int, int]:
    """Redundant conversions and shared bytes at the end, by one byte a page."""
    redundant, state = 0, bytearray(1 << 23)
    for gpa, size, to_shared in conversions:
        pages, wanted = slice(gpa >> 12, gpa + size >> 12), bytes([to_shared]) * (size >> 12)
        redundant += state[pages] == wanted
        state[pages] = wanted
    return redundant, 4096 * sum(state)


def test_the_damaged_line_of_the_sample_is_named():
    (sample,) = read_log("mixed-stderr.log").samples
    assert sample == ("mixed-stderr.log", 101, "kvm_convert_memory: no valid size in 'size'")


def test_times_are_since_the_first_conversion():
    log = read_log("td-boot-iso.log")
    assert (log.has_times, log.first_ns) == (True, 1_750_000_255_513_232_000)
    assert records(log)[1][0] == 335_000 - 232_000
    assert records(log)[-1][0] == log.last_ns - log.first_ns == 1_086_044_000
    assert not read_log("td-boot-bare.log").has_times


# --- every form of one log


def stamped(name: str = "td-boot-iso.log") -> list[tuple[datetime, bytes]]:
    lines = [line.split(b" ", 1) for line in text_of(name).splitlines()]
    return [(datetime.fromisoformat(time.decode()), body) for time, body in lines]


def as_pid(time: datetime, body: bytes) -> bytes:
    since = time - datetime(1970, 1, 1, tzinfo=UTC)
    micros = since // timedelta(microseconds=1)
    return b"777@%d.%06d:%b" % (micros // 10**6, micros % 10**6, body)


def as_date(time: datetime, body: bytes, hours: int = 0) -> bytes:
    local = (time + timedelta(hours=hours)).replace(tzinfo=None).isoformat(timespec="microseconds")
    return b"%b+%02d:00 %b" % (local.encode(), hours, body)


BINARY_NAMES = {
    b"AddrSpace": b"as",
    b"Slot": b"slot",
    b"gpa": b"guest_phys_addr",
    b"size": b"memory_size",
    b"ua": b"userspace_addr",
    b"guest_memfd": b"fd",
    b"guest_memfd_offset": b"fd_offset",
    b"index": b"cpu_index",
    b"id": b"arch_cpu_id",
    b"kvm fd": b"kvm_fd",
}


def as_binary(body: bytes, delta_us: int) -> bytes:
    """As scripts/simpletrace.py prints it, every number unsigned and in hex."""
    name, text = body.split(b" ", 1)
    fields = re.findall(rb"([A-Za-z]\w*(?: fd)?)(?:: |[ #=])(-?\w+)", text)
    names = {} if name in (b"kvm_convert_memory", b"kvm_memory_fault") else BINARY_NAMES
    numbers = [b"%b=0x%x" % (names.get(key, key), int(value, 0) % 2**32) for key, value in fields]
    if b"_to_" in text:
        numbers.append(b"msg=%a" % text.rsplit(b" ", 1)[1])
    return b"%b %d.000 pid=7 " % (name, delta_us) + b" ".join(numbers)


def in_binary(lines: list[tuple[datetime, bytes]]) -> Iterator[bytes]:
    last = lines[0][0]
    for time, body in lines:
        yield as_binary(body, (time - last) // timedelta(microseconds=1))
        last = time


def around(time: datetime, body: bytes) -> bytes:
    return b"qemu-system-x86_64: warning: no" + as_pid(time, body) + b"char device redirected"


def forms() -> dict[str, bytes]:
    lines = stamped()
    return {
        "date": b"\n".join(as_date(*line) for line in lines),
        "date+2": b"\n".join(as_date(*line, 2) for line in lines),
        "pid": b"\n".join(as_pid(*line) for line in lines),
        "binary": b"\n".join(in_binary(lines)),
        "around": b"\n".join(around(*line) for line in lines),
        "crlf": b"\r\n".join(as_pid(*line) for line in lines) + b"\r\n",
        "turns": b"\n".join((as_pid, as_date)[n % 2](*line) for n, line in enumerate(lines)),
        "gzip": gzip.compress(text_of("td-boot-iso.log")),
        "members": b"".join(
            gzip.compress(line) for line in text_of("td-boot-iso.log")[:-1].splitlines(True)
        ),
    }


@pytest.mark.parametrize("form", forms())
def test_every_form_is_the_same_log(form):
    there, back = read_log("td-boot-iso.log"), read(forms()[form])
    for field in ("slots", "vcpus", "faults", "lines", "ignored", "damaged", "has_times"):
        assert (field, getattr(back, field)) == (field, getattr(there, field))
    assert records(back) == records(there)


def test_the_bare_form_is_the_same_but_for_its_times():
    bare = read(b"\n".join(body for _, body in stamped()))
    assert what(bare) == what(read_log("td-boot-iso.log"))
    assert {time for time, *_ in records(bare)} == {0}


# --- times


def at(second: int) -> bytes:
    return b"777@%d.000000:" % second + ONE


def test_times_that_go_back_are_held_and_counted():
    log = read(at(100), at(103), at(101), at(102), at(104))
    assert [time // 10**9 for time, *_ in records(log)] == [0, 3, 3, 3, 4]
    assert log.time_steps == 2


def test_a_line_without_a_time_has_the_last_one():
    assert [time // 10**9 for time, *_ in records(read(ONE, at(100), at(102), ONE))] == [0, 0, 2, 2]


# --- slots


def test_without_slots_memory_reaches_to_the_highest_conversion():
    assert read(CONVERT % (3 << 20, 0x1000)).slots == (Slot(0, 4 << 20, 0, 0),)
    assert read(CONVERT % (0, 2 << 20)).slots == (Slot(0, 2 << 20, 0, 0),)


def test_a_slot_without_guest_memfd_is_not_private():
    older = SLOT % (0, 0, GIB) + b" ret=0\n"
    refused = (PRIVATE % (0, 0, 4096, 13, 0)).replace(b"ret=0", b"ret=-22")
    not_one = PRIVATE % (0, 0, 4096, -1, 0)
    log = read(older, refused, not_one, CONVERT % (2 * GIB, 4096))
    assert (log.damaged, log.ignored, log.slots) == (0, 0, (Slot(0, 2 * GIB + (2 << 20), 0, 0),))


TWO = PRIVATE % (0, 0, GIB, 13, 0) + PRIVATE % (1, GIB, GIB, 14, 0)


@pytest.mark.parametrize(
    ("before", "gpa", "size", "fits"),
    [
        (TWO, 0, GIB, True),
        (TWO, GIB, GIB, True),
        (TWO, GIB - 4096, 8192, False),
        (TWO, 2 * GIB - 4096, 8192, False),
        (TWO, 2 * GIB, 4096, False),
        (TWO + PRIVATE % (0, 0, 0, 13, 0), 0, 4096, False),
        (TWO + PRIVATE % (0, 0, 0, 13, 0) + PRIVATE % (0, 0, GIB, 13, 0), 0, 4096, True),
        (TWO + PRIVATE % (0, 4 * GIB, GIB, 13, 0), 4 * GIB, 4096, True),
        (TWO + PRIVATE % (0, 4 * GIB, GIB, 13, 0), 0, 4096, False),
        (TWO + PRIVATE % (5, 0, 4096, 15, 0), 0, 8192, False),
        (TWO + PRIVATE % (5, 0, 4096, 15, 0), 4096, 8192, True),
        (TWO + PRIVATE % (5, 0, 4096, 15, 0) + PRIVATE % (5, 0, 0, 15, 0), 0, 8192, True),
        (TWO + PRIVATE % (0, 0, 4096, -1, 0), 0, 4096, False),
    ],
)
def test_a_conversion_has_to_fit_into_one_private_slot_of_now(before, gpa, size, fits):
    log = read(CONVERT % (0, 4096), before, CONVERT % (GIB, 4096), CONVERT % (gpa, size))
    assert (log.conversions, log.damaged) == ((2, 1) if fits else (1, 2))


def test_conversions_before_the_first_slot_of_a_log_that_has_slots_are_damaged():
    log = read(at(1) * 30, PRIVATE % (0, 0, GIB, 13, 0), b"kvm_create_vcpu\n", at(9), at(10))
    assert (log.conversions, log.redundant, log.damaged, log.damaged_conversions) == (2, 1, 31, 30)
    assert [time for time, *_ in records(log)] == [0, 10**9]
    assert [sample.line for sample in log.samples] == list(range(1, 21))


def test_the_slots_of_a_log_are_the_union_of_all_there_ever_were():
    again = PRIVATE % (1, GIB, 0, 14, 0) + PRIVATE % (1, GIB, GIB, 14, 0)
    other = PRIVATE % (2, 4096, 4096, 15, 8192)
    log = read(TWO, again, other, ONE)
    assert log.slots == (
        Slot(0, 4096, 0, 0),
        Slot(4096, 4096, 2, 8192),
        Slot(8192, GIB - 8192, 0, 8192),
        Slot(GIB, GIB, 1, 0),
    )


# --- damage


def test_damaged_lines_are_counted_and_the_first_twenty_named(tmp_path):
    path = tmp_path / "vm.log"
    path.write_bytes(ONE + b"noise\n" + b"kvm_convert_memory start\n" * 30 + b"kvm_create_vcpu x\n")
    log = read_log(str(path))
    assert (log.lines, log.conversions, log.ignored, log.damaged) == (33, 1, 1, 31)
    assert log.damaged_conversions == 30
    assert [sample[:2] for sample in log.samples] == [(str(path), line) for line in range(3, 23)]


@pytest.mark.parametrize(
    ("good", "bad", "limit", "ok"),
    [
        (1, 100, None, True),
        (1, 101, None, False),
        (19_800, 200, None, True),
        (19_799, 201, None, False),
        (5, 3, 3, True),
        (5, 3, 2, False),
        (5, 1, 0, False),
        (5, 0, 0, True),
    ],
)
def test_the_limit_of_damage(good, bad, limit, ok):
    data = io.BytesIO(ONE * good + b"kvm_convert_memory start 0x\n" * bad)
    if ok:
        assert read_logs(["-"], limit, stdin=data)[0].damaged == bad
        return
    with pytest.raises(UsageError) as error:
        read_logs(["-"], limit, stdin=data)
    assert f"first of {bad} damaged lines" in str(error.value)
    assert f"standard input:{good + 1}: kvm_convert_memory: no valid start" in str(error.value)
    assert "--max-damaged" in str(error.value)


def test_several_logs_are_several_vms_under_one_limit():
    names = ["mixed-stderr.log", "td-boot-iso.log", "mixed-stderr.log"]
    assert [log.conversions for log in read_logs(names)] == [340, 845, 340]
    with pytest.raises(UsageError, match=r"mixed-stderr\.log:101: .*first of 2 damaged lines"):
        read_logs(names, max_damaged=1)


# --- files


def test_a_shipped_log_is_found_by_its_name_unless_a_file_has_it(tmp_path, monkeypatch):
    assert shipped() == tuple(sorted(SAMPLES))
    assert Path(resolve("td-boot-iso.log")) == SHIPPED / "td-boot-iso.log"
    monkeypatch.chdir(tmp_path)
    Path("td-boot-iso.log").write_bytes(ONE)
    assert read_log("td-boot-iso.log").conversions == 1


@pytest.mark.parametrize("name", ["vm.log", "vm.log.gz", "vm"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_content_decides_whether_a_file_is_compressed(tmp_path, name, pack):
    (tmp_path / name).write_bytes(pack(ONE))
    assert read_log(str(tmp_path / name)).conversions == 1


def test_standard_input_stays_open():
    stdin = io.BytesIO(ONE)
    read_logs(["-"], stdin=stdin)
    assert not stdin.closed


PACKED = gzip.compress(text_of("td-boot-iso.log"))
FILES = [
    (b"", "is empty"),
    (gzip.compress(b"", mtime=0), "is empty"),
    (b"\n\n\n", "no kvm_convert_memory event in 3 lines (0 damaged)"),
    (bytes(range(256)) * 999, "no kvm_convert_memory event"),
    (b"kvm_convert_memory\n", "in 1 lines (1 damaged, the first at"),
    (PACKED[: len(PACKED) // 2], "corrupt or truncated gzip"),
    (PACKED[:200] + b"\x00" * 99 + PACKED[299:], "corrupt or truncated gzip"),
    (PACKED + b"x", "corrupt or truncated gzip"),
    (PACKED[:2], "corrupt or truncated gzip"),
]


@pytest.mark.parametrize(("content", "message"), FILES)
def test_a_file_that_is_no_log_is_named_on_one_line(tmp_path, content, message):
    path = tmp_path / "vm.log"
    path.write_bytes(content)
    with pytest.raises(UsageError) as error:
        read_logs([str(path)])
    assert str(path) in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["no-such.log"], r"no-such\.log: no such file, nor a shipped log \(those are mixed-"),
        (["a\0b"], "no such file"),
        (["x" * 5000], "no such file"),
        ([str(SHIPPED)], "Is a directory"),
        (["-", "-"], "only once"),
    ],
)
def test_an_input_that_cannot_be_read_is_said(names, message):
    with pytest.raises(UsageError, match=message):
        read_logs(names, stdin=io.BytesIO(ONE))


def test_the_pages_of_a_log_need_no_order():
    log = read_log("td-boot-pid.log.gz")
    pages = [unpack_page(log.page(first, 1000)) for first in range(0, 8000, 1000)]
    assert [record for page in pages for record in page] == records(log)
    assert log.page(log.conversions, 10) == b""
    assert unpack_page(log.page(log.conversions - 1, 10)) == records(log)[-1:]


# --- bounds


def test_lines_are_cut_not_split():
    long = b"x" * (LINE_LIMIT - 1) + ONE
    assert [len(line) for line in lines_of(io.BytesIO(long + ONE))] == [LINE_LIMIT, len(ONE) - 1]
    assert list(lines_of(io.BytesIO(b"a\n\nb"))) == [b"a", b"", b"b"]


class Endless(io.RawIOBase):
    """Bytes made while they are read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces, self.left = pieces, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        piece = self.left or next(self.pieces, b"")
        now, self.left = piece[: len(buffer)], piece[len(buffer) :]
        buffer[: len(now)] = now
        return len(now)


def peak(pieces: Iterator[bytes]) -> int:
    tracemalloc.start()
    try:
        read_log("-", io.BufferedReader(Endless(pieces)))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def churn(lines: int) -> Iterator[bytes]:
    for n in range(lines):
        gpa = 0x1000 * (n // 2 * 7919 % 4096)
        yield b"7@%d.%06d:" % divmod(n, 10**6) + (BACK if n % 2 else CONVERT) % (gpa, 0x1000)


def test_memory_does_not_grow_with_the_log():
    assert peak(churn(60_000)) < peak(churn(10_000)) + (64 << 10)


def test_memory_does_not_grow_with_a_line():
    ends = [ONE, *[b"x" * 4096] * 4096, b"\n", ONE]
    assert peak(iter(ends)) < 2 << 20


# --- anything

SEEDS = [
    ONE,
    b"777@1750000255.512601:",
    b"2025-06-15T15:10:55.512601Z ",
    b"kvm_convert_memory 12.345 pid=7 start=0x4000 size=0x1000 msg=b'private_to_shared'",
    PRIVATE % (0, 0, GIB, 13, 0),
    b"kvm_create_vcpu index: 0, id: 0, kvm fd: 20",
    b"0x",
    b"\n",
]


@settings(derandomize=True, max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(SEEDS) | st.binary(max_size=40), max_size=12), st.booleans())
def test_any_bytes_are_read_or_refused(pieces, packed):
    data = b"".join(pieces)
    try:
        log = read_log("-", io.BytesIO(gzip.compress(data) if packed else data))
    except UsageError:
        return
    assert log.ignored <= log.lines == data.count(b"\n") + (not data.endswith(b"\n"))
    assert log.conversions + log.damaged_conversions == data.count(b"kvm_convert_memory")


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(PACKED) - 1), st.integers(0, 255)), min_size=1))
def test_a_damaged_gzip_is_read_or_refused(changes):
    data = bytearray(PACKED)
    for where, value in changes:
        data[where] = value
    try:
        read_log("-", io.BytesIO(data))
    except UsageError as error:
        assert "standard input" in str(error)


def test_random_bytes_are_ignored_but_for_a_conversion_that_they_break():
    noise = b"\x80\xff\x00garbage\xfe\n"
    broken = b"kvm_convert_memory start 0x\xff000 size 0x1000 shared_to_private\n"
    log = read(
        b"kvm_convert_memory start 0x1000 size 0x1000 private_to_shared\n", noise, broken, noise
    )
    assert (log.lines, log.conversions, log.ignored, log.damaged) == (4, 1, 2, 1)
