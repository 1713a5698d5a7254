"""Breadth first through all states: the first way to a state is a shortest one."""

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

from cluster.explore.system import State, System

NEVER_MIND: Callable[["Search"], bool] = lambda _: True  # noqa: E731


@dataclass(frozen=True)
class Limits:
    """When to give up: more states, or states that are further away, are not looked at. 0 is no limit."""

    states: int = 0
    depth: int = 0


@dataclass
class Edges:
    """Every move that was found, by the numbers of states: from, to, whose turn it was, how many faults struck."""

    source: "array[int]" = field(default_factory=lambda: array("l"))
    target: "array[int]" = field(default_factory=lambda: array("l"))
    who: "array[int]" = field(default_factory=lambda: array("l"))
    struck: "array[int]" = field(default_factory=lambda: array("b"))


class Search:
    """`shown` is name -> the move that showed it first: the state before, and its choices."""

    def __init__(self, system: System, limits: Limits = Limits()) -> None:
        self.system = system
        self.limits = limits
        self.states: list[State] = []
        self.numbers: dict[State, int] = {}
        self.parents = array("l")
        self.depths = array("l")
        self.choices: list[tuple[int, ...]] = []  # of the move that led to the state first
        self.edges = Edges()
        self.turns: dict[tuple[int, ...], int] = {}  # whose they may be, by number
        self.shown: dict[str, tuple[int, tuple[int, ...]]] = {}
        self.ends: list[int] = []  # states in which nothing is in flight
        self.generated = 1
        self.looked = 0  # states whose moves are all known
        self.cut = ""  # which limit was reached
        self.enter(system.first, -1, ())

    @property
    def distinct(self) -> int:
        """How many states there are, as far as is known."""
        return len(self.states)

    @property
    def depth(self) -> int:
        """Moves on the shortest way to the state that is furthest away."""
        return self.depths[-1]

    @property
    def whole(self) -> bool:
        """Were all states seen?"""
        return self.looked == len(self.states)

    def enter(self, state: State, parent: int, choices: tuple[int, ...]) -> int:
        """The state's number; a new one is to be looked at."""
        number = self.numbers.get(state)
        if number is None:
            number = self.numbers[state] = len(self.states)
            self.states.append(state)
            self.parents.append(parent)
            self.depths.append(self.depths[parent] + 1 if parent >= 0 else 0)
            self.choices.append(choices)
        return number

    def run(self, going: Callable[["Search"], bool] = NEVER_MIND, every: int = 1024) -> None:
        """Look at all states, or until a limit is reached, or `going`, asked now and then, says no."""
        while not self.whole:
            if self.limits.states and len(self.states) > self.limits.states:
                self.cut = "states"
            elif self.limits.depth and self.depths[self.looked] >= self.limits.depth:
                self.cut = "depth"
            elif self.looked % every == 0 and not going(self):
                self.cut = "stopped"
            if self.cut:
                return
            self.look(self.looked)
            self.looked += 1

    def look(self, number: int) -> None:
        """All moves from one state."""
        edges, turns = self.edges, self.turns
        before = self.generated
        for move in self.system.moves(self.states[number]):
            self.generated += 1
            for name in move.shown:
                self.shown.setdefault(name, (number, move.choices))
            edges.source.append(number)
            edges.target.append(self.enter(move.state, number, move.choices))
            edges.who.append(turns.setdefault(move.who, len(turns)))
            edges.struck.append(move.outcome.struck)
        if self.generated == before:
            self.ends.append(number)

    def way(self, number: int) -> list[tuple[int, ...]]:
        """The choices of each move on a shortest way to a state."""
        found: list[tuple[int, ...]] = []
        while self.parents[number] >= 0:
            found.append(self.choices[number])
            number = self.parents[number]
        return found[::-1]
