"""Breadth first through all states: the first way to a state is a shortest one."""

import gc
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from cluster.explore.reduction import Reduction
from cluster.explore.symmetry import Symmetry, Word
from cluster.explore.system import POOL, Move, State, System


@dataclass(frozen=True)
class Limits:
    """When to give up: more states, or states that are further away, are not looked at. 0 is no limit."""

    states: int = 0
    depth: int = 0


@dataclass
class Edges:
    """Every move that was found, by the numbers of states: from, to, whose turn it was, how many faults struck."""

    source: "array[int]" = field(default_factory=lambda: array("i"))
    target: "array[int]" = field(default_factory=lambda: array("i"))
    who: "array[int]" = field(default_factory=lambda: array("i"))
    struck: "array[int]" = field(default_factory=lambda: array("b"))


class Step(NamedTuple):
    """One move, as places among the turns of the state before, and among what may come of that turn."""

    turn: int
    choice: int


class Shown(NamedTuple):
    """Where something was shown first: the state before, and the move."""

    state: int
    step: Step


class Search:
    """All that is found, by numbers of states. With a reduction, not all moves are looked at; with a symmetry, one
    state stands for all that differ by exchanges of what is equal."""

    def __init__(
        self,
        system: System,
        limits: Limits | None = None,
        reduction: Reduction | None = None,
        symmetry: Symmetry | None = None,
    ) -> None:
        self.system = system
        self.limits = limits or Limits()
        self.reduction = reduction
        self.symmetry = symmetry
        self.words: dict[int, Word] = {}  # by state, the exchanges that led to it behind the move
        self.states: list[State] = []
        self.numbers: dict[State, int] = {}
        # By state: the one before it on a shortest way, and the move from there.
        self.parents, self.turns, self.choices = array("i"), array("i"), array("i")
        self.depths = array("i")
        self.edges = Edges()
        self.shown: dict[str, Shown] = {}
        self.ends: list[int] = []  # nothing is in flight
        self.lessened = array("i")  # states of which not all moves were looked at
        self.generated = 1
        self.looked = 0  # states whose moves are all known
        self.cut = ""  # which limit was reached
        self.enter(system.first, -1, Step(0, 0))

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

    def enter(self, state: State, parent: int, step: Step) -> int:
        """The state's number; a new one is to be looked at."""
        number = self.numbers[state] = len(self.states)
        self.states.append(state)
        self.parents.append(parent)
        self.turns.append(step.turn)
        self.choices.append(step.choice)
        self.depths.append(self.depths[parent] + 1 if parent >= 0 else 0)
        return number

    def run(self, going: "Callable[[Search], bool] | None" = None, every: int = 1024) -> None:
        """Look at all states, or until a limit is reached, or `going`, asked now and then, says no.

        What is kept has no cycles, and there is ever more of it: the garbage collector would go through all of it.
        """
        collects = gc.isenabled()
        gc.disable()
        try:
            self.look_at_all(going, every)
        finally:
            if collects:
                gc.enable()

    def look_at_all(self, going: "Callable[[Search], bool] | None", every: int) -> None:
        """See run."""
        while not self.whole:
            if self.limits.states and len(self.states) > self.limits.states:
                self.cut = "states"
            elif self.limits.depth and self.depths[self.looked] >= self.limits.depth:
                self.cut = "depth"
            elif going and self.looked % every == 0 and not going(self):
                self.cut = "stopped"
            if self.cut:
                return
            self.look(self.looked)
            self.looked += 1

    def look(self, number: int) -> None:
        """All moves from one state, or those that stand for all."""
        edges, numbers = self.edges, self.numbers
        moves = list(self.system.moves(self.states[number]))
        if not moves:
            self.ends.append(number)
            if self.symmetry:
                self.symmetry.ended(self.states[number])
        elif self.reduction:
            all_of_them = len(moves)
            moves = self.reduction.part(self.states[number], moves)
            if len(moves) < all_of_them:
                self.lessened.append(number)
        self.generated += len(moves)
        for move in moves:
            turn, choice, who, outcome, state, shown = move
            for name in shown:
                if name not in self.shown:
                    self.shown[name] = Shown(number, Step(turn, choice))
            word: Word = ()
            if self.symmetry:
                self.symmetry.follow(self.system, self.states[number], move)
                state, word = self.symmetry.least(state)
            target = numbers.get(state)
            if target is None:
                target = self.enter(state, number, Step(turn, choice))
                if word:
                    self.words[target] = word
            edges.source.append(number)
            edges.target.append(target)
            edges.who.append(who)
            edges.struck.append(outcome.struck)

    def way(self, number: int, *last: Step) -> list[Step]:
        """The moves of a shortest way to a state, and behind it these, as they are from there.

        With a symmetry it leads to one of those that the state stands for: exchanges on the way are undone.
        """
        along = [number]
        while self.parents[along[-1]] >= 0:
            along.append(self.parents[along[-1]])
        numbers = along[::-1]
        steps = [Step(self.turns[n], self.choices[n]) for n in numbers[1:]] + [*last]
        return self.undone(numbers, steps) if self.words else steps

    def undone(self, numbers: list[int], steps: list[Step]) -> list[Step]:
        """Moves from states that stand for others, as moves of one run. The last may have no number."""
        system, symmetry, found = self.system, self.symmetry, list[Step]()
        assert symmetry and len(steps) <= len(numbers)
        word: Word = ()
        state = system.first
        for place, step in enumerate(steps):
            word += self.words.get(numbers[place], ())
            turn = system.turns[self.states[numbers[place]][POOL]][step.turn]
            wanted = symmetry.undone(turn, word)
            turns = enumerate(system.turns[state[POOL]])
            here = next(
                n for n, each in turns if (each.source, each.target, each.message) == wanted
            )
            found.append(Step(here, step.choice))
            state = taken_step(system, state, found[-1]).state
        return found


def taken_step(system: System, state: State, step: Step) -> Move:
    """The move that a step is."""
    return next(m for m in system.moves(state) if (m.turn, m.choice) == step)
