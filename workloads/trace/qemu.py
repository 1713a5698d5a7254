"""Lines of a QEMU trace log to events, in each form QEMU has; damaged is not foreign."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec

PAGE = 4096
ADDRESS_LIMIT = 1 << 52  # the widest guest physical address KVM knows
VCPU_LIMIT = 1 << 16  # far past KVM's own limit: bounds what a hostile log makes its reader keep
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Conversion(msgspec.Struct, frozen=True, gc=False):
    """`kvm_convert_memory`; the time is nanoseconds of the log's own clock, None: it has none."""

    time_ns: int | None
    gpa: int
    size: int
    to_shared: bool


class SlotChange(msgspec.Struct, frozen=True, gc=False):
    """`kvm_set_user_memory`; size 0 deletes, fd None is not private, ret not 0: nothing changed."""

    key: tuple[int, int]
    gpa: int
    size: int
    fd: int | None
    offset: int
    ret: int


class VcpuCreated(msgspec.Struct, frozen=True, gc=False):
    """`kvm_create_vcpu`."""

    index: int


class MemoryFault(msgspec.Struct, frozen=True, gc=False):
    """`kvm_memory_fault`; QEMU answers it with a conversion, which has its own line."""

    gpa: int
    size: int


class Damaged(msgspec.Struct, frozen=True, gc=False):
    """One of these events, but cut short, garbled or impossible."""

    conversion: bool
    reason: str


Event = Conversion | SlotChange | VcpuCreated | MemoryFault | Damaged
Fields = tuple[bytes | None, ...]
Clock = int | None


class Shape:
    """What follows an event's name, field by field, so that damage has a field to be laid at."""

    def __init__(self, **steps: bytes) -> None:
        parts = list(steps.values())
        self.text = b"".join(parts)
        self.whole = re.compile(self.text)
        self.upto = [(k, re.compile(b"".join(parts[: n + 1]))) for n, k in enumerate(steps)]

    def blame(self, body: bytes, at: int) -> str:
        """The first field that is not there, and what is found in its place."""
        good = at
        for field, pattern in self.upto:
            match = pattern.match(body, at)
            if match is None:
                found = body[good : good + 24].strip().decode("ascii", "backslashreplace")
                return (
                    f"no valid {field} in {found!r}" if found else f"cut short before its {field}"
                )
            good = match.end()
        raise AssertionError(f"nothing is wrong with {body!r}")


_HEX = rb"(0x[0-9a-fA-F]+)\b"
_ANY = rb"0x[0-9a-fA-F]+\b"
_WAY = rb"(private_to_shared|shared_to_private)"

# Per event the shape in the log, and the one the binary form is pretty-printed in: there the
# arguments have the names of QEMU's accel/kvm/trace-events, and are unsigned and in hex throughout.
# guest_memfd is optional, and AddrSpace too: older QEMU has neither. In the log, other output may
# follow the last field without a space; a word boundary there would call that damage.
_SHAPES = {
    b"kvm_convert_memory": (
        Shape(start=rb" start " + _HEX, size=rb" size " + _HEX, direction=b" " + _WAY),
        Shape(start=rb" start=" + _HEX, size=rb" size=" + _HEX, msg=rb" msg=(?:b?['\"])?" + _WAY),
    ),
    b"kvm_set_user_memory": (
        Shape(
            slot=rb"(?: AddrSpace#(\d{1,5}))? Slot#(\d{1,10}) flags=" + _ANY,
            gpa=rb" gpa=" + _HEX,
            size=rb" size=%b ua=%b" % (_HEX, _ANY),
            ret=rb"(?: guest_memfd=(-?\d{1,10}) guest_memfd_offset=%b)? ret=(0|-\d{1,4})" % _HEX,
        ),
        Shape(
            slot=rb"(?: as=%b)? slot=%b flags=%b" % (_HEX, _HEX, _ANY),
            gpa=rb" (?:guest_phys_addr|gpa)=" + _HEX,
            size=rb" (?:memory_)?size=%b (?:userspace_addr|ua)=%b" % (_HEX, _ANY),
            ret=rb"(?: (?:guest_mem)?fd=%b (?:guest_mem)?fd_offset=%b)? ret=%b"
            % (_HEX, _HEX, _HEX),
        ),
    ),
    b"kvm_create_vcpu": (
        Shape(index=rb" index: (\d{1,10})\b", id=rb"(?:, id: \d+, kvm fd: -?\d+| id: \d+)"),
        Shape(index=rb" cpu_index=" + _HEX, id=rb" arch_cpu_id=" + _ANY),
    ),
    b"kvm_memory_fault": (
        Shape(start=rb" start " + _HEX, size=rb" size " + _HEX, flags=rb" flags 0x[0-9a-fA-F]"),
        Shape(start=rb" start=" + _HEX, size=rb" size=" + _HEX, flags=rb" flags=" + _ANY),
    ),
}
_CONVERT = b"kvm_convert_memory"
_MENTION = re.compile(rb"(%b)(?!_)" % b"|".join(_SHAPES))  # not kvm_set_user_memory_region: ...


