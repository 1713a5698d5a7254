"""Durations and sizes: text such as "250us" and "2MiB" for people, integers for the simulator."""

import re
from collections.abc import Mapping

from workloads.wording import quote

# Ascending, because printing prefers the larger unit when two texts are equally short.
DURATIONS: Mapping[str, int] = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "min": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
SIZES: Mapping[str, int] = {
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
}
DURATION_EXAMPLE = 'a duration such as "100ns", "250us", "1.5ms", "10s"'
SIZE_EXAMPLE = 'a size such as "4KiB", "2MiB", "8GiB"'

# 30 digits are more than any quantity needs and far below what int() refuses to read.
_QUANTITY = re.compile(r"([0-9]{1,30})(?:\.([0-9]{1,30}))?([A-Za-z]+)")


def parse_duration(text: str) -> int:
    """Nanoseconds of a text such as "250us"; ValueError says what is wrong with any other."""
    return _parse(text, DURATIONS, "ns", DURATION_EXAMPLE)


def parse_size(text: str) -> int:
    """Bytes of a text such as "2MiB"; ValueError says what is wrong with any other."""
    return _parse(text, SIZES, "B", SIZE_EXAMPLE)


def format_duration(ns: int) -> str:
    """The shortest exact text; of equally short ones that with the larger unit."""
    return _format(ns, DURATIONS)


def format_size(size: int) -> str:
    """The shortest exact text; of equally short ones that with the larger unit."""
    return _format(size, SIZES)


def _parse(text: str, units: Mapping[str, int], smallest: str, example: str) -> int:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        sign = ", not a negative one" if text.startswith("-") else ""
        raise ValueError(f"found {quote(text)}, expected {example}{sign}")
    whole, decimals, unit = match[1], match[2] or "", match[3]
    if unit not in units:
        allowed = ", ".join(units)
        raise ValueError(f"found {quote(text)}, expected {example}; units: {allowed}")
    denominator = int("1" + "0" * len(decimals))
    value, rest = divmod(int(whole + decimals) * units[unit], denominator)
    if rest:
        raise ValueError(f"found {quote(text)}, expected a whole number of {smallest}")
    return value


def _format(value: int, units: Mapping[str, int]) -> str:
    assert value >= 0, f"a quantity cannot be negative: {value}"
    fitting = [unit for unit in units if value >= units[unit]] or [next(iter(units))]
    texts = [text for unit in reversed(fitting) if (text := _exact(value, unit, units[unit]))]
    return min(texts, key=len)


def _exact(value: int, unit: str, factor: int) -> str:
    """The value in this unit, with decimals if it must be; empty if they would never end."""
    whole, rest = divmod(value, factor)
    digits = ""
    while rest and len(digits) < 30:
        digit, rest = divmod(rest * 10, factor)
        digits += str(digit)
    return "" if rest else f"{whole}.{digits}{unit}" if digits else f"{whole}{unit}"
