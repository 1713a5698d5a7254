"""How a finding came about: which facts bear on it, told in as few lines as a kernel engineer can follow.

While nothing is found a story is a few facts that are kept; they become lines when there is something to tell.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from actors import observations as o
from actors.contract import PAGES_2M, Share
from actors.intervals import IntervalMap
from actors.messages import ATTEMPT_BITS
from workloads.checkers.lines import KEYS, LINES_MAX, Line, shorter, shown
from workloads.checkers.operation import UNTOUCHED, Operation
from workloads.checkers.words import CHANGES, OFTEN, WORDS, sentence

if TYPE_CHECKING:
    from workloads.checkers.shadow import Shadow

__all__ = ["KEYS", "KINDS", "LINES_MAX", "WORTH", "Bare", "bare", "kept_apart", "tell"]

KEPT = 48  # facts of a VM: the last ones
KEYS_KEPT = 24  # and those of the conversion in hand without which no story is to be understood: the first ones
REFUSED_KEPT = 4  # conversions of a VM that were refused, with their stories
NOT_KEPT = "... events that are not kept ..."
Told = tuple[int, Any]
"""When (ns), and the fact; None where facts are missing that are not kept any more."""

# Kinds that are not always worth a line.
WORTH: dict[type, Callable[[Any], bool]] = {
    o.Leaf: lambda fact: fact.level > 0 or fact.share is Share.SHARED,
    o.GuestAccess: lambda fact: not fact.ok,
}
# What the books add themselves, where it is worth it; facts that come often are no part of a story but its end.
CHOSEN = {o.ConvertBegin, o.SeamcallAnswered, o.DmarFault}
KINDS = {*WORDS, *CHANGES} - CHOSEN - OFTEN
# Before a conversion begins, these may be its cause.
BEFORE = (o.Dma, o.Pinned, o.Retried, o.DmarFault, o.ErrorDropped, o.NotifierCalled)
FRAMES = (
    o.FramesFreed,
    o.FramesKept,
    o.FramesReused,
    o.FramesTaken,
    o.PamtCounted,
)  # their ranges are no gfns


class Books(Protocol):
    """What of a VM's books a story is told from."""

    now: int
    story: deque[Told]
    keys: list[Told]
    operations: dict[int, Operation]
    last: tuple[int, Operation] | None
    refused: deque[tuple[Operation, list[Told]]]


class Bare(NamedTuple):
    """A story before it is told: its facts in order of time, and the conversion that it is about."""

    facts: list[Told]
    cause: Operation | None


def bare(shadow: Books, fact: Any, operation: Operation | None = None) -> Bare:
    """What bears on what is found with this fact."""
    facts = list(shadow.story)
    if type(fact) in WORDS and not any(known is fact for _, known in facts[-1:]):
        facts.append((shadow.now, fact))
    cause = operation or cause_of(shadow, fact)
    if cause:
        facts = [t for t in chosen(shadow, facts, cause) if t[1] is fact or about(t[1], cause)]
    return Bare(facts, cause)


def tell(shadow: "Shadow", found: Bare) -> list[str]:
    """The story in words, but for what was found."""
    facts, cause = found
    tables = states(shadow, facts, cause)
    lines = [Line(now, f, sentence(f, tables) if f else NOT_KEPT) for now, f in facts]
    return shown(shorter(lines))


def cause_of(shadow: Books, fact: Any) -> Operation | None:
    """The conversion that a finding is about: the fact's own, or the last of its request, or range; else the last."""
    known = [*shadow.operations.values(), *(shadow.last[1:] if shadow.last else ())]
    older = (operation for operation, _ in shadow.refused)
    latest = sorted([*known, *older], key=lambda found: (-found.began, found.begin.op))
    tests: tuple[Callable[[Any, Operation], bool], ...] = (of_op, of_request, of_range)
    found = (operation for mine in tests for operation in latest if mine(fact, operation))
    return next(found, known[0] if known else None)


def of_op(fact: Any, operation: Operation) -> bool:
    """Is it a fact of this conversion?"""
    return bool(getattr(fact, "op", None) == operation.begin.op)


