"""The event queue of a host: order within a nanosecond, and timers that are taken back."""

from typing import ClassVar

import pytest

from actors.address import TDX, host_address
from actors.contract import Actor, Context, Message
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
