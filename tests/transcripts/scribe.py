"""Writes down what a host does: one line for each message, and what its receiver did about it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from actors import messages as m
from actors.address import name_of
from actors.contract import Consumer, Context, Message, Reason, Share, Trace
from actors.conversion import Conversion
from actors.gmem import Gmem
from actors.guest_outcome import Outcome
from actors.messages import ATTEMPT_BITS
from actors.protocols import Event, Row
from actors.tdx_states import Call, Status
from cluster.cell import SEQUENCE_BITS, Cell
from tests.helpers import World
from tests.transcripts.effects import SIZES, effect, errno, span

# Who is meant is seen from sender and receiver; tickets are the askers' own affair.
LEFT_OUT = {"gmem", "vm", "reply_to", "ticket", "since"}
IN_HEX = {"offset", "resume", "gfn"}


class Scribe:
    """Runs a world to its end; each message becomes a line once it is handled. `rows` are those that were taken."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.began = world.host.now
        self.lines: list[str] = []
        self.rows: list[Row] = []
        self.senders: dict[tuple[int, int], int] = {}
        for cell in world.host.cells.values():
            cell.handlers = {kind: self.wrapped(own) for kind, own in cell.handlers.items()}

    def run(self) -> str:
        """The transcript up to the world's end; its clock starts with the scribe."""
        host = self.world.host
        with noted(self.rows):
            while (now := host.next_time()) is not None:
                self.senders = {
                    (cell.address, id(message)): stamp >> SEQUENCE_BITS
                    for at, _, stamp, cell, message in host.pending()
                    if at == now
                }
                first = len(self.lines)
                host.run(now + 1, 1 << 30)
                stamp = f"{(now - self.began) / 1000:10.3f}  "
                self.lines[first:] = [stamp + line for line in self.lines[first:]]
        return "\n".join(self.lines) + "\n"

    def wrapped(self, own: Any) -> Any:
        """A handler that writes the message down as well."""

        def handle(actor: Any, message: Message, cell: Cell) -> None:
            known, taken = len(self.world.notebook.facts), len(self.rows)
            own(actor, message, cell)
            steps = [step(row) for row in self.rows[taken:]]
            seen = [fact for _, fact in self.world.notebook.facts[known:]]
            effects = steps + [text for text in map(effect, seen) if text]
            sender = self.senders[cell.address, id(message)]
            self.lines.append(line(sender, cell.address, message, effects))

        return handle


@contextmanager
def noted(rows: list[Row]) -> Iterator[None]:
    """Every row that a conversion takes meanwhile is added to the list."""
    own = Gmem.drive

    def drive(gmem: Gmem, conversion: Conversion, event: Event, context: Context) -> None:
        rows.append(gmem.row(conversion, event))
        own(gmem, conversion, event, context)

    Gmem.drive = drive  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Gmem.drive = own  # type: ignore[method-assign]


def line(sender: int, target: int, message: Message, effects: list[str]) -> str:
    """Without its time. What an actor sends itself is a timer."""
    source = "timer" if sender == target else name_of(sender)
    text = f"{source:>14} -> {name_of(target):14}  {told(message)}"
    return f"{text:88} | {'; '.join(effects)}" if effects else text


def step(row: Row) -> str:
    """A row of the protocol's table: its numbered step, and where that leads."""
    return f"[{row.step}]" + (f" => {row.then.name}" if row.then is not row.stage else "")


# --- words ---------------------------------------------------------------------------------------


def told(record: Message) -> str:
    """`Prepare 0x10..0x20 op=1.0 to=SHARED`. What is as usual is left out: a field's default, and False."""
    if isinstance(record, m.Seamcall):
        again = {0: "", 1: " again", -1: " undo"}[record.attempt]
        what = f"Seamcall {Call(record.call).name} {span(record)}{SIZES[record.level]}"
        return f"{what} x{record.count}{again}"
    if isinstance(record, m.SeamcallDone):
        return f"SeamcallDone {Call(record.call).name} {Status(record.status).name} x{record.index}"
    if isinstance(record, m.Reserved) and not record.granted:
        return f"Reserved nothing, {errno(record.reason)}"
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    defaults = record.__struct_defaults__
    usual = dict(zip(list(fields)[len(fields) - len(defaults) :], defaults, strict=True))
    if fields.get("op") == -1:
        del fields["op"]
    parts = [type(record).__name__]
    if "start" in fields and "end" in fields:
        parts.append(f"{fields.pop('start'):#x}..{fields.pop('end'):#x}")
    for name in LEFT_OUT:
        fields.pop(name, None)
    parts += [
        f"{name}={said(name, value)}"
        for name, value in fields.items()
        if value is not usual.get(name, False)
    ]
    return " ".join(parts)


def op(number: int) -> str:
    """request.attempt."""
    return f"{number >> ATTEMPT_BITS + 2 & 0xFF}.{number & (1 << ATTEMPT_BITS) - 1}"


def ranges(parts: Any) -> str:
    """Of (start, end), with the level of a leaf perhaps."""
    return " ".join(
        f"{start:#x}..{end:#x}{SIZES[level[0]] if level else ''}" for start, end, *level in parts
    )


FIELDS: dict[str, Callable[[Any], str]] = {
    "op": op,
    "request": lambda value: str(value >> 2 & 0xFF),
    "event": lambda value: Event(value).name,
    "outcome": lambda value: Outcome(value).name.lower(),
    "level": lambda value: SIZES[value].strip(),
    "unmapped": ranges,
    "parts": ranges,
}


def said(name: str, value: Any) -> str:
    """A field's value as people read it."""
    if isinstance(value, Reason):
        return errno(value)
    if isinstance(value, Share | Consumer | Trace):
        return value.name.lower()
    if name in FIELDS:
        return FIELDS[name](value)
    return f"{value:#x}" if name in IN_HEX and value >= 0 else str(value)
