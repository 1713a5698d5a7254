"""An exchange in words: one line for each message, and what its receiver did about it."""

from collections.abc import Callable
from typing import Any

from actors import messages as m
from actors.address import name_of
from actors.contract import Consumer, Message, Reason, Share, Trace
from actors.guest.outcome import Outcome
from actors.messages import ATTEMPT_BITS, TRY_BITS
from actors.protocols import Event
from actors.tdx.states import Call, Status
from workloads.exchanges.effects import SIZES, errno, span

# Who is meant is seen from sender and receiver; tickets are the askers' own affair.
LEFT_OUT = {"gmem", "vm", "reply_to", "ticket", "since"}
IN_HEX = {"offset", "resume", "gfn"}


def line(sender: int, target: int, message: Message, effects: list[str]) -> str:
    """Without its time. What an actor sends itself is a timer."""
    source = "timer" if sender == target else name_of(sender)
    text = f"{source:>14} -> {name_of(target):14}  {told(message)}"
    return f"{text:88} | {'; '.join(effects)}" if effects else text


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
    """request.try, with how often a memory fault has asked for it before."""
    again, tries = divmod(number & (1 << ATTEMPT_BITS) - 1, 1 << TRY_BITS)
    before = f"+{again}" if again else ""
    return f"{number >> ATTEMPT_BITS + 2 & 0xFF}{before}.{tries}"


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
