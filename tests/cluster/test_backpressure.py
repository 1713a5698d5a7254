"""What waits in memory for a partition is bounded: messages on their way, and orders kept for a worker that is lost."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import pytest

from actors.address import TDX, host_address
from actors.contract import Actor, Context, Message
from cluster.costs import Cost, CostModel
from cluster.drive import Driver
from cluster.faults import FaultPlan
from cluster.keeping import Keeper, Saved
from cluster.lasting import Lasting
from cluster.local import LocalHandle, first_of
from cluster.pace import Pace
from cluster.partition import Partition
from cluster.placement import packed
from cluster.world import World
from tests.runs import Silent

LOOKAHEAD = 1_000_000
EVERY = 1_000  # ns between two messages
MESSAGES = 20_000
IN_A_WINDOW = LOOKAHEAD // EVERY
PLACES = packed(2, 2)


class Tick(Message, frozen=True, tag=1):
    """Send the next one."""


class Word(Message, frozen=True, tag=2):
    """One of many."""

    number: int


class Talker(Actor):
    """Sends to the other host, whoever listens there and however slowly."""

    sent: int = 0

    def on_tick(self, message: Tick, context: Context) -> None:
        """One more."""
        context.send(host_address(1) | TDX, Word(self.sent), LOOKAHEAD)
        self.sent += 1
        if self.sent < MESSAGES:
            context.after(EVERY, message)

    HANDLERS: ClassVar = {Tick: on_tick}


class Hearer(Actor):
    """Counts."""

    heard: int = 0

    def on_word(self, message: Word, _: Context) -> None:
        """In their order."""
        assert message.number == self.heard
        self.heard += 1

    HANDLERS: ClassVar = {Word: on_word}


def build(_: bytes, hosts: Sequence[int]) -> World:
    """See cluster.world.Build."""
    return World(
        seed=1,
        actors={host: {host_address(host) | TDX: (Talker, Hearer)[host]()} for host in hosts},
        first=[(1, host_address(0) | TDX, Tick())] if 0 in hosts else [],
        costs=CostModel({"link": Cost("link", 200, 0)}),
        faults=FaultPlan(1, []),
        types=(Word,),
    )


class Weighed(Lasting[LocalHandle]):
    """Remembers the largest order that it was given, and the most that it kept of them, in bytes."""

    largest = most = 0

    def begin(self, order):
        super().begin(order)
        self.largest = max(self.largest, sum(map(len, order.inbound)))
        self.most = max(self.most, self.logged)


def driven(lookahead=LOOKAHEAD, keeper=None):
    """The partition that is talked to, and what the driver counted."""

    def worker(place):
        return LocalHandle(Partition(build, b"", PLACES, place))

    handles = [Weighed(f"h{n}", worker(n), partial(worker, n)) for n in range(2)]
    driver = Driver(
        handles, lookahead, lambda *_: b"", first_of, Silent(), Pace(0.2), keeper=keeper
    )
    assert driver.run()
    return handles[1], driver.totals


@pytest.fixture(scope="module")
def a_window():
    """Bytes that are sent in one window, with something to spare."""
    return 1.1 * driven()[0].largest


def test_who_talks_is_no_more_than_a_window_ahead_of_who_listens(a_window):
    hearer, totals = driven()
    assert (totals.cross_messages, totals.windows) == (MESSAGES, MESSAGES // IN_A_WINDOW + 1)
    assert hearer.largest < IN_A_WINDOW * 40


@pytest.mark.parametrize("windows", [5, MESSAGES // IN_A_WINDOW])
def test_a_driver_that_lets_it_run_further_is_found_out(windows, a_window):
    """The planted bug: a horizon beyond what the links allow."""
    assert driven(lookahead=windows * LOOKAHEAD)[0].largest > 4 * a_window


def test_orders_that_are_kept_for_a_loss_are_bounded(monkeypatch, a_window):
    monkeypatch.setattr("cluster.keeping.LOGGED_MAX", 3 * a_window)
    keeper = Keeper(None, 0.0, Saved(b"", PLACES))
    hearer, totals = driven(keeper=keeper)
    assert hearer.most <= 5 * a_window
    assert totals.checkpoints >= 4


def test_without_that_bound_they_are_all_of_them(a_window):
    """The planted bug: nobody asks how much there is."""
    assert driven()[0].most > 10 * a_window
