"""A story's lines: as few as a kernel engineer can follow, with all that decides, and how many are left out."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from actors import observations as o
from actors.contract import Reason
from workloads.checkers.words import YES, who

LINES_MAX = 20
ALIKE_MAX = 3  # lines that differ in their ranges alone; of more, the first and the last are told

# What decides how a conversion goes: these are told whatever else has to be left out.
KEYS = {
    o.ConvertBegin, o.ConvertEnd, o.Decided, o.NoReturn, o.Failed, o.ErrorDropped, o.FaultStruck,
    o.MemoryRefused, o.PoisonSet, o.LeftMapped, o.ReferencesFound, o.PrepareUndone, o.UndoFailed,
    o.Spinning, o.SeamcallAnswered, o.VmBugged, o.VmmKilled, o.VmStopped, o.MapGpaFailed, o.NotifierError,
    o.DmarFault,
}  # fmt: skip
# What a story that is too long can do without, the dullest first.
DULL = (
    o.Leaf, o.HugeLost, o.PamtCounted, o.Stashed, o.ReferenceKept, o.InvalidationBegin,
    o.InvalidationEnd, o.Answered, o.Bitmap,
)  # fmt: skip
_NUMBER = re.compile(r"0x[0-9a-f]+|[0-9]+(\.[0-9]+)? [KMG]iB|[0-9]+")


class Line(NamedTuple):
    """One line of a story, and what it tells."""

    now: int
    fact: Any
    text: str

    @property
    def shape(self) -> str:
        """What it says but for its numbers."""
        return _NUMBER.sub("", self.text)


def refusal(fact: Any) -> bool:
    """Some consumer's no."""
    return isinstance(fact, o.ConsumerReplied) and fact.reason is not Reason.NONE


def shorter(lines: list[Line]) -> list[Line]:
    """At most LINES_MAX with the one that ends the story; what decides is told, whatever else is not."""
    lines = once(together(lines))
    dull = sorted(
        (DULL.index(type(line.fact)), n)
        for n, line in enumerate(lines[:-1])
        if isinstance(line.fact, DULL)
    )
    fewer = {n for _, n in dull[: max(0, len(lines) - LINES_MAX + 1)]}
    lines = [line for n, line in enumerate(lines) if n not in fewer]
    out, dispensable = alike(lines)
    told = list(without(lines, out))
    while len(told) >= LINES_MAX and dispensable:
        out.add(dispensable.pop())
        told = list(without(lines, out))
    return told


def together(lines: list[Line]) -> list[Line]:
    """The same answer of several consumers in one line, where the last one gives it."""
    groups: list[list[int]] = []
    latest: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        fact = line.fact
        if not isinstance(fact, o.ConsumerReplied) or refusal(fact):
            continue
        group = latest.get(fact.phase)
        if group is None or any(lines[n].fact.consumer is fact.consumer for n in group):
            group = latest[fact.phase] = []
            groups.append(group)
        group.append(number)
    found: list[Line | None] = list(lines)
    for *others, last in groups:
        for number in others:
            found[number] = None
        facts = sorted((lines[n].fact for n in (*others, last)), key=lambda fact: fact.consumer)
        names = ", ".join(who(fact.consumer) for fact in facts)
        answer = YES.get(facts[0].phase, "done")
        found[last] = lines[last]._replace(text=f"{names}: {answer}")
    return [line for line in found if line]


def once(lines: list[Line]) -> list[Line]:
    """What a consumer refuses with, the attempt fails with: that is said once."""
    found: list[Line] = []
    for line in lines:
        reason = found[-1].fact.reason if found and refusal(found[-1].fact) else None
        if not isinstance(line.fact, o.Failed) or line.fact.reason is not reason:
            found.append(line)
    return found


def alike(lines: list[Line]) -> tuple[set[int], list[int]]:
    """Lines to leave out: of many that differ in numbers alone, all but the first and the last. And what might follow.

    The last ones of these are to go first: those that are told again, then those that decide nothing, those in the
    middle before those at the ends.
    """
    places: dict[tuple[type, str], list[int]] = {}
    for number, line in enumerate(lines):
        places.setdefault((type(line.fact), line.shape), []).append(number)
    out = {n for found in places.values() if len(found) > ALIKE_MAX for n in found[1:-1]}
    again = {n for found in places.values() for n in found[1:]}
    last = len(lines) - 1

    def dispensable(number: int) -> tuple[bool, bool, int]:
        decides = type(lines[number].fact) in KEYS or refusal(lines[number].fact)
        return not decides, number in again, min(number, last - number)

    rest = sorted((n for n in range(1, last) if n not in out), key=dispensable)
    return out, rest


def without(lines: list[Line], out: set[int]) -> Iterator[Line]:
    """The others, and how many are missing wherever some are; one alone is told, for it takes no more room."""
    missing: list[Line] = []
    for number, line in enumerate(lines):
        if number in out:
            missing.append(line)
            continue
        if len(missing) > 1:
            yield Line(line.now, None, f"... {len(missing)} more events ...")
        else:
            yield from missing
        missing = []
        yield line


def shown(lines: Sequence[Line]) -> list[str]:
    """With their times, in one column."""
    times = [f"{line.now / 1e6:.4f}" for line in lines]
    width = max(map(len, times), default=0)
    return [
        f"{time:>{width}} ms {line.text}" if line.fact else f"{'':{width}}    {line.text}"
        for time, line in zip(times, lines, strict=True)
    ]
