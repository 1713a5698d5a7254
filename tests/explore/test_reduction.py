"""Orders that are left out change no answer; what would be wrong to leave out is not."""

from typing import ClassVar

import pytest

from actors.contract import Actor, Context, Message
from actors.observations import GuestPanicked
from actors.protocols import PROTOCOLS
from cluster.explore import Blind, Reduction, System, Touch, passes
from cluster.explore import reduction as module
from tests.explore.explorations import THERE, at, looked_through, modelled


class Go(Message, frozen=True, tag=1):
    pass


class Word(Message, frozen=True, tag=2):
    said: int


class Speaker(Actor):
    """Once told to go, says its word to somebody and reports it; `late`: after a while."""

    word: int
    to: int = -1
    late: bool = False
    reports: bool = False

    def on_go(self, message: Go, context: Context) -> None:
        if self.late:
            self.late = False
            context.after(1 << 20, message)
            return
        if self.reports:
            context.observe(GuestPanicked(self.word))
        if self.to >= 0:
            context.send(self.to, Word(self.word), 1)

    def on_word(self, _: Word, context: Context) -> None:
        pass

    HANDLERS: ClassVar = {Go: on_go, Word: on_word}


class Listener(Actor):
    """Remembers the words in the order in which they came."""

    heard: list[int] = []

    def on_word(self, message: Word, context: Context) -> None:
        self.heard.append(message.said)

    HANDLERS: ClassVar = {Word: on_word}


class Hears(Blind):
    """Knows which word was reported first, as a number; each word is in one cell."""

    learned = 0

    def __init__(self, touches=1):
        self.touches = touches

    def step(self, known, facts):
        return known * 10 + facts[0].vm, (f"{known}, {facts[0].vm}",)

    def touched(self, facts):
        return Touch(self.touches, self.touches)


def searched(actors, watch=None, reduced=True):
    system = System(
        actors, [(at, Go()) for at, a in actors.items() if isinstance(a, Speaker)], watch=watch
    )
    for search in passes(system, reduction=Reduction(system) if reduced else None):
        search.run()
    return search


def ends(search):
    """All actors as they are where nothing more happens, and what the watch knows then."""
    system = search.system
    return {
        (*(str(system.actor(search.states[n], a)) for a in system.addresses), search.states[n][-2])
        for n in search.ends
    }


def test_what_nobody_can_tell_apart_is_looked_at_in_one_order():
    actors = {each: Speaker(each) for each in range(4)}
    assert searched(actors).distinct == 5
    assert searched(actors, reduced=False).distinct == 16


def test_who_is_heard_first_is_tried_either_way():
    search = searched({0: Listener(), 1: Speaker(1, 0), 2: Speaker(2, 0)})
    assert len(search.ends) == 2
    assert ends(search) == ends(
        searched({0: Listener(), 1: Speaker(1, 0), 2: Speaker(2, 0)}, reduced=False)
    )


def test_who_is_told_by_another_one_waits_for_it():
    """The listener has a message, and may get another one first from who was not told to speak yet."""
    actors = {0: Listener(), 1: Speaker(1, 0), 2: Speaker(2, 3), 3: Speaker(3, 0)}
    assert ends(searched(actors)) == ends(searched(actors, reduced=False))


def test_reports_that_touch_the_same_are_tried_either_way():
    actors = {each: Speaker(each, reports=True) for each in (1, 2)}
    search = searched(actors, Hears())
    assert set(search.shown) == {"0, 1", "0, 2", "1, 2", "2, 1"}


def test_reports_that_touch_nothing_in_common_are_not():
    class Apart(Hears):
        def touched(self, facts):
            return Touch(1 << facts[0].vm, 1 << facts[0].vm)

    actors = {each: Speaker(each, reports=True) for each in (1, 2)}
    assert len(searched(actors, Apart()).ends) == 1


def test_patience_that_ends_twice_is_tried_either_way():
    """Who loses patience first and speaks is heard before the other one's patience ends."""
    actors = {0: Listener(), 1: Speaker(1, 0, late=True), 2: Speaker(2, 0, late=True)}
    found = ends(searched(actors))
    assert len(found) == 2
    assert found == ends(searched(actors, reduced=False))


# A protocol, and points at which it may fail: cases that differ in what they show.
CASES = [
    ("two-phase", ("tdx.track_busy", "pins.private")),
    ("two-phase-refcount", ("tdx.bug",)),
    ("failable-notifier", ("gmem.tree",)),
    ("undo", ("tdx.bug", "gmem.work")),
    ("in-place", ("tdx.bug",)),
]


@pytest.mark.parametrize(("protocol", "points"), CASES)
def test_answers_are_those_of_every_order(protocol, points):
    model = modelled(THERE, at(*points), protocol=protocol)
    fewer, every = looked_through(model, reduced=True), looked_through(model)
    assert fewer.answers == every.answers
    assert {*fewer.search.states} < {*every.search.states}
    assert 2 * fewer.search.distinct < every.search.distinct


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_answers_in_smallest_are_those_of_every_order(protocol):
    model = modelled(protocol=protocol)
    assert looked_through(model, reduced=True).answers == looked_through(model).answers


def test_timeouts_at_any_time_are_tried_either_way():
    model = modelled(THERE, "fault=[]", patient=False)
    assert looked_through(model, reduced=True).answers == looked_through(model).answers


def test_a_reduction_that_forgets_who_may_send_is_noticed(monkeypatch):
    model = modelled(THERE, at("tdx.bug"), protocol="in-place")
    every = looked_through(model)
    monkeypatch.setattr(Reduction, "in_the_way", lambda *_: None)
    assert looked_through(model, reduced=True).answers != every.answers


def test_a_reduction_that_forgets_the_checkers_is_noticed(monkeypatch):
    monkeypatch.setattr(module, "clash", lambda *_: False)
    actors = {each: Speaker(each, reports=True) for each in (1, 2)}
    assert len(searched(actors, Hears()).shown) == 2
