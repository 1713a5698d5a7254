"""Numbers as people read them: three significant digits in a fitting unit."""

from collections.abc import Sequence

NONE = "-"
Units = Sequence[tuple[str, float]]
"""Units by size, each with its factor."""

TIMES: Units = (
    ("ns", 1e-9),
    ("us", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("min", 60.0),
    ("h", 3600.0),
    ("d", 86_400.0),
)
SIZES: Units = tuple((unit, 1024.0**n) for n, unit in enumerate(("B", "KiB", "MiB", "GiB", "TiB")))


def duration(seconds: float | None) -> str:
    """0.0017 -> 1.70 ms."""
    return "0 s" if seconds == 0 else _in_units(seconds, TIMES)


def size(count: float | None) -> str:
    """2097152 -> 2.00 MiB; bytes are whole."""
    return f"{count:.0f} B" if count is not None and count < 1000 else _in_units(count, SIZES)


def rate(value: float | None) -> str:
    """20512.7 -> 20,500."""
    if value is None:
        return NONE
    if value < 999.5:
        return _three(value)
    return f"{float(f'{value:.3g}'):,.0f}"


def number(value: float | None) -> str:
    """Exact: 1234567 -> 1,234,567."""
    return NONE if value is None else f"{value:,}"


def some(count: int, noun: str) -> str:
    """1 node, 2 nodes."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def share(part: float) -> str:
    """0.0123 -> 1.23%."""
    return f"{part * 100:.3g}%"


def _in_units(value: float | None, units: Units) -> str:
    """In the smallest unit that takes no more than three digits before the point."""
    if value is None:
        return NONE
    unit, factor = next((u for u in units if value / u[1] < 999.5), units[-1])
    return f"{_three(value / factor)} {unit}"


def _three(value: float) -> str:
    # Rounding may add a digit: 9.996 is 10.0, not 10.00.
    places = next((n for n, top in ((3, 1), (2, 10), (1, 100)) if round(value, n) < top), 0)
    return f"{value:,.{places}f}"
