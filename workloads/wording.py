"""The words of error texts: whatever a user gave, shown short, safe and on one line."""

import datetime
import difflib
from collections.abc import Collection, Iterable

SHOWN_MAX = 60
LISTED_MAX = 12  # more names are no help on one line
# difflib is quadratic, and a name may be as long as the file it is in.
COMPARED_MAX = 100


def quote(text: str) -> str:
    """The text in double quotes, on one line, cut when it is long: fit for an error message."""
    short = text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 3] + "..."
    return f'"{printable(short)}"'


def printable(text: str) -> str:
    """The text with whatever would break or fake a line of output escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def found(value: object) -> str:
    """A TOML value in an error text: short and on one line, whatever it is."""
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        # Python refuses to print integers of thousands of digits.
        return str(value) if value.bit_length() <= 64 else "an integer beyond 64 bits"
    return str(value) if isinstance(value, float) else _shape(value)


def nearest(name: str, names: Iterable[str]) -> str:
    """The likeliest of the names, or "" when none is like it."""
    close = difflib.get_close_matches(name[:COMPARED_MAX], list(names), n=1)
    return close[0] if close else ""


def suggestion(name: str, names: Collection[str], kind: str = "") -> str:
    """How an error text ends: the likeliest name, or all of them, or who lists so many (`gmemsim list KIND`)."""
    close, known = nearest(name, names), ", ".join(names) or "none"
    if close:
        return f"nearest: {close}"
    return (
        f"gmemsim list {kind} has all" if kind and len(names) > LISTED_MAX else f"allowed: {known}"
    )


def _shape(value: object) -> str:
    if isinstance(value, datetime.date | datetime.time):
        return f"the date or time {value}"
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    return f"a {type(value).__name__}"
