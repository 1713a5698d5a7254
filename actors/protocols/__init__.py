"""Conversion protocols, one table each; guest_memfd (actors/gmem/inode.py) drives whichever its scenario names."""

from functools import cache

from actors.contract import Share
from actors.protocols.failable_notifier import FAILABLE_NOTIFIER
from actors.protocols.in_place import IN_PLACE, IN_PLACE_HUGE
from actors.protocols.options import FileOptions, Options
from actors.protocols.table import Event, Index, Row, Stage, Table, Variant
from actors.protocols.two_phase import TWO_PHASE, TWO_PHASE_REFCOUNT, TWO_PHASE_UNTRACED
from actors.protocols.undo import UNDO, UNDO_SPLIT_FIRST

# In the order of docs/domain.md section 5: A, B, B1, B2, B2H, C, C', C0.
PROTOCOLS: dict[str, Table] = {
    table.name: table
    for table in (
        FAILABLE_NOTIFIER,
        UNDO,
        UNDO_SPLIT_FIRST,
        IN_PLACE,
        IN_PLACE_HUGE,
        TWO_PHASE,
        TWO_PHASE_REFCOUNT,
        TWO_PHASE_UNTRACED,
    )
}


INDEX: dict[tuple[str, Share], Index] = {}
"""Rows by (a table's name with its options, direction); see `key_of`."""


def key_of(protocol: str, options: Options) -> str:
    """A name for the protocol's rows under these options, entered in INDEX."""
    table = PROTOCOLS[protocol]
    chosen = [(v.option, v.value) for v in table.variants if getattr(options, v.option) == v.value]
    key = "?".join([protocol, *(f"{option}={value}" for option, value in chosen)])
    if options.files > 1:
        key += f"?files={options.files}"
    if (key, Share.SHARED) not in INDEX:
        rows = table.with_options(options)
        for to in Share:
            INDEX[key, to] = rows.by_event(to)
    return key


@cache
def maps_again(key: str, to: Share) -> bool:
    """Do these rows ask consumers to map again what they have unmapped?"""
    return any(row.action == "remap" for row in INDEX[key, to].values())


__all__ = [
    "INDEX",
    "PROTOCOLS",
    "TWO_PHASE",
    "Event",
    "FileOptions",
    "Index",
    "Options",
    "Row",
    "Stage",
    "Table",
    "Variant",
    "key_of",
    "maps_again",
]