@lru_cache(maxsize=64)
def _epoch_ns(second: bytes, zone: bytes) -> Clock:
    """Cached, as a log has thousands of lines a second; None for a date that no calendar has."""
    try:
        date = datetime.fromisoformat((second + zone).decode())
    except ValueError:
        return None
    return (date - EPOCH) // timedelta(seconds=1) * 10**9


# What a time says, from the three groups that every stamp below has.
def _by_pid(clock: Clock, second: bytes, fraction: bytes, _: bytes) -> Clock:
    return int(second + fraction.ljust(9, b"0"))


def _by_date(clock: Clock, second: bytes, fraction: bytes | None, zone: bytes) -> Clock:
    start = _epoch_ns(second, zone)
    # QEMU's formatter leaves a fraction of zero out
    return clock if start is None else start + int((fraction or b"").ljust(9, b"0"))


def _by_delta(clock: Clock, micros: bytes, thousandths: bytes, _: bytes) -> Clock:
    return (clock or 0) + int(micros + thousandths)


def _unstamped(clock: Clock, *_: bytes) -> Clock:
    return clock


# No pattern that is searched for starts with a repeat: a line of 64 KiB of digits stays linear.
_PID = rb"@(\d{1,10})\.(\d{1,9}): ?()"
_DATE = rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d) ?"
_DELTA = rb" (-?\d{1,15})\.(\d{3}) pid=\d+()"
_OWN_DELTA = re.compile(_DELTA)
# A time counts right before the event, else at the start of the line.
_STAMPS = [
    (re.compile(where % stamp), read)
    for where in (rb"%b\Z", rb"\A\d{0,10}%b")
    for stamp, read in ((_PID, _by_pid), (_DATE, _by_date))
]
# The four forms of a line that is a conversion and nothing else.
_FORMS: list[tuple[re.Pattern[bytes], Callable[..., Clock]]] = [
    (re.compile(prefix + _CONVERT + infix + _SHAPES[_CONVERT][binary].text + rb"'?\r?"), read)
    for prefix, infix, binary, read in (
        (rb"\d{1,10}" + _PID, b"", 0, _by_pid),
        (_DATE, b"", 0, _by_date),
        (rb"()()()", b"", 0, _unstamped),
        (b"", _DELTA, 1, _by_delta),
    )
]


def _number(text: bytes | None) -> int:
    return 0 if text is None else int(text, 16 if text.startswith(b"0x") else 10)


def impossible(gpa: int, size: int) -> str | None:
    """Why no conversion and no slot can have this range, if so."""
    if not size:
        return "zero size"
    if (gpa | size) % PAGE:
        return f"not aligned to 4 KiB: {gpa:#x}+{size:#x}"
    if gpa + size > ADDRESS_LIMIT:
        return f"past the address space of 2^52: {gpa:#x}+{size:#x}"
    return None


