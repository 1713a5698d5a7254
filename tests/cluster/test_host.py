"""The event queue of a host: order within a nanosecond, and timers that are taken back."""

import random
from typing import Any, ClassVar

import msgspec
import pytest

from actors.address import TDX, host_address
from actors.contract import Actor, Context, Message
from cluster.cell import Cell
from cluster.costs import Cost, CostModel
from cluster.faults import FaultPlan
from cluster.host import Host

ADDRESS = host_address(0) | TDX


class Bell(Message, frozen=True, tag=1):
    """A timer."""

    number: int


class Ringer(Actor):
    """The first bell that rings takes all the others back."""

    timers: list[int] = []
    rung: list[int] = []

    def on_bell(self, message: Bell, context: Context) -> None:
        """Note it, and silence the rest."""
        self.rung.append(message.number)
        for number, key in enumerate(self.timers):
            if number not in self.rung:
                context.cancel(key)

    HANDLERS: ClassVar = {Bell: on_bell}


def ringer(count: int, delay) -> tuple[Host, Ringer]:
    """A host whose one actor has set so many timers."""
    costs = CostModel({"link": Cost("link", 200, 0)})
    actor = Ringer()
    host = Host(0, {ADDRESS: actor}, 1, costs, FaultPlan(1, []), {})
    cell = host.cells[ADDRESS]
    actor.timers = [cell.after(delay(n), Bell(n)) for n in range(count)]
    return host, actor


@pytest.mark.parametrize("count", [2, 10, 400, 2000])
def test_a_timer_cancelled_in_its_own_nanosecond_does_not_fire(count):
    host, actor = ringer(count, lambda number: 5)
    host.run(1 << 40, 1 << 20)
    assert (len(actor.rung), host.handled) == (1, 1)
    assert host.next_time() is None


@pytest.mark.parametrize("count", [2, 10, 400, 2000])
def test_cancelled_timers_leave_the_queue_empty(count):
    host, actor = ringer(count, lambda number: 5 + number)
    host.run(1 << 40, 1 << 20)
    assert (actor.rung, host.next_time()) == ([0], None)
    assert (host.handled, host.now) == (1, 5)


class Rescuer(Actor):
    """Its first bell sends another one by the shortest way, and takes a timer back that is due before that."""

    timer: int = -1
    rung: list[tuple[int, int]] = []

    def on_bell(self, message: Bell, context: Context) -> None:
        """Note it with its time."""
        self.rung.append((context.now, message.number))
        if message.number == 0:
            context.send(ADDRESS, Bell(1), context.link)
            context.cancel(self.timer)

    HANDLERS: ClassVar = {Bell: on_bell}


@pytest.mark.parametrize("later", [300, 1 << 41])
def test_what_comes_the_shortest_way_is_not_overtaken_in_the_place_of_a_cancelled_timer(later):
    host, _ = ringer(0, int)
    actor = Rescuer()
    host.cells[ADDRESS] = cell = Cell(ADDRESS, actor, host)
    cell.after(5, Bell(0))
    actor.timer = cell.after(100, Bell(3))  # due while the bell of the lane is on its way
    cell.after(later, Bell(2))
    host.run(1 << 40, 100)
    assert actor.rung == [(5, 0), (205, 1), (300, 2)][: 3 if later == 300 else 2]


class Juggler(Actor):
    """Sends bells by long ways and by the shortest, sets timers, and takes every other one back."""

    left: int
    draws: Any
    timers: list[int] = []
    rung: list[int] = []

    def on_bell(self, bell: Bell, context: Context) -> None:
        """Note when; two more are to come, and one timer is not."""
        self.rung.append(context.now)
        for _ in range(2 if self.left > 0 else 0):
            self.left -= 1
            context.send(ADDRESS, Bell(1), self.draws.choice((1, 200, 201, 1000)))
            self.timers.append(context.after(self.draws.randrange(1, 1000), Bell(2)))
        if self.timers:
            context.cancel(self.timers.pop(self.draws.randrange(len(self.timers))))

    HANDLERS: ClassVar = {Bell: on_bell}


@pytest.mark.parametrize("seed", range(20))
def test_time_goes_on_whatever_is_taken_back(seed):
    host, _ = ringer(0, int)
    actor = Juggler(left=300, draws=random.Random(seed))
    host.cells[ADDRESS] = cell = Cell(ADDRESS, actor, host)
    cell.after(1, Bell(0))
    while host.run(host.now + 2000, 100):
        pass
    assert len(actor.rung) > 300 and actor.rung == sorted(actor.rung)


class Counter(Actor):
    """Counts its bells; one of them breaks it."""

    rung: list[int] = []
    broken: int = -1

    def on_bell(self, message: Bell, context: Context) -> None:
        """Note it."""
        if message.number == self.broken:
            raise ValueError("this bell is broken")
        self.rung.append(message.number)

    HANDLERS: ClassVar = {Bell: on_bell}


def counter(broken: int = -1) -> tuple[Host, Counter]:
    """A host whose one actor has nine bells to come, three in each of the nanoseconds 5, 6 and 7."""
    host, _ = ringer(0, int)
    actor = Counter(broken=broken)
    host.cells[ADDRESS] = cell = Cell(ADDRESS, actor, host)
    for number in range(9):
        cell.after(5 + number // 3, Bell(number))
    return host, actor


def to_come(host: Host) -> list[int]:
    """The numbers of all events in the queue, which are bells and nothing else."""
    return sorted(msgspec.to_builtins(message)[1] for *_, message in host.pending())


def test_a_run_ends_at_its_limit_once_the_nanosecond_is_over():
    host, actor = counter()
    assert [host.run(1 << 40, 4), len(actor.rung), host.now] == [6, 6, 6]
    assert to_come(host) == [6, 7, 8]
    assert [host.run(1 << 40, 4), host.run(1 << 40, 4), host.handled] == [3, 0, 9]


@pytest.mark.parametrize(
    ("horizon", "handled", "now"), [(5, 0, 0), (6, 3, 5), (7, 6, 6), (8, 9, 7)]
)
def test_what_is_due_at_the_horizon_waits(horizon, handled, now):
    host, actor = counter()
    assert (host.run(horizon, 100), len(actor.rung), host.now) == (handled, handled, now)
    assert len([*host.pending()]) == 9 - handled


def test_a_handler_that_fails_leaves_events_alone_in_the_queue():
    host, _ = counter(broken=4)
    with pytest.raises(ValueError, match="broken"):
        host.run(1 << 40, 100)
    assert to_come(host) == [6, 7, 8]
