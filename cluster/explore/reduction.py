"""Not every order: which messages may come first, so that the others' orders with them need not be tried.

A persistent set: some actors, such that nothing that all others do, for as long as these do nothing, sends to one of
these over a link that is empty now, or reports facts that touch what theirs touch. Whatever comes next to these actors
is then independent of all that, and may as well come first. What others can do is known from the steps that they were
seen to take; `learned` says whether that has grown, for then all is looked at again (cluster.explore.passes).
docs/explore.md has the argument, and what is not kept: the shortest way.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from cluster.explore.local import Outcome
from cluster.explore.network import Link
from cluster.explore.system import FAULTS, KNOWN, POOL, Move, State, System, Touch

Members = frozenset[int]
NOBODY = Members()


class Doing(NamedTuple):
    """What is known to come of one message at one actor in one state, whichever way it goes."""

    afters: tuple[int, ...]
    sent: tuple[tuple[int, int], ...]
    touch: Touch


class Reduction:
    """Chooses, for each state, the moves that are looked at."""

    def __init__(self, system: System) -> None:
        assert system.link is Link.FIFO, "messages that overtake each other depend on each other"
        self.system = system
        self.chosen: dict[State, Members] = {}  # by state, whatever the watch knows; nobody: all
        self.doings: dict[tuple[int, int, bool], Doing | None] = {}
        self.whole: set[State] = set()  # of these all moves are looked at

    @property
    def learned(self) -> tuple[int, int]:
        """Grows with what is known of the actors and of the watch."""
        return len(self.system.locals.steps), self.system.watch.learned

    def forget(self) -> None:
        """Choose anew, by what is known now."""
        self.chosen.clear()
        self.doings.clear()

    def part(self, state: State, moves: list[Move]) -> list[Move]:
        """Those of all moves that stand for all."""
        if len(moves) < 2 or state in self.whole:
            return moves
        key = (*state[:KNOWN], state[FAULTS])
        members = self.chosen.get(key)
        if members is None:
            members = self.chosen[key] = self.choice(state, moves)
        turns = self.system.turns[state[POOL]]
        return [m for m in moves if turns[m.turn].target in members] if members else moves

    def choice(self, state: State, moves: list[Move]) -> Members:
        """The persistent set with the fewest moves; nobody if there is none with fewer than all."""
        pool = self.system.pools[state[POOL]]
        if all(lane.link is Link.LATE for lane in pool):  # what one of them sends holds up the rest
            return NOBODY
        found, fewest = NOBODY, len(moves)
        mine = self.by_target(state, moves)
        for address in sorted(mine, key=lambda each: len(mine[each])):
            members = self.closed(state, mine, address, fewest)
            if members:
                found, fewest = members, sum(len(mine[each]) for each in members)
        return found

    def by_target(self, state: State, moves: list[Move]) -> dict[int, list[Move]]:
        """The moves of each actor that has some."""
        turns = self.system.turns[state[POOL]]
        found = defaultdict[int, list[Move]](list)
        for move in moves:
            found[turns[move.turn].target].append(move)
        return found

    def closed(
        self, state: State, mine: dict[int, list[Move]], address: int, below: int
    ) -> Members:
        """The actor and whoever has to be with it, if those have fewer moves than this."""
        members = {address}
        while sum(len(mine[each]) for each in members) < below:
            touch = self.touched(move.outcome for each in members for move in mine[each])
            other = self.in_the_way(state, members, touch)
            if other is None:
                return Members(members)
            members.add(other)
        return NOBODY

    def in_the_way(self, state: State, members: set[int], touch: Touch) -> int | None:
        """Somebody who has to be with them: of a message to him may come what they depend on.

        All that can come of the others' messages, taken as if each might come again, in any order, at any of the states
        its receiver can be in: more than can happen, and soon known.
        """
        quiet = 0 <= self.system.faults <= state[FAULTS]
        places, pool = self.system.places, self.system.pools[state[POOL]]
        links = {(lane.source, lane.target) for lane in pool}
        roots: dict[tuple[int, int], int] = {}  # (who, message) -> of whose message it comes
        messages, states = defaultdict[int, set[int]](set), defaultdict[int, set[int]](set)
        todo: list[tuple[int, int, int]] = []  # (who, his state, message)

        def coming(target: int, message: int, root: int) -> None:
            if message not in messages[target]:
                messages[target].add(message)
                roots[target, message] = root
                states[target].add(state[places[target]])
                todo.extend((target, at, message) for at in states[target])

        for lane in pool:
            if lane.target not in members and lane.link is not Link.LATE:
                for message in lane.messages:
                    coming(lane.target, message, lane.target)
        while todo:
            who, at, message = todo.pop()
            doing = self.doing(at, message, quiet)
            if doing is None:
                continue
            root = roots[who, message]
            if clash(touch, doing.touch):
                return root
            for target, sent in doing.sent:
                if target not in members:
                    coming(target, sent, root)
                elif (who, target) not in links:
                    return root
            for after in doing.afters:
                if after not in states[who]:
                    states[who].add(after)
                    todo.extend((who, after, each) for each in messages[who])
        return None

    def doing(self, at: int, message: int, quiet: bool) -> Doing | None:
        """What is known to come of it; `quiet`: no more faults strike. None if nobody has met it."""
        key = at, message, quiet
        if key not in self.doings:
            outcomes = self.system.locals.steps.get((at, message))
            self.doings[key] = self.summed(outcomes, quiet) if outcomes else None
        return self.doings[key]

    def summed(self, outcomes: Iterable[Outcome], quiet: bool) -> Doing:
        """All of it. Timers of the patient do not fire while anything else is in flight."""
        some = [each for each in outcomes if not (quiet and each.struck)]
        patient = self.system.late is Link.LATE
        sent = dict.fromkeys(
            each
            for one in some
            for each in (*one.sent, *one.timers, *(() if patient else one.late))
        )
        afters = dict.fromkeys(each.after for each in some)
        return Doing(tuple(afters), tuple(sent), self.touched(some))

    def touched(self, outcomes: Iterable[Outcome]) -> Touch:
        """By the facts of all of them."""
        reads = writes = 0
        for outcome in outcomes:
            if outcome.facts:
                touch = self.system.watch.touched(outcome.facts)
                reads, writes = reads | touch.reads, writes | touch.writes
        return Touch(reads, writes)


def clash(one: Touch, other: Touch) -> bool:
    """Does it matter which of them comes first?"""
    return bool(one.writes & (other.reads | other.writes) or one.reads & other.writes)
