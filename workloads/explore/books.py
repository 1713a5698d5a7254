"""The checkers' books as a part of the explorer's state: kept by number, opened for the facts of one step, put back.

Nothing of them leaves this process. What only tells a story (the last facts, words, times of the slowest) is no part of
them: it decides nothing, and would make states differ that are the same.
"""

import pickle
from collections.abc import Iterable, Mapping
from typing import Any

import msgpack
import msgspec

from actors.contract import Observation
from actors.observations import FaultStruck
from cluster.explore import Names, Watch
from cluster.explore.clock import NOW
from workloads.checkers import Inspector
from workloads.checkers.operation import Operation
from workloads.checkers.shadow import Shadow
from workloads.explore.interest import interests, struck_name
from workloads.plan import Plan

# Of a VM's books: what tells stories, and what are other names for the same maps.
TELLING = {"story", "keys", "refused", "last", "thawed", "now"}
DERIVED = {"neighbours", "outside", "inside", "counted", "mirrors", "shared_epts", "mark", "window"}
FIELDS = [name for name in Shadow.__slots__ if name not in TELLING | DERIVED]


class Books(Watch):
    """Every check of the inspector, and every state of interest."""

    def __init__(self, plan: Plan) -> None:
        self.inspector = Listing(plan)
        self.watches = self.inspector.watches()
        self.interests = interests()
        self.kept: list[bytes] = []
        self.numbers: dict[bytes, int] = {}
        self.steps: dict[tuple[int, tuple[Observation, ...]], tuple[int, Names]] = {}
        self.texts: dict[tuple[int, tuple[Observation, ...]], Mapping[str, str]] = {}
        self.opened: dict[int, Names] = {}

    def first(self) -> int:
        """See cluster.explore.Watch."""
        for host in range(self.inspector.plan.scenario.fleet.hosts):
            self.inspector.owners_of(host << 24)
        return self.put_back()

    def step(self, known: int, facts: tuple[Observation, ...]) -> tuple[int, Names]:
        """See cluster.explore.Watch."""
        found = self.steps.get((known, facts))
        if found is None:
            found = self.steps[known, facts] = self.entered(known, facts)
        return found

    def why(self, known: int, facts: tuple[Observation, ...]) -> Mapping[str, str]:
        """See cluster.explore.Watch."""
        return self.texts.get((known, facts), {})

    def entered(self, known: int, facts: tuple[Observation, ...]) -> tuple[int, Names]:
        """The books with these facts, and what they show."""
        self.open_at(known)
        shown = self.inspector.shown = {}
        watched = False
        for fact in facts:
            for name, test in self.interests.get(type(fact), ()):
                if test(self.inspector, fact):
                    shown[name] = ""
            if isinstance(fact, FaultStruck):
                shown[struck_name(fact.point)] = ""
            watch = self.watches.get(type(fact))
            if watch:
                watch(NOW, fact)
                watched = True
        if any(shown.values()):
            self.texts[known, facts] = shown
        return self.put_back() if watched else known, tuple(shown)

    def open(self, known: int) -> Names:
        """See cluster.explore.Watch."""
        found = self.opened.get(known)
        if found is None:
            self.open_at(known)
            names = dict.fromkeys(name for _, name, *_ in self.inspector.open())
            found = self.opened[known] = tuple(names)
        return found

    def open_at(self, known: int) -> None:
        """Have the inspector know what it knew then."""
        inspector = self.inspector
        shadows, inspector.owners, inspector.strays, inspector.pamts = pickle.loads(
            self.kept[known]
        )
        inspector.shadows = shadows
        inspector.known.clear()
        inspector.neighbours = {vm >> 24: shadow.neighbours for vm, shadow in shadows.items()}

    def put_back(self) -> int:
        """The number of what the inspector knows now."""
        inspector = self.inspector
        for shadow in inspector.shadows.values():
            tidy(shadow)
        rows = [
            [vm, [getattr(shadow, name) for name in FIELDS]]
            for vm, shadow in sorted(inspector.shadows.items())
        ]
        identity = canonical([rows, inspector.owners, inspector.strays, inspector.pamts])
        number = self.numbers.get(identity)
        if number is None:
            number = self.numbers[identity] = len(self.kept)
            state = inspector.shadows, inspector.owners, inspector.strays, inspector.pamts
            self.kept.append(pickle.dumps(state, pickle.HIGHEST_PROTOCOL))
        return number


class Listing(Inspector):
    """Names what it finds; the explorer has a way there instead of a story."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.shown: dict[str, str] = {}

    def found(
        self,
        names: Iterable[str],
        shadow: Shadow,
        fact: Any,
        text: str,
        operation: Operation | None = None,
    ) -> None:
        """See Inspector."""
        for name in names:
            self.shown.setdefault(name, text)


def tidy(shadow: Shadow) -> None:
    """Without stories, and without waits that are over before the next message (cluster.explore.clock)."""
    shadow.story.clear()
    shadow.keys.clear()
    shadow.refused.clear()
    shadow.last = shadow.thawed = None
    shadow.devices.waits = []


def canonical(value: Any) -> bytes:
    """Equal books, equal bytes."""
    plain = msgspec.to_builtins(value, enc_hook=fields_of, order="deterministic")
    packed: bytes = msgpack.packb(plain)
    return packed


def fields_of(value: Any) -> Any:
    """Of a class that msgpack does not know: its fields by name."""
    slots: Iterable[str] = getattr(type(value), "__slots__", ())
    found: Mapping[str, Any] = {name: getattr(value, name) for name in slots} or vars(value)
    return {name: item for name, item in found.items() if name not in UNJUDGED}


UNJUDGED = {"began", "begin", "tables", "names", "backing"}
"""Times, and other names of what is there already. Of ConvertBegin, the operation's number says all."""
