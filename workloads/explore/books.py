"""The checkers' books as a part of the explorer's state: kept by number, opened for the facts of one step, put back.

Nothing of them leaves this process. What only tells a story (the last facts, words, times of the slowest) is no part of
them: it decides nothing, and would make states differ that are the same.
"""

import pickle
from collections.abc import Iterable, Mapping
from typing import Any

from actors.address import host_address, vm_address
from actors.contract import Observation
from actors.observations import FaultStruck
from cluster.explore import Names, Touch, Watch
from cluster.explore.clock import NOW
from workloads.checkers import Inspector
from workloads.checkers.operation import Operation
from workloads.checkers.shadow import Shadow
from workloads.explore.cells import HOSTS, Cell, Eyes, cells_of, shared
from workloads.explore.interest import interests, struck_name
from workloads.plan import Plan

Facts = tuple[Observation, ...]
Kept = dict[Cell, int]
"""By cell, the number of what it holds."""
UNTOUCHED = Touch(0, 0)


class Books(Watch):
    """Every check of the inspector, and every state of interest."""

    def __init__(self, plan: Plan) -> None:
        self.eyes = Eyes()
        self.inspector = Listing(plan, self.eyes)
        self.watches = self.inspector.watches()
        self.interests = interests()
        self.kept: list[bytes] = []
        self.cells: list[Kept] = []
        self.contents: dict[bytes, int] = {}
        self.numbers: dict[tuple[tuple[Cell, int], ...], int] = {}
        self.steps: dict[tuple[int, Facts], tuple[int, Names]] = {}
        self.texts: dict[tuple[int, Facts], Mapping[str, str]] = {}
        self.opened: dict[int, Names] = {}
        self.bits: dict[Cell, int] = {}
        self.touches: dict[Facts, Touch] = {}
        self.learned = 0

    def first(self) -> int:
        """See cluster.explore.Watch."""
        fleet = self.inspector.plan.scenario.fleet
        for host in range(fleet.hosts):
            self.inspector.owners_of(host_address(host))
            for vm in range(fleet.vms_per_host):
                self.inspector.books(vm_address(host, vm))
        return self.put_back()

    def step(self, known: int, facts: Facts) -> tuple[int, Names]:
        """See cluster.explore.Watch."""
        found = self.steps.get((known, facts))
        if found is None:
            found = self.steps[known, facts] = self.entered(known, facts)
        return found

    def why(self, known: int, facts: Facts) -> Mapping[str, str]:
        """See cluster.explore.Watch."""
        return self.texts.get((known, facts), {})

    def entered(self, known: int, facts: Facts) -> tuple[int, Names]:
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
        now = self.put_back() if watched else known
        self.touch(facts, known, now)
        return now, tuple(shown)

    def touch(self, facts: Facts, known: int, now: int) -> None:
        """Learn what these facts have looked at and changed."""
        before, after = self.cells[known], self.cells[now]
        changed = {shared(cell) for cell, _ in before.items() ^ after.items()}
        looked = self.touched(facts)
        found = Touch(
            looked.reads | self.mask(self.eyes.looked), looked.writes | self.mask(changed)
        )
        if found != looked:
            self.touches[facts] = found
            self.learned += 1

    def touched(self, facts: Facts) -> Touch:
        """See cluster.explore.Watch."""
        return self.touches.get(facts, UNTOUCHED)

    def mask(self, cells: Iterable[Cell]) -> int:
        """A bit for each."""
        found = 0
        for cell in cells:
            found |= 1 << self.bits.setdefault(cell, len(self.bits))
        return found

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
        self.eyes.opened(inspector)

    def put_back(self) -> int:
        """The number of what the inspector knows now."""
        inspector = self.inspector
        for shadow in inspector.shadows.values():
            tidy(shadow)
        self.eyes.closed(inspector)
        contents = self.contents
        cells = {
            cell: contents.setdefault(held, len(contents)) for cell, held in cells_of(inspector)
        }
        identity = tuple(cells.items())
        number = self.numbers.get(identity)
        if number is None:
            number = self.numbers[identity] = len(self.kept)
            state = inspector.shadows, inspector.owners, inspector.strays, inspector.pamts
            self.kept.append(pickle.dumps(state, pickle.HIGHEST_PROTOCOL))
            self.cells.append(cells)
        return number


class Listing(Inspector):
    """Names what it finds; the explorer has a way there instead of a story."""

    def __init__(self, plan: Plan, eyes: Eyes) -> None:
        self.eyes = eyes
        super().__init__(plan)
        self.shown: dict[str, str] = {}

    def __getattribute__(self, name: str) -> Any:
        if name in HOSTS:
            self.eyes.looked.add((name,))
        return super().__getattribute__(name)

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
