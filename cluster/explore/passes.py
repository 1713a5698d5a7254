"""Searches with a reduction, until nothing is left that it did not know of and no order is put off for ever."""

from collections.abc import Iterator

from cluster.explore.lasso import components
from cluster.explore.reduction import Reduction
from cluster.explore.search import Limits, Search
from cluster.explore.symmetry import Symmetry
from cluster.explore.system import System


def passes(
    system: System,
    limits: Limits | None = None,
    reduction: Reduction | None = None,
    symmetry: Symmetry | None = None,
) -> Iterator[Search]:
    """Searches to be run one after the other; the last one counts. Without a reduction there is one.

    What a reduction has come to know while it was used it may have left out before, so that all is looked at again.
    Nor may a move be put off all the way round a cycle: of its states all moves are looked at then.
    """
    while True:
        if reduction is None:
            yield Search(system, limits, None, symmetry)
            return
        reduction.forget()
        known = reduction.learned
        search = Search(system, limits, reduction, symmetry)
        yield search
        cycles = [] if search.cut else components(search, search.lessened)
        if search.cut or (reduction.learned == known and not cycles):
            return
        reduction.whole |= {search.states[number] for cycle in cycles for number in cycle}
