"""What the figures of a run can be together; each by itself is of its type and range already (shape.py, files.py)."""

import typing
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from types import GenericAlias
from typing import Any, NotRequired, TypedDict

import msgspec

from workloads.outcome.files import TimelineRow
from workloads.outcome.seeds import ENGINE, FIGURES
from workloads.outcome.shape import Amount, Count, Engine, FaultCount, Percentiles, Summary

MEASURED = [key for key in Percentiles.__annotations__ if key != "count"]


class Ends(TypedDict):
    """A figure over several seeds (seeds.as_json)."""

    mean: Amount
    low: Amount | None
    high: Amount | None
    seen: NotRequired[Count]
    runs: NotRequired[Count]


class CheckOver(TypedDict):
    """A limit over several seeds; `ok` is the share that kept it, None where that is not known."""

    value: Ends | None
    ok: Ends | None


def over(kind: Any) -> Any:
    """The layout of a part of a summary where its figures are of several seeds: texts and lists are not among them."""
    if typing.is_typeddict(kind):
        parts = {key: over(part) for key, part in typing.get_type_hints(kind).items()}
        return _partly(kind, {key: part for key, part in parts.items() if part})
    if typing.get_origin(kind) is dict:
        return by_name(over(typing.get_args(kind)[1]))
    # Not of every seed: None where no seed has one.
    return Ends | None if {int, float} & {kind, *typing.get_args(kind)} else None


def by_name(kind: Any) -> Any:
    """A table of these."""
    return GenericAlias(dict, (str, kind))


def _partly(kind: Any, parts: Mapping[str, Any]) -> Any:
    return TypedDict(f"{kind.__name__}Over", dict(parts), total=False)  # type: ignore[operator]


@cache
def layout() -> Any:
    """Of seeds.figures."""
    summary, engine = typing.get_type_hints(Summary), over(Engine).__annotations__
    return _partly(
        Summary,
        {
            **{key: over(summary[key]) for key in FIGURES},
            "engine": _partly(Engine, {key: engine[key] for key in ENGINE}),
            "faults": by_name(over(FaultCount)),
            "checks": by_name(CheckOver),
        },
    )


def flaws(found: object, path: str = "$") -> Iterator[str]:
    """What no run comes to in a summary or comparison, and where; or a msgspec.ValidationError says it."""
    if isinstance(found, list):
        for index, item in enumerate(found):
            yield from flaws(item, f"{path}[{index}]")
    if not isinstance(found, dict):
        return
    if found.keys() >= {"wanted", "runs", "figures"}:
        msgspec.convert(found["figures"], layout())
    if isinstance(found.get("count"), int) and found.keys() >= {*MEASURED}:
        yield from percentiles(found, path)
    for key, value in found.items():
        yield from flaws(value, f"{path}.{key}")


def percentiles(found: Mapping[str, Any], path: str) -> Iterator[str]:
    """Of nothing there are none; of something there are all."""
    for key in MEASURED:
        if (found[key] is None) != (found["count"] == 0):
            yield f"{key} is {msgspec.json.encode(found[key]).decode()} of {found['count']} - at `{path}`"


def timeline_flaws(rows: Sequence[TimelineRow]) -> Iterator[str]:
    """Bins are of one width, which is that of a nanosecond at least, and follow each other."""
    for line, row in enumerate(rows, 2):
        if row.width_seconds < 1e-9 or row.width_seconds != rows[0].width_seconds:
            yield f"line {line}: width_seconds is {row.width_seconds:g}, in line 2 {rows[0].width_seconds:g}"
    for line, (one, two) in enumerate(pairwise(rows), 3):
        if two.start_seconds < one.start_seconds:
            yield f"line {line}: begins at {two.start_seconds:g} s, the one before at {one.start_seconds:g} s"
