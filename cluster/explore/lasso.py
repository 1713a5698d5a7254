"""What never comes: cycles that a fair system can go round for ever, and what is open all the way.

Fair is weakly fair: whose turn it is from some time on without end, gets it. And faults strike only so often: a cycle
in which one strikes is none.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from cluster.explore.search import Search, Step
from cluster.explore.system import KNOWN, POOL


class Lasso(NamedTuple):
    """The way to a cycle is that to its first state; `cycle` leads from there back to it."""

    names: tuple[str, ...]  # what is open in all states of the cycle
    state: int
    cycle: tuple[Step, ...]


class Hop(NamedTuple):
    """A move within a component."""

    target: int
    who: int
    step: Step


def lassos(search: Search) -> Iterator[Lasso]:
    """One for each strongly connected component that a fair run may stay in while something is open."""
    system = search.system
    for states in components(search):
        inside = set(states)
        names = set(system.watch.open(search.states[states[0]][KNOWN]))
        for state in states:
            names &= {*system.watch.open(search.states[state][KNOWN])}
        if not names:
            continue
        hops = {state: list(hops_of(search, state, inside)) for state in states}
        turns = {s: {t.who for t in system.turns[search.states[s][POOL]]} for s in states}
        always = set.intersection(*turns.values())
        taken = {hop.who for found in hops.values() for hop in found}
        if always <= taken:
            first = min(states)
            yield Lasso(tuple(sorted(names)), first, tuple(around(first, hops, turns, always)))


def components(search: Search, among: Iterable[int] | None = None) -> list[list[int]]:
    """Sets of states (all, or among these) that can be gone round in, without a fault."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges, size = search.edges, len(search.states)
    source = np.array(edges.source, dtype=np.int64)
    target = np.array(edges.target, dtype=np.int64)
    meant = np.full(size, among is None)
    meant[list(among or ())] = True
    kept = (np.array(edges.struck, dtype=np.int8) == 0) & meant[source] & meant[target]
    source, target = source[kept], target[kept]
    graph = coo_array((np.ones(len(source), np.int8), (source, target)), shape=(size, size))
    _, label = connected_components(graph.tocsr(), connection="strong")
    rounds = np.bincount(label, minlength=size)[label] > 1
    rounds[source[source == target]] = True
    found: dict[Any, list[int]] = {}
    for state in np.flatnonzero(rounds).tolist():
        found.setdefault(int(label[state]), []).append(state)
    return list(found.values())


def hops_of(search: Search, state: int, inside: set[int]) -> Iterator[Hop]:
    """Moves from the state that stay in the component."""
    for move in search.system.moves(search.states[state]):
        target = search.numbers.get(move.state, -1)
        if target in inside and not move.outcome.struck:
            yield Hop(target, move.who, Step(move.turn, move.choice))


def around(
    first: int, hops: dict[int, list[Hop]], turns: dict[int, set[int]], always: set[int]
) -> Iterator[Step]:
    """A fair way round: whose turn it always is, gets it; whoever has none somewhere, has none for a moment."""
    at = first
    missing = set(always)
    others = set().union(*turns.values()) - always
    moved = False
    while missing or others or at != first or not moved:
        way = nearest(at, first, hops, turns, missing, others)
        for hop in way:
            moved = True
            missing.discard(hop.who)
            others -= {who for who in others if who not in turns[hop.target]}
            at = hop.target
            yield hop.step


def nearest(
    at: int,
    first: int,
    hops: dict[int, list[Hop]],
    turns: dict[int, set[int]],
    missing: set[int],
    others: set[int],
) -> list[Hop]:
    """The shortest way to what is still wanted; if nothing is, home."""
    queue: deque[tuple[int, list[Hop]]] = deque([(at, [])])
    seen = {at}
    while queue:
        state, way = queue.popleft()
        for hop in hops[state]:
            longer = [*way, hop]
            wanted = hop.who in missing or any(who not in turns[hop.target] for who in others)
            if wanted or (not missing and not others and hop.target == first):
                return longer
            if hop.target not in seen:
                seen.add(hop.target)
                queue.append((hop.target, longer))
    raise AssertionError("a component that is not connected")
