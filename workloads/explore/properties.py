"""What an exploration is asked: what must always hold, what must be met, what must come. And the answers.

Every protocol is judged by two-phase's row of the table of admitted anomalies, so that all are asked the same; whether
the protocol's own row admits what was shown is said beside it.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from actors.contract import Share
from cluster.explore import Lasso, Search, Step, lassos
from cluster.explore.lasso import components
from cluster.explore.system import KNOWN
from workloads.checkers import ANOMALIES, INVARIANTS
from workloads.checkers.admitted import admits
from workloads.explore.interest import COMPLETED, INTERESTS, struck_name
from workloads.explore.model import Model
from workloads.outcome.settings import of_scenario
from workloads.scenario import Script
from workloads.scripts import lines_of

JUDGE = "two-phase"
FLEET = {"I24", "I25", "I27", "I28", "I29", "L9", "L10"}  # a fleet's, which is not explored
TIMED = {"AN9", "AN12", "AN23"}  # shown by how long something takes, or by a thousand tries
# What is open when nothing more comes (workloads.checkers.progress.still_open).
EVENTUALLY = {
    "L1": "every conversion ends",
    "L2": "every lock is dropped",
    "L5": "every fault in a frozen range ends",
    "I14": "every invalidation ends",
}
Kind = Literal["always", "sometimes", "eventually"]
Verdict = Literal["valid", "violated", "unknown", "never"]
STATUS = {"valid": 0, "violated": 1, "unknown": 3}


class Way(msgspec.Struct, frozen=True):
    """Moves from the first state on; `cycle`, where there is one, can then be gone round for ever."""

    steps: tuple[Step, ...]
    cycle: tuple[Step, ...] = ()


class Property(msgspec.Struct, frozen=True):
    """One answer. `shown`: a state showed it (`way`); `admitted`: two-phase's row allows it, `own` the protocol's."""

    name: str
    kind: Kind
    title: str
    verdict: Verdict
    shown: bool = False
    admitted: bool = False
    own: bool = False
    way: Way | None = None


def answers(model: Model, search: Search) -> list[Property]:
    """All of them."""
    return [
        *always(model, search),
        *eventually(model, search),
        *sometimes(model, search),
    ]


def verdict_of(properties: list[Property], search: Search) -> Verdict:
    """A breach is one however much was not looked at; without one, a limit that was reached leaves it open."""
    if any(each.verdict == "violated" for each in properties):
        return "violated"
    unknown = any(each.verdict == "unknown" for each in properties)
    return "unknown" if unknown or not search.whole else "valid"


def worst(properties: Iterable[Property]) -> Property | None:
    """The breach with the shortest way there."""
    breaches = [each for each in properties if each.verdict == "violated" and each.way]
    return min(breaches, key=length, default=None)


def length(each: Property) -> int:
    """Moves of a counterexample."""
    return len(each.way.steps) + len(each.way.cycle) if each.way else 0


def judged(
    model: Model, search: Search, name: str, kind: Kind, title: str, way: Way | None
) -> Property:
    """A property that no state may show, unless it is admitted."""
    scenario = model.scenario
    settings = of_scenario(scenario)
    admitted = admits(name, JUDGE, settings)
    own = admits(name, scenario.protocol.name, settings)
    verdict: Verdict = "valid" if search.whole else "unknown"
    if way:
        verdict = "valid" if admitted else "violated"
    return Property(name, kind, title, verdict, way is not None, admitted, own, way)


def always(model: Model, search: Search) -> Iterator[Property]:
    """Every invariant, and every anomaly, which is one not to be met."""
    for check in (*INVARIANTS, *ANOMALIES):
        if check.id not in FLEET | TIMED and check.id != "L1":
            way = shortest(search, check.id)
            yield judged(model, search, check.id, "always", check.name, way)


def shortest(search: Search, name: str) -> Way | None:
    """To where the name was shown first."""
    shown = search.shown.get(name)
    return Way(tuple(search.way(shown.state, shown.step))) if shown else None


def eventually(model: Model, search: Search) -> Iterator[Property]:
    """What is open where nothing is in flight any more, or all the way round a cycle."""
    stuck = dead_ends(search)
    # What is fair is told from all moves, of which a reduction has left some out, and by who makes them.
    open_question = bool(search.reduction or search.symmetry) and bool(components(search))
    for name, title in EVENTUALLY.items():
        each = judged(model, search, name, "eventually", title, stuck.get(name))
        if open_question and not each.shown:
            each = msgspec.structs.replace(each, verdict="unknown")
        yield each


def dead_ends(search: Search) -> dict[str, Way]:
    """Name -> the shortest way to where it stays open for ever."""
    found: dict[str, Way] = {}
    watch = search.system.watch
    for state in search.ends:
        for name in watch.open(search.states[state][KNOWN]):
            found.setdefault(name, Way(tuple(search.way(state))))
    if search.symmetry:  # a cycle may lead from a state to one that is only equal to it
        return found
    rounds: list[Lasso] = sorted(lassos(search), key=lambda lasso: lasso.state)
    for lasso in rounds:
        for name in lasso.names:
            found.setdefault(name, Way(tuple(search.way(lasso.state)), lasso.cycle))
    return found


def sometimes(model: Model, search: Search) -> Iterator[Property]:
    """States of interest, and every fault point of the scenario: what was never met, the exploration does not show."""
    wanted = asked_for(model)
    names = [name for name, _, _ in INTERESTS]
    for name in [*names, *map(struck_name, model.points)]:
        way = shortest(search, name)
        verdict: Verdict = "valid" if way else "unknown" if not search.whole else "never"
        if verdict == "never" and name in wanted:
            verdict = "violated"
        yield Property(name, "sometimes", name, verdict, way is not None, way=way)


def asked_for(model: Model) -> set[str]:
    """What has to be possible: in some order a script's conversions succeed."""
    sides = {"share": Share.SHARED, "use": Share.SHARED, "private": Share.PRIVATE}
    return {
        COMPLETED[sides[line.verb]]
        for load in model.scenario.workload
        if isinstance(load, Script)
        for text in load.lanes
        for line in lines_of(text)
        if line.verb in sides
    }


def plain(each: Property, trace: Any) -> dict[str, Any]:
    """As --json has it."""
    return {
        "name": each.name,
        "kind": each.kind,
        "title": each.title,
        "verdict": each.verdict,
        "shown": each.shown,
        "admitted": {JUDGE: each.admitted, "own": each.own},
        "trace": trace,
    }
