"""Outcomes of a fault point for the explorer: none, and of each class that may strike, the first and the last."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from actors.contract import VM_KEY_SHIFT, Fault, Place, page_of
from cluster.explore.clock import NOW
from cluster.faults import FaultPlan, FaultRule

Outcomes = tuple[Fault | None, ...]
"""The first of them is always None: nothing strikes."""
NOTHING: Outcomes = (None,)


class Chance(Protocol):
    """Says what may happen at a point (see actors.contract.Context.choose)."""

    def outcomes(
        self, point: str, count: int, key: int, span: int, places: Iterable[Place] | None
    ) -> Outcomes:
        """All that may."""


class NoChances:
    """Nothing ever fails."""

    def outcomes(
        self, point: str, count: int, key: int, span: int, places: Iterable[Place] | None
    ) -> Outcomes:
        """See Chance."""
        return NOTHING


class Chances:
    """A fault plan without its dice: what a rule covers may fail or not, however likely."""

    def __init__(self, plan: FaultPlan) -> None:
        self.armed = plan.armed

    def outcomes(
        self, point: str, count: int, key: int, span: int, places: Iterable[Place] | None
    ) -> Outcomes:
        """See Chance."""
        found: dict[Fault | None, None] = {None: None}  # in order, each once
        where = tuple(places or ())
        for armed in self.armed.get(point, ()):
            if armed.rule.covers(NOW, key >> VM_KEY_SHIFT):
                covered = covered_by(armed.rule, count, key, span, where)
                for first in (covered[0], covered[-1]) if covered else ():
                    found[Fault(armed.reason, first)] = None
        return tuple(found)


def covered_by(
    rule: FaultRule, count: int, key: int, span: int, places: Sequence[Place]
) -> Sequence[int]:
    """Which of the opportunities are about memory that the rule is about."""
    if not rule.pages:
        return range(count)
    return rule.inside(places) if places else rule.within(page_of(key), span, count)


def unexplored(rule: FaultRule) -> str:
    """What of a rule is a matter of when, and not whether: its key, or nothing."""
    timed = {
        "from": rule.start,
        "until": rule.until,
        "nth": rule.nth,
        "every": rule.every,
        "lasts": rule.lasts,
    }
    return next((name for name, value in timed.items() if value), "")
