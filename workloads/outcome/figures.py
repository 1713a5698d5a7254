"""Numbers as people read them: three significant digits in a fitting unit; of several runs, mean and interval."""

from collections.abc import Callable, Mapping, Sequence

from workloads.outcome.interval import Interval

NONE = "-"
Units = Sequence[tuple[str, float]]
"""Units by size, each with its factor."""
Value = float | Interval | None

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
BYTES_WHOLE = 1000
BEHIND_SECONDS = 1.0  # less is no lag that anybody would see


def duration(seconds: Value) -> str:
    """0.0017 -> 1.70 ms."""
    return "0 s" if _mean_of(seconds) == 0 else _in_units(seconds, TIMES)


def size(count: Value) -> str:
    """2097152 -> 2.00 MiB; bytes are whole."""
    mean = _mean_of(count)
    if mean is not None and mean < BYTES_WHOLE:
        return f"{_with(count, '{:.0f}'.format)} B"
    return _in_units(count, SIZES)


def rate(value: Value) -> str:
    """20512.7 -> 20,500."""
    return _with(value, lambda one: _three(one) if one < 999.5 else f"{float(f'{one:.3g}'):,.0f}")


def number(value: Value) -> str:
    """Exact: 1234567 -> 1,234,567. A mean has three significant digits, or is rounded to a whole number."""
    return _with(value, _rounded if isinstance(value, Interval) else "{:,}".format)


def some(count: Value, noun: str) -> str:
    """1 node, 2 nodes."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def lost(vms: Value, own: Value) -> str:
    """What became of VMs; `own` of them used memory that they had not accepted."""
    text = f"{number(vms)} will not run again"
    return f"{text}, {number(own)} by their guests' own access" if own else text


def behind(seconds: Value) -> str:
    """What there is to say of a run that cannot keep its pace."""
    mean = _mean_of(seconds)
    return f", {duration(seconds)} behind its pace" if mean and mean > BEHIND_SECONDS else ""


def share(part: Value) -> str:
    """0.0123 -> 1.23%."""
    return _with(part, lambda one: f"{one * 100:.3g}%")


def plain(value: Value) -> str:
    """Of no unit: 0.00012345 -> 0.000123, 20512.7 -> 20,500."""
    return _with(value, lambda one: f"{one:.3g}" if abs(one) < 999.5 else rate(one))


def per_second(value: Value) -> str:
    """20512.7 -> 20,500/s."""
    return NONE if value is None else f"{plain(value)}/s"


UNITS: Mapping[str, Callable[[Value], str]] = {
    "duration": duration,
    "size": size,
    "ratio": share,
    "count": number,
    "number": plain,
    "rate": per_second,
}
"""How a figure of each unit is shown."""


def _with(value: Value, show: Callable[[float], str]) -> str:
    """What shows a number shows a mean too, and behind it half the width of its interval."""
    if not isinstance(value, Interval):
        return NONE if value is None else show(value)
    if not value.half:  # one run, or the same in all of them
        return show(value.mean)
    if value.half > value.mean:
        return f"{show(value.mean)} (0 to {show(value.high)})"
    return f"{show(value.mean)} \u00b1{show(value.half)}"


def _mean_of(value: Value) -> float | None:
    return value.mean if isinstance(value, Interval) else value


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 99.95 or value == round(value) else f"{value:.3g}"


def _in_units(value: Value, units: Units) -> str:
    """In the smallest unit that takes no more than three digits before the point; an interval in that of its mean."""
    mean = _mean_of(value)
    if mean is None:
        return NONE
    unit, factor = next((u for u in units if mean / u[1] < 999.5), units[-1])
    places = _places(mean / factor)
    return f"{_with(value, lambda one: f'{one / factor:,.{places}f}')} {unit}"


def _three(value: float) -> str:
    return f"{value:,.{_places(value)}f}"


def _places(value: float) -> int:
    # Rounding may add a digit: 9.996 is 10.0, not 10.00.
    return next((n for n, top in ((3, 1), (2, 10), (1, 100)) if round(value, n) < top), 0)
