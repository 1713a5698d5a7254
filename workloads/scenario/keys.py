"""What is known of a key besides its type: the data behind `gmemsim show` and error texts."""

import functools
import typing
from collections.abc import Collection
from typing import Any, Literal, NamedTuple

import msgspec

# Beyond this neither TOML nor msgpack carries an integer; as nanoseconds it is 292 years.
INT_MAX = 2**63 - 1

Kind = Literal[
    "duration",
    "size",
    "count",
    "number",
    "text",
    "name",
    "choice",
    "switch",
    "texts",
    "counts",
    "sizes",
    "cost",
    "costs",
]


class Key(msgspec.Struct, frozen=True):
    """Stands beside a field in `Annotated`; the field's default is the key's default."""

    kind: Kind
    unit: str
    meaning: str
    low: float = 0
    high: float = INT_MAX
    step: int = 1
    at_most: str = ""  # a key of the same section that bounds this one
    choices: Collection[str | int] = ()

    @property
    def allowed(self) -> str:
        """What may stand here, in a word: the choices, or the unit."""
        return " | ".join(map(str, self.choices)) or self.unit


class Entry(NamedTuple):
    """One key of a section: its name in Python, what is known of it, its default."""

    field: str
    key: Key
    default: Any


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the scenario; subclasses hold one annotated field for each key."""


def duration(meaning: str, low: int = 1, at_most: str = "") -> Key:
    """Nanoseconds in Python, text in TOML; zero only where `low=0` says so."""
    return Key("duration", "duration", meaning, low=low, at_most=at_most)


def size(meaning: str, low: int = 1, step: int = 1, at_most: str = "") -> Key:
    """Bytes in Python, text in TOML; zero only where `low=0` says so."""
    return Key("size", "size", meaning, low=low, step=step, at_most=at_most)


def count(unit: str, meaning: str, low: int = 0, high: int = INT_MAX, at_most: str = "") -> Key:
    """A whole number of `unit`."""
    return Key("count", unit, meaning, low=low, high=high, at_most=at_most)


def number(unit: str, meaning: str, low: float = 0, high: float = 1) -> Key:
    """A number that may have decimals; always bounded, so that arithmetic on it stays finite."""
    return Key("number", unit, meaning, low=low, high=high)


def choice(allowed: Any, meaning: str) -> Key:
    """One of a Literal's values, or of a collection's, which may grow elsewhere."""
    choices = allowed if isinstance(allowed, Collection) else typing.get_args(allowed)
    return Key("choice", "choice", meaning, choices=choices)


def switch(meaning: str) -> Key:
    """true or false."""
    return Key("switch", "true | false", meaning)


def text(meaning: str, kind: Literal["text", "name"] = "text") -> Key:
    """Free text, or a `name` that can also name a folder."""
    return Key(kind, kind, meaning)


def texts(unit: str, meaning: str) -> Key:
    """A list of texts."""
    return Key("texts", unit, meaning)


def counts(unit: str, meaning: str, low: int = 0) -> Key:
    """A list of whole numbers; one alone may stand without its brackets."""
    return Key("counts", unit, meaning, low=low)


def sizes(meaning: str, step: int = 1) -> Key:
    """A list of sizes, zero among them."""
    return Key("sizes", "sizes", meaning, step=step)


def costs(meaning: str) -> Key:
    """A free table from the name of a cost to a duration or a number."""
    return Key("costs", "table", meaning)


TEXT = Key("text", "text", "the name of an entry in a free table")
COST = Key("cost", "duration or number", "the value of an entry in a table of costs")


@functools.cache
def entries(section: type[Section]) -> dict[str, Entry]:
    """Every key of a section under its TOML name, in the order of definition."""
    hints = typing.get_type_hints(section, include_extras=True)
    return {
        field.encode_name: Entry(field.name, hints[field.name].__metadata__[0], _default(field))
        for field in msgspec.structs.fields(section)
    }


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    assert field.default is not msgspec.NODEFAULT, f"{field.name} has no default"
    return field.default
