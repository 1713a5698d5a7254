"""QEMU trace logs to spools: one pass, constant memory; a VM, and its conversions by page."""

import gzip
import io
import os
import struct
import sys
import tempfile
import weakref
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from actors.intervals import IntervalMap
from workloads.errors import UsageError
from workloads.trace.qemu import (
    ADDRESS_LIMIT,
    PAGE,
    Conversion,
    Damaged,
    Event,
    LogParser,
    MemoryFault,
    SlotChange,
    VcpuCreated,
)
from workloads.wording import printable

RECORD = struct.Struct("<QQQB")  # time since the log's first conversion (ns), gpa, size, to_shared
SAMPLES = 20  # damaged lines that are kept by name
LINE_LIMIT = 1 << 16  # bytes of one line that are looked at
# What a hostile log makes its reader keep, and go through for a line; QEMU's VMs have some dozens of slots.
SLOTS_MAX = 4096
RANGES_MAX = 1 << 18  # separate shared ranges at one time, times two
TIME_LIMIT = 1 << 60  # 36 years
PAUSE_MAX = 30 * 24 * 3600 * 1_000_000_000
HUGE_PAGE = 2 << 20
SHIPPED = Path(__file__).parents[1] / "traces"


class Slot(NamedTuple):
    """[gpa, gpa + size) is `inode`, a guest_memfd by order of appearance, from `offset` on."""

    gpa: int
    size: int
    inode: int
    offset: int


