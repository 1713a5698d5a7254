"""One value of a scenario, from TOML to Python and back."""

import functools
import json
from collections.abc import Callable
from typing import Any

from workloads.scenario.keys import INT_MAX, Key, Kind
from workloads.units import (
    DURATION_EXAMPLE,
    SIZE_EXAMPLE,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)
from workloads.wording import found, nearest, quote

NAME_LENGTH = 100


def read(key: Key, value: object) -> Any:
    """The Python value of a TOML value; ValueError tells what was found and what is allowed."""
    return _READERS[key.kind](key, value)


def literal(key: Key, value: Any) -> str:
    """The TOML text that `read` turns back into the same value."""
    return _WRITERS.get(key.kind, toml)(value)


def is_name(text: str) -> bool:
    """Whether a folder can be called so on any system, and a text file can hold it."""
    bad = set('/\\:*?"<>|') & set(text)
    return bool(text.strip(". ") == text and text.isprintable() and text and not bad) and (
        len(text) <= NAME_LENGTH
    )


def toml(value: Any) -> str:
    """A plain value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's too, but TOML wants DEL escaped as well.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, dict):
        inner = ", ".join(f"{toml(name)} = {toml(item)}" for name, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(toml, value))}]"
    return repr(value)


def _wrong(value: object, expected: str) -> ValueError:
    return ValueError(f"found {found(value)}, expected {expected}")


def _span(key: Key, show: Callable[[Any], str], exceeded: bool = False) -> str:
    """The allowed range in words."""
    upper = f" to {show(key.high)}" if exceeded or key.high != INT_MAX else " or more"
    steps = f", a multiple of {show(key.step)}" if key.step > 1 else ""
    return f"{show(key.low)}{upper}{steps}"


def _bounded(key: Key, raw: object, value: Any, what: str, show: Callable[[Any], str]) -> Any:
    if key.low <= value <= key.high and (key.step == 1 or value % key.step == 0):
        return value
    raise _wrong(raw, f"{what} {_span(key, show, value > key.high)}")


def _quantity(
    key: Key,
    value: object,
    parse: Callable[[str], int],
    show: Callable[[int], str],
    example: str,
) -> int:
    if not isinstance(value, str):
        raise _wrong(value, example)
    what = example.partition(" such")[0] + " of"
    bounded: int = _bounded(key, value, parse(value), what, show)
    return bounded


def _count(key: Key, value: object) -> int:
    # TOML's true is an int to Python.
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(value, f"a whole number, {_span(key, str)}")
    bounded: int = _bounded(key, value, value, "a whole number,", str)
    return bounded


def _number(key: Key, value: object) -> float:
    # The range is looked at before float(), which fails on huge integers; NaN is in no range.
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _wrong(value, f"a number, {_span(key, '{:g}'.format)}")
    return float(_bounded(key, value, value, "a number,", "{:g}".format))


def _text(_key: Key, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(value, "text")
    # A command line may hold bytes that are no UTF-8; no TOML file can.
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise _wrong(value, "text that is valid UTF-8")
    return value


def _name(key: Key, value: object) -> str:
    name = _text(key, value)
    if not is_name(name):
        raise _wrong(name, f"a name of 1 to {NAME_LENGTH} letters that a folder can have")
    return name


def _choice(key: Key, value: object) -> str | int:
    # Not `value in choices`: to Python, True is 1 and 0.0 is 0.
    for allowed in key.choices:
        if type(value) is type(allowed) and value == allowed:
            return allowed
    close = nearest(value, map(str, key.choices)) if isinstance(value, str) else ""
    hint = f"; nearest: {quote(close)}" if close else ""
    raise _wrong(value, f"one of {', '.join(map(toml, key.choices))}{hint}")


def _switch(_key: Key, value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, "true or false")
    return value


def _list(read_one: Callable[[Key, object], Any], key: Key, value: object) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(value, f"a list of {key.unit}")
    return tuple(read_one(key, item) for item in value)


def _counts(key: Key, value: object) -> tuple[int, ...]:
    alone = isinstance(value, int) and not isinstance(value, bool)
    return _list(_count, key, [value] if alone else value)


def _cost(_key: Key, value: object) -> str | float | int:
    expected = f"{DURATION_EXAMPLE}, or a number that is not negative"
    # TOML's true is an int to Python.
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise _wrong(value, expected)
    # NaN is in no range.
    if not 0 <= (parse_duration(value) if isinstance(value, str) else value) <= INT_MAX:
        raise _wrong(value, expected)
    return value


_size = functools.partial(_quantity, parse=parse_size, show=format_size, example=SIZE_EXAMPLE)
_READERS: dict[Kind, Callable[[Key, object], Any]] = {
    "duration": functools.partial(
        _quantity, parse=parse_duration, show=format_duration, example=DURATION_EXAMPLE
    ),
    "size": _size,
    "count": _count,
    "number": _number,
    "text": _text,
    "name": _name,
    "choice": _choice,
    "switch": _switch,
    "texts": functools.partial(_list, _text),
    "counts": _counts,
    "sizes": functools.partial(_list, _size),
    "cost": _cost,
}
_WRITERS: dict[Kind, Callable[[Any], str]] = {
    "duration": lambda value: toml(format_duration(value)),
    "size": lambda value: toml(format_size(value)),
    "sizes": lambda value: toml(tuple(map(format_size, value))),
}