def _conversion(fields: Fields, clock: Clock) -> Conversion | str:
    gpa, size = _number(fields[0]), _number(fields[1])
    return impossible(gpa, size) or Conversion(clock, gpa, size, fields[2] == b"private_to_shared")


def _slot_change(fields: Fields, clock: Clock) -> SlotChange | str:
    space, number, gpa, size, fd, offset, ret = map(_number, fields)
    if size and not ret and (why := impossible(gpa, size) or impossible(offset, size)):
        return why
    private = fields[4] is not None and not fd >> 31  # -1 is 0xffffffff in the binary form
    return SlotChange((space, number), gpa, size, fd if private else None, offset, ret)


def _vcpu(fields: Fields, clock: Clock) -> VcpuCreated | str:
    index = _number(fields[0])
    return VcpuCreated(index) if index < VCPU_LIMIT else f"vCPU {index} is past {VCPU_LIMIT}"


def _fault(fields: Fields, clock: Clock) -> MemoryFault | str:
    return MemoryFault(_number(fields[0]), _number(fields[1]))


_BUILD: dict[bytes, Callable[[Fields, Clock], Event | str]] = {
    b"kvm_convert_memory": _conversion,
    b"kvm_set_user_memory": _slot_change,
    b"kvm_create_vcpu": _vcpu,
    b"kvm_memory_fault": _fault,
}


def _event(name: bytes, body: bytes, own: re.Match[bytes] | None, clock: Clock) -> Event:
    shape, at = _SHAPES[name][own is not None], own.end() if own else 0
    match = shape.whole.match(body, at)
    built = _BUILD[name](match.groups(), clock) if match else shape.blame(body, at)
    if isinstance(built, str):
        return Damaged(name == _CONVERT, f"{name.decode()}: {built[:120]}")
    return built


class LogParser:
    """Keeps what a line needs of the lines before it: the log's clock, and the form met last."""

    def __init__(self) -> None:
        self.clock: Clock = None
        self._form = _FORMS[0]

    def whole(self, line: bytes) -> Conversion | None:
        """The conversion that is all of the line: the hot path. None: ask `events`."""
        pattern, read = self._form
        match = pattern.fullmatch(line)
        if match is None:
            return self._other_form(line) if _CONVERT in line else None
        first, second, third, start, length, way = match.groups()
        gpa, size = int(start, 16), int(length, 16)
        if not size or (gpa | size) % PAGE or gpa + size > ADDRESS_LIMIT:
            return None
        self.clock = clock = read(self.clock, first, second, third)
        return Conversion(clock, gpa, size, way == b"private_to_shared")

    def _other_form(self, line: bytes) -> Conversion | None:
        for form in _FORMS:
            if form is not self._form and form[0].fullmatch(line):
                self._form = form
                return self.whole(line)
        return None

    def events(self, line: bytes) -> Iterator[Event]:
        """Every event on the line, whatever is around it; none of them: a foreign line."""
        before, *found = _MENTION.split(line)
        self._tick(before, 0)
        for name, body in zip(found[::2], found[1::2], strict=True):
            self._stamp(before)
            own = _OWN_DELTA.match(body)
            if own:
                self.clock = _by_delta(self.clock, *own.groups())
            yield _event(name, body, own, self.clock)
            self._tick(body, own.end() if own else 0)
            before = body

    def _tick(self, text: bytes, at: int) -> None:
        """Deltas of other events count once the clock runs."""
        if self.clock is not None and b" pid=" in text:
            for match in _OWN_DELTA.finditer(text, at):
                self.clock = _by_delta(self.clock, *match.groups())

    def _stamp(self, before: bytes) -> None:
        for pattern, read in _STAMPS:
            if match := pattern.search(before):
                self.clock = read(self.clock, *match.groups())
                return
