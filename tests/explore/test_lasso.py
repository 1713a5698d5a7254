"""What never comes: cycles are found as cycles, fair ones alone."""

from typing import ClassVar

import pytest

from actors.contract import Actor, Context, Fault, Message, Reason
from actors.observations import GuestPanicked
from cluster.explore import Blind, NoChances, Search, System, choices_of, lassos


class Ball(Message, frozen=True, tag=1):
    pass


class Whistle(Message, frozen=True, tag=2):
    pass


class Player(Actor):
    """Throws the ball back until somebody whistles; `tired`: or may be too tired to (a fault)."""

    other: int
    over: bool = False
    tired: bool = False

    def on_ball(self, _: Ball, context: Context) -> None:
        if self.over:
            return
        if self.tired and context.choose("tired") is None:
            context.observe(GuestPanicked(0))
            return
        context.send(self.other, Ball(), 1)

    def on_whistle(self, _: Whistle, context: Context) -> None:
        self.over = True
        context.observe(GuestPanicked(0))

    HANDLERS: ClassVar = {Ball: on_ball, Whistle: on_whistle}


class Open(Blind):
    """The game is open until anything is reported."""

    def step(self, known, facts):
        return 1, ()

    def open(self, known):
        return () if known else ("game",)


class Tiredness(NoChances):
    def outcomes(self, point, count, key, span, places):
        return (None, Fault(Reason.BUSY, 0))


def searched(*players, whistle=False, chance=None):
    actors = dict(enumerate(players))
    first = [(0, Ball()), *([(1, Whistle())] if whistle else [])]
    search = Search(System(actors, first, chance, Open()))
    search.run()
    return search


def test_a_game_without_end_is_a_cycle():
    search = searched(Player(1), Player(0))
    (found,) = lassos(search)
    assert (found.names, len(found.cycle), search.ends) == (("game",), 2, [])


def test_the_cycle_leads_back_to_where_it_began():
    search = searched(Player(1), Player(0))
    (found,) = lassos(search)
    state = start = search.states[found.state]
    for step in found.cycle:
        state = next(m.state for m in search.system.moves(state) if (m.turn, m.choice) == step)
    assert state == start
    assert choices_of(search.system, search.way(found.state)) == []


def test_a_cycle_that_never_gives_a_message_its_turn_is_not_fair():
    search = searched(Player(1), Player(0), whistle=True)
    assert list(lassos(search)) == []
    assert len(search.ends) == 1


def test_a_cycle_that_takes_fault_after_fault_is_none():
    assert list(lassos(searched(Player(1, tired=True), Player(0), chance=Tiredness()))) == []


@pytest.mark.parametrize("over", [True, False])
def test_where_nothing_is_open_nothing_is_missed(over):
    search = searched(Player(1, over=over), Player(0))
    assert bool(list(lassos(search))) == (not over)
