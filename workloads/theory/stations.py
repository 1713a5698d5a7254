"""Actors of queueing models: sources, desks and machines, with nothing of what gmemsim is about in them.

A desk for one is a lock of the model's own (actors.locks.lock); one for several has a queue like it. Desks tell who
comes, waits and goes by the facts that every lock tells.
"""

from typing import ClassVar

import msgspec

from actors.contract import Actor, Context, Message, Observation
from actors.locks.lock import RwLock, Told, Waiter

DESK = Told("desk")


class Job(Message, frozen=True, tag=273):
    """A customer comes to a desk, or home again; so many visits are left, this one included."""

    customer: int
    home: int
    visits: int


class Due(Message, frozen=True, tag=274):
    """To oneself: the next customer comes, or a machine fails."""


class Served(Message, frozen=True, tag=275):
    """To oneself: the service of whoever has this ticket is over, which has taken so long."""

    ticket: int
    took: int


class Passed(Observation, frozen=True, tag=273):
    """A customer leaves a desk, after such a wait and service (ns)."""

    desk: int
    customer: int
    wait: int
    took: int


class Servers(msgspec.Struct):
    """A queue before several servers, to be used as an RwLock is: first come, first served."""

    free: int
    queue: list[Waiter] = []
    since: dict[int, int] = {}

    def take(self, ticket: int, exclusive: bool, now: int) -> bool:
        """Serve at once (True) or queue."""
        if self.free:
            self.free -= 1
            self.since[ticket] = now
            return True
        self.queue.append(Waiter(ticket, exclusive, now))
        return False

    def drop(self, ticket: int) -> list[Waiter]:
        """A server is free; returns who has it now."""
        del self.since[ticket]
        if not self.queue:
            self.free += 1
            return []
        waiter = self.queue.pop(0)
        self.since[waiter.ticket] = waiter.since
        return [waiter]


class Source(Actor):
    """Sends `left` customers to a desk, at intervals of the cost `interarrival`."""

    desk: int
    left: int
    sent: int = 0

    def on_due(self, _: Due, context: Context) -> None:
        """The next one."""
        context.send(self.desk, Job(self.sent, 0, 1), context.link)
        self.sent += 1
        self.left -= 1
        if self.left:
            context.after(context.cost("interarrival"), Due())

    HANDLERS: ClassVar = {Due: on_due}


class Desk(Actor):
    """Serves by its own cost; a customer goes on to `then`, or home (0: nowhere) where that is 0.

    Where customers go round (`then` leads back), this is the desk that counts their visits, if it is to `count`.
    """

    number: int
    cost: str
    line: RwLock | Servers
    then: int = 0
    count: bool = False
    came: int = 0
    jobs: dict[int, Job] = {}

    def on_job(self, job: Job, context: Context) -> None:
        """One more."""
        ticket = self.came
        self.came += 1
        self.jobs[ticket] = job
        if DESK.take(self.line, self.number, ticket, True, context):
            self.serve(ticket, context)

    def serve(self, ticket: int, context: Context) -> None:
        """It is this one's turn."""
        took = context.cost(self.cost)
        context.after(took, Served(ticket, took))

    def on_served(self, message: Served, context: Context) -> None:
        """The next in the queue, and this one goes on."""
        job = self.jobs.pop(message.ticket)
        spent = context.now - self.line.since[message.ticket]
        context.observe(Passed(self.number, job.customer, spent - message.took, message.took))
        for waiter in DESK.drop(self.line, self.number, message.ticket, context):
            self.serve(waiter.ticket, context)
        left = job.visits - self.count
        target = self.then or job.home
        if target and left:
            context.send(target, Job(job.customer, job.home, left), context.link)

    HANDLERS: ClassVar = {Job: on_job, Served: on_served}


class Machine(Actor):
    """Works for the cost `up`, fails, is repaired at a desk; so often."""

    number: int
    own: int
    desk: int
    repairs: int

    def on_job(self, _: Job, context: Context) -> None:
        """Repaired, or new."""
        if self.repairs:
            self.repairs -= 1
            context.after(context.cost("up"), Due())

    def on_due(self, _: Due, context: Context) -> None:
        """It fails."""
        context.send(self.desk, Job(self.number, self.own, 1), context.link)

    HANDLERS: ClassVar = {Job: on_job, Due: on_due}