class DamagedLine(NamedTuple):
    """Where a line was damaged, and how."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True, eq=False)
class TraceLog:
    """One log, one VM: what it says of itself, and `conversions` records in an unlinked file."""

    name: str
    slots: tuple[Slot, ...]
    vcpus: int  # 0: the log does not say
    faults: int
    lines: int
    ignored: int
    damaged: int
    damaged_conversions: int
    samples: tuple[DamagedLine, ...]
    conversions: int
    redundant: int
    shared_bytes: int
    highest_end: int
    has_times: bool
    first_ns: int  # the log's own clock: since 1970; in the binary form since the first event
    last_ns: int
    time_steps: int  # conversions whose time was before their predecessor's, or months after it
    _fd: int = field(repr=False)

    def page(self, first: int, count: int) -> bytes:
        """Up to `count` records from record `first` on; any number of readers may ask."""
        return os.pread(self._fd, count * RECORD.size, first * RECORD.size)


def unpack_page(page: bytes) -> list[tuple[int, int, int, int]]:
    """(time_ns, gpa, size, to_shared) of each record."""
    return list(RECORD.iter_unpack(page))


class _Slots:
    """Private slots: those of now decide what is possible, all there ever were describe the VM.

    Where two contradict each other the later one wins. In the union, neighbours that continue one
    another in address and in file are one slot. So a conversion from before a contradiction can
    cross slots of the union, but never a hole.
    """

    def __init__(self) -> None:
        self.inodes: dict[int, int] = {}
        self._live: dict[tuple[int, int], tuple[int, SlotChange]] = {}  # numbered by age
        self._layout = IntervalMap.filled(0)  # gpa: number of the live slot
        self._applied = 0
        self._low, self._high = 0, ADDRESS_LIMIT  # the slot hit last; at first no slot is a limit
        self._union = IntervalMap.filled(0)
        self._mappings: dict[tuple[int, int], int] = {}  # (inode, gpa - offset): value in the union

    def apply(self, change: SlotChange) -> str:
        """Declare, move or delete one slot; what KVM refused is none of these. Returns why it cannot be, if so."""
        if change.ret:
            return ""
        self._drop(change.key)
        if change.size and change.fd is not None:
            if max(len(self._live), len(self._mappings), self._union.fragments // 2) >= SLOTS_MAX:
                return f"more than {SLOTS_MAX} private memory slots"
            self._applied += 1
            self._live[change.key] = self._applied, change
            self._layout.set(change.gpa, change.gpa + change.size, self._applied)
            inode = self.inodes.setdefault(change.fd, len(self.inodes))
            mapping = (inode, change.gpa - change.offset)
            value = self._mappings.setdefault(mapping, len(self._mappings) + 1)
            self._union.set(change.gpa, change.gpa + change.size, value)
        if self.inodes:
            self._low, self._high = 0, 0
        return ""

    def _drop(self, key: tuple[int, int]) -> None:
        """Take a slot away; what lay below it shows again."""
        gone = self._live.pop(key, None)
        if gone is None:
            return
        low, high = gone[1].gpa, gone[1].gpa + gone[1].size
        self._layout.set(low, high, 0)
        for number, slot in self._live.values():
            start, end = max(low, slot.gpa), min(high, slot.gpa + slot.size)
            if start < end:
                self._layout.set(start, end, number)

    def hold(self, gpa: int, end: int) -> bool:
        """Whether one slot holds all of it; every address is possible while none was named."""
        if self._low <= gpa and end <= self._high:
            return True
        layout = self._layout
        at = bisect_right(layout.starts, gpa) - 1
        if not layout.values[at]:
            return False
        self._low, self._high = layout.starts[at], layout.starts[at + 1]
        return end <= self._high

    def union(self, highest_end: int) -> tuple[Slot, ...]:
        """Every private slot, by address; without any, one that reaches over all conversions."""
        if not self.inodes:
            return (Slot(0, -(-highest_end // HUGE_PAGE) * HUGE_PAGE, 0, 0),)
        mappings = list(self._mappings)
        return tuple(
            Slot(start, end - start, mappings[value - 1][0], start - mappings[value - 1][1])
            for start, end, value in self._union.runs(0, ADDRESS_LIMIT)
            if value
        )


class _Conversions:
    """The conversions of one log on their way into the spool, and what they come to."""

    def __init__(self, spool: BinaryIO) -> None:
        spool.seek(0)
        spool.truncate()
        self._write = spool.write
        self.count = self.redundant = self.highest_end = self.time_steps = 0
        self.first_ns: int | None = None
        self.last = 0
        self._shared = IntervalMap.filled(0)  # by page; memory starts private

    def add(self, conversion: Conversion) -> None:
        """Spool one; the interval map is what the pass costs beyond reading."""
        gpa, size, to_shared = conversion.gpa, conversion.size, conversion.to_shared
        end = gpa + size
        self._write(RECORD.pack(self._time(conversion.time_ns), gpa, size, to_shared))
        self.count += 1
        self.highest_end = max(self.highest_end, end)
        if self._shared.only(gpa // PAGE, end // PAGE, to_shared):
            self.redundant += 1
        else:
            self._shared.set(gpa // PAGE, end // PAGE, to_shared)

    def _time(self, time_ns: int | None) -> int:
        """Since the first conversion: never backwards, and never further on than a pause can be.

        Clocks step, threads interleave, digits get damaged; such a conversion happens when the one before it did.
        """
        if time_ns is not None:
            if self.first_ns is None:
                self.first_ns = time_ns
            since = time_ns - self.first_ns
            if not self.last <= since <= self.last + PAUSE_MAX:
                self.time_steps += 1
            else:
                self.last = min(since, TIME_LIMIT)
        return self.last

    @property
    def fragments(self) -> int:
        """Ranges of one kind at this time."""
        return self._shared.fragments

    @property
    def shared_bytes(self) -> int:
        return self._shared.pages(0, ADDRESS_LIMIT // PAGE, 1) * PAGE


class _Reader:
    """One pass over one log."""

    def __init__(self, name: str, spool: BinaryIO) -> None:
        self.name = name
        self.spool = spool
        self.slots = _Slots()
        self.done = _Conversions(spool)
        self.vcpus: set[int] = set()
        self.lines = self.ignored = self.faults = self.damaged = self.damaged_conversions = 0
        self.samples: list[DamagedLine] = []
        self._early: list[int] = []  # line numbers of the first conversions from before any slot

    def read(self, lines: Iterable[bytes]) -> None:
        parser = LogParser()
        for self.lines, line in enumerate(lines, 1):
            conversion = parser.whole(line)
            if conversion is not None:
                self._conversion(conversion)
            else:
                self._rest(parser.events(line))

    def _rest(self, events: Iterator[Event]) -> None:
        heard = False
        for event in events:
            heard = True
            match event:
                case Conversion():
                    self._conversion(event)
                case SlotChange():
                    self._slot(event)
                case VcpuCreated():
                    self.vcpus.add(event.index)
                case MemoryFault():
                    self.faults += 1
                case Damaged():
                    self._damage(event)
        self.ignored += not heard

    def _conversion(self, event: Conversion) -> None:
        if not self.slots.hold(event.gpa, event.gpa + event.size):
            reason = f"{event.gpa:#x}+{event.size:#x} is not wholly inside one private memory slot"
            self._damage(Damaged(True, reason))
            return
        self.done.add(event)
        if self.done.fragments > RANGES_MAX:
            raise UsageError(
                f"{self.name}:{self.lines}: memory is shared in more than {RANGES_MAX // 2} separate ranges; "
                "expected the log of a VM that shares memory in fewer pieces"
            )
        if self.done.count <= SAMPLES:
            self._early.append(self.lines)

    def _slot(self, change: SlotChange) -> None:
        known = bool(self.slots.inodes)
        if why := self.slots.apply(change):
            self._damage(Damaged(False, f"kvm_set_user_memory: {why}"))
        if self.slots.inodes and not known and self.done.count:
            self._disown()

    def _disown(self) -> None:
        """Conversions from before the first slot of a log that has slots were inside none."""
        reason = "conversion before the first private memory slot of the log"
        self.damaged += self.done.count
        self.damaged_conversions += self.done.count
        early = [DamagedLine(self.name, line, reason) for line in self._early]
        self.samples = sorted(self.samples + early, key=lambda sample: sample.line)[:SAMPLES]
        self.done = _Conversions(self.spool)

    def _damage(self, event: Damaged) -> None:
        self.damaged += 1
        self.damaged_conversions += event.conversion
        if len(self.samples) < SAMPLES:
            self.samples.append(DamagedLine(self.name, self.lines, event.reason))

    def finish(self) -> TraceLog:
        """The record; refuses a log that has nothing to replay."""
        done = self.done
        if not self.lines:
            raise UsageError(
                f"{self.name}: is empty; expected the log that QEMU writes with -trace 'kvm_*'"
            )
        if not done.count:
            raise UsageError(
                f"{self.name}: no kvm_convert_memory event in {self.lines} lines ({self._harm()}); "
                "expected the log that QEMU writes with -trace 'kvm_*'"
            )
        self.spool.flush()
        first = done.first_ns or 0
        log = TraceLog(
            name=self.name,
            slots=self.slots.union(done.highest_end),
            vcpus=len(self.vcpus),
            faults=self.faults,
            lines=self.lines,
            ignored=self.ignored,
            damaged=self.damaged,
            damaged_conversions=self.damaged_conversions,
            samples=tuple(self.samples),
            conversions=done.count,
            redundant=done.redundant,
            shared_bytes=done.shared_bytes,
            highest_end=done.highest_end,
            has_times=done.first_ns is not None,
            first_ns=first,
            last_ns=first + done.last,
            time_steps=done.time_steps,
            _fd=os.dup(self.spool.fileno()),
        )
        weakref.finalize(log, os.close, log._fd)
        return log

    def _harm(self) -> str:
        first = f", the first at {_at(self.samples[0])}" if self.samples else ""
        return f"{self.damaged} damaged{first}"


def _at(sample: DamagedLine) -> str:
    return f"{sample.file}:{sample.line}: {sample.reason}"


def shipped() -> tuple[str, ...]:
    """Names of the sample logs that come with the package."""
    return tuple(sorted(path.name for path in SHIPPED.iterdir() if ".log" in path.suffixes))


def resolve(name: str) -> str:
    """The path of a log: one that exists, else the shipped log of that name."""
    if os.path.exists(name):
        return name
    if name in shipped():
        return str(SHIPPED / name)
    raise UsageError(
        f"{printable(name) or '(no name)'}: no such file, nor a shipped log (those are {', '.join(shipped())})"
    )


def lines_of(stream: io.BufferedIOBase) -> Iterator[bytes]:
    """Lines without their newline, a longer one cut to LINE_LIMIT; holds little more than that."""
    held = b""
    while chunk := stream.read(LINE_LIMIT):  # so that no line inside a chunk can be too long
        first, *rest = chunk.split(b"\n")
        held += first[: LINE_LIMIT - len(held)]
        if rest:
            yield held
            *whole, held = rest
            yield from whole
    if held:
        yield held


@contextmanager
def _unpacked(stream: BinaryIO) -> Iterator[io.BufferedIOBase]:
    """Content decides, not the name: a pipe has none, and a renamed log is still compressed."""
    peekable = io.BufferedReader(cast("io.RawIOBase", stream))
    try:
        packed = peekable.peek(2)[:2] == b"\x1f\x8b"
        yield gzip.GzipFile(fileobj=peekable) if packed else peekable
    finally:
        peekable.detach()  # else its end would close standard input


def read_log(name: str, stdin: BinaryIO | None = None) -> TraceLog:
    """One pass over one log; `-` is standard input."""
    shown = "standard input" if name == "-" else printable(name)
    try:
        with ExitStack() as stack:
            reader = _Reader(shown, stack.enter_context(tempfile.TemporaryFile()))
            if name == "-":
                source = stdin or sys.stdin.buffer
            else:
                source = stack.enter_context(open(resolve(name), "rb"))
            reader.read(lines_of(stack.enter_context(_unpacked(source))))
            return reader.finish()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UsageError(f"{shown}: corrupt or truncated gzip: {error}") from error
    except OSError as error:
        raise UsageError(f"{shown}: {error.strerror or error}") from error


def read_logs(
    names: Sequence[str], max_damaged: int | None = None, stdin: BinaryIO | None = None
) -> tuple[TraceLog, ...]:
    """Each log is one VM; the damaged lines of all of them are held against one limit."""
    if names.count("-") > 1:
        raise UsageError("-: standard input can be read only once")
    logs = tuple(read_log(name, stdin) for name in names)
    damaged = sum(log.damaged for log in logs)
    candidates = sum(log.conversions + log.damaged_conversions for log in logs)
    limit = max(100, candidates // 100) if max_damaged is None else max_damaged
    if damaged > limit:
        first = next(log.samples[0] for log in logs if log.samples)
        raise UsageError(
            f"{_at(first)}; this is the first of {damaged} damaged lines, "
            f"more than the {limit} that --max-damaged allows"
        )
    return logs
