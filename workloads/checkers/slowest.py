"""The slowest request that was answered, with what is kept of how it went."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actors import observations as o
from workloads.checkers import story
from workloads.checkers.operation import Operation
from workloads.checkers.story import Told
from workloads.checkers.tracks import rows_of

if TYPE_CHECKING:
    from workloads.checkers.shadow import Shadow


class Slowest:
    """The books of its VM are copied when it is answered, and read when somebody asks: another may be slower yet."""

    def __init__(self) -> None:
        # (latency in ns, minus time, minus VM): the first one of those that are equally slow.
        self.key = (-1, 0, 0)
        self.fact: o.Answered | None = None
        self.now = 0
        self.story: deque[Told] = deque()
        self.keys: list[Told] = []
        self.operations: dict[int, Operation] = {}
        self.last: tuple[int, Operation] | None = None
        self.refused: deque[tuple[Operation, list[Told]]] = deque()

    def after(
        self, look: Callable[[int, Any], None], books: Callable[[int], "Shadow"]
    ) -> Callable[[int, Any], None]:
        """Look at an answer, and keep it if it is slower than all before."""

        def answered(now: int, fact: o.Answered) -> None:
            look(now, fact)
            if fact.latency >= self.key[0] and fact.latency >= 0:
                key = (fact.latency, -now, -fact.vm)
                if key > self.key:
                    self.keep(key, books(fact.vm), fact)

        return answered

    def keep(self, key: tuple[int, int, int], shadow: "Shadow", fact: o.Answered) -> None:
        """The last facts of the VM, and which conversions they are of."""
        self.key, self.fact, self.now = key, fact, shadow.now
        self.story, self.keys = shadow.story.copy(), list(shadow.keys)
        self.last, self.refused = shadow.last, shadow.refused.copy()

    def result(self) -> list[Any]:
        """[latency (ns), time (ns), VM, request, rows of its timeline]; nothing where nothing was answered."""
        fact = self.fact
        if fact is None:
            return []
        return [fact.latency, self.now, fact.vm, fact.request, rows_of(self.facts(fact))]

    def facts(self, fact: o.Answered) -> list[Told]:
        """Of its last conversion and, as far as they are kept, of those of its earlier tries."""
        tries = [
            told
            for operation, kept in self.refused
            if story.of_request(fact, operation)
            for told in kept
            if story.about(told[1], operation)
        ]
        known = {id(told[1]): told for told in (*tries, *story.bare(self, fact).facts)}
        return sorted((told for told in known.values() if told[1]), key=lambda told: told[0])
