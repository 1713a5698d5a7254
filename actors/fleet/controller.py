"""The controller of a fleet: where arriving VMs go. One actor, on a machine of its own as far as delays go.

It knows of a host what the host said last, less what it has itself asked for since: over the network, so that it is
late. The host decides (host_agent.py). One that says no is asked again only once something has happened there.
"""

from bisect import insort
from collections.abc import Callable
from typing import ClassVar, Protocol

from actors.address import AGENT, host_address, host_of
from actors.contract import Actor, Context
from actors.fleet import messages as f
from actors.fleet.messages import No
from actors.fleet.observations import RequestMoved, Stage


class Arrivals(Protocol):
    """Who comes when, and for how long: pure functions of an arrival's number, from 0."""

    again: int
    """ns after which a VM that is gone is asked for anew; 0 where nobody does."""

    def wait(self, number: int) -> int | None:
        """ns from the arrival before it, or from the beginning; None when it does not come of its own."""

    def lifetime(self, number: int) -> int:
        """ns from the end of its boot to its departure."""


class Controller(Actor):
    """`free` is by host what it has said last, `asked` how many answers it owes, `shut` who has said no since.

    `queue` has requests that no host has been found for, in the order in which they came; `came` is when.
    """

    arrivals: Arrivals
    policy: str
    until: int  # ns: nobody is placed from then on
    room: int  # requests that may wait
    free: list[int]
    asked: list[int]
    shut: list[int]
    queue: list[int] = []
    came: dict[int, int] = {}
    number: int = 0  # of the next arrival
    last: int = -1  # host that was asked last

    def on_arrive(self, message: f.Arrive, context: Context) -> None:
        """A request of its own, behind those that wait."""
        if context.now >= self.until:
            return
        number = self.number
        self.number += 1
        self.came[number] = context.now
        self.tell(number, Stage.CAME, 0, context)
        if message.following:
            self.expect(context)
        self.queue.append(number)
        self.serve(context)
        if number not in self.queue:
            return
        if len(self.queue) > self.room:
            self.queue.remove(number)
            self.tell(number, Stage.TURNED_AWAY, 0, context)
            del self.came[number]
        else:
            self.tell(number, Stage.QUEUED, 0, context)

    def expect(self, context: Context) -> None:
        """Set the timer for the next one that comes of its own."""
        wait = self.arrivals.wait(self.number)
        if wait is not None:
            context.after(max(1, wait), f.Arrive(following=True))

    def serve(self, context: Context) -> None:
        """The first that waits goes to the host that the policy prefers among those that may take it."""
        hosts = [host for host, free in enumerate(self.free) if self.may_take(host, free)]
        if not self.queue or not hosts or context.now >= self.until:
            return
        prefers = POLICIES[self.policy]
        host = min(hosts, key=lambda host: prefers(self, host))
        number = self.queue.pop(0)
        self.asked[host] += 1
        self.last = host
        self.tell(number, Stage.ASKED, host_address(host), context)
        ask = f.Place(number, self.arrivals.lifetime(number))
        context.send(host_address(host) | AGENT, ask, context.cost("network"))

    def may_take(self, host: int, free: int) -> bool:
        """As far as the controller knows."""
        return free > self.asked[host] and not self.shut[host]

    def on_placed(self, message: f.Placed, context: Context) -> None:
        """A host's answer. After a no the request is the first again, and another host is asked."""
        host, number = host_of(message.host), message.arrival
        self.asked[host] -= 1
        self.free[host] = message.free
        if message.no is No.NONE:
            self.tell(number, Stage.PLACED, message.vm, context)
            del self.came[number]
            return
        self.shut[host] = 1
        self.tell(number, Stage.REFUSED, message.host, context)
        insort(self.queue, number)
        self.serve(context)
        if number in self.queue:
            self.tell(number, Stage.QUEUED, 0, context)

    def on_news(self, message: f.HostNews, context: Context) -> None:
        """Room for one more on a host: so one more is sent out."""
        host = host_of(message.host)
        self.free[host] = message.free
        self.shut[host] = 0
        if message.left:
            self.tell(message.arrival, Stage.LEFT, message.host, context)
            if self.arrivals.again:
                context.after(self.arrivals.again, f.Arrive())
        self.serve(context)

    def tell(self, number: int, stage: Stage, place: int, context: Context) -> None:
        """What has become of a request."""
        since = context.now - self.came.get(number, context.now)
        context.observe(RequestMoved(number, stage, place, since))

    HANDLERS: ClassVar = {f.Arrive: on_arrive, f.Placed: on_placed, f.HostNews: on_news}


Prefers = Callable[[Controller, int], tuple[int, int]]
"""The host with the least is preferred."""

POLICIES: dict[str, Prefers] = {
    "first-fit": lambda _, host: (0, host),
    "least-loaded": lambda c, host: (c.asked[host] - c.free[host], host),
    "spread": lambda c, host: (0, (host - c.last - 1) % len(c.free)),
}
"""Hosts are alike, so the least loaded one has most places free; `spread` takes them in turn."""