def of_request(fact: Any, operation: Operation) -> bool:
    """Or of one of its tries?"""
    return bool(getattr(fact, "request", None) == operation.begin.op >> ATTEMPT_BITS)


def of_range(fact: Any, operation: Operation) -> bool:
    """Or of its range?"""
    first = getattr(fact, "gfn", None)
    if first is not None:
        return operation.covers(first, first + fact.end - fact.start)
    ranged = hasattr(fact, "start") and type(fact) not in FRAMES
    return ranged and operation.covers(fact.start, fact.end)


def chosen(shadow: Books, facts: list[Told], cause: Operation) -> list[Told]:
    """What led to this conversion, its own facts as far as they are kept, and everything after it."""
    for operation, told in shadow.refused:
        if operation is cause:
            known = {id(fact) for _, fact in told}
            facts = [*told, *(told for told in facts if id(told[1]) not in known)]
    begin = next((n for n, (_, fact) in enumerate(facts) if fact is cause.begin), -1)
    if begin >= 0:
        return [*causes(facts[:begin]), *facts[begin:]]
    return [*kept_apart(shadow, facts, cause), *facts]


def causes(facts: Iterable[Told]) -> Iterator[Told]:
    """Of what came before a conversion the last of each kind that may have led to it."""
    last = {type(fact): (now, fact) for now, fact in facts if isinstance(fact, BEFORE)}
    for now, fact in sorted(last.values(), key=lambda told: told[0]):
        if not isinstance(fact, o.Dma) or not fact.mapped:
            yield now, fact


def kept_apart(shadow: Books, facts: Iterable[Told], operation: Operation) -> list[Told]:
    """A conversion's first facts that are not among these any more, and that some are missing."""
    keys = shadow.keys
    if not keys or keys[0][1] is not operation.begin:
        keys = [(operation.began, operation.begin)]
    known = {id(fact) for _, fact in facts}
    first = [told for told in keys if id(told[1]) not in known]
    return [*first, (first[-1][0], None)] if first else []


def about(fact: Any, cause: Operation) -> bool:
    """Does it bear on this conversion? What names neither a conversion nor memory may."""
    if fact is None or of_op(fact, cause) or of_request(fact, cause):
        return True
    if isinstance(fact, o.ConvertBegin | o.ConvertEnd | o.ConsumerReplied | o.Decided | o.Answered):
        return False  # of another one
    if not hasattr(fact, "start") or type(fact) in FRAMES:
        return not isinstance(fact, o.Retried | o.Failed)
    first, last = cause.begin.start // PAGES_2M, -(-cause.begin.end // PAGES_2M)
    return bool(fact.start < last * PAGES_2M and first * PAGES_2M < fact.end) or (
        fact.start == fact.end
    )


def states(
    shadow: "Shadow", facts: Sequence[Told], cause: Operation | None
) -> dict[str, IntervalMap]:
    """The maps when the conversion began, as far as its facts need them and they are known."""
    tables = {change.table: IntervalMap.filled(UNTOUCHED) for change in CHANGES.values()}
    if any(fact is None for _, fact in facts):
        return tables
    if cause is None:
        last = facts[-1][1] if facts else None
        alone = [type(fact) for _, fact in facts].count(type(last)) == 1
        found_now(shadow, tables, last if alone else None)
        return tables
    for name, table in cause.before.items():
        if name in tables:
            tables[name] = IntervalMap(list(table.starts), list(table.values))
    # What a conversion that is under way has not overwritten, it has found as it is now.
    for _, fact in facts if cause.begin.op in shadow.operations else ():
        found_now(shadow, tables, fact)
    return tables


def found_now(shadow: "Shadow", tables: dict[str, IntervalMap], fact: Any) -> None:
    """Of what the fact changes, and nothing is known of, the books know how it was: they have not changed yet."""
    change = CHANGES.get(type(fact))
    if change is None:
        return
    table, now = tables[change.table], getattr(shadow, change.table)
    for start, end, value in table.runs(fact.start, fact.end):
        for s, e, here in now.runs(start, end) if value == UNTOUCHED else ():
            if here != change.value(fact):
                table.set(s, e, here)
