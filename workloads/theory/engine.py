"""A queueing model on the engine as it is: one host, the local executor, and a notebook of what its desks tell."""

from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from actors.contract import Actor, Message
from actors.locks.observations import LockAsked, LockLeft, LockWaited
from cluster import run as engine
from cluster.costs import Cost, CostModel
from cluster.drive import Unwatched
from cluster.faults import FaultPlan
from cluster.run import Executor, Fleet
from cluster.world import World
from workloads.queues import Clock, Station
from workloads.theory.stations import Passed

LINK_NS = 1
"""The way from one actor to the next. A unit of service is 10^9 of it, so it is nothing beside any tolerance."""
First = Sequence[tuple[int, int, Message]]


class Book:
    """What one desk has told, by customer in the order in which they left; `station` is by the engine's clock."""

    def __init__(self) -> None:
        self.customers, self.waits, self.services, self.left = (array("q") for _ in range(4))
        self.came = array("q")  # in the order in which they came
        self.station = Station(Clock())

    @property
    def spent(self) -> list[int]:
        """Time at the desk, by customer in the order in which they left, ns."""
        return [wait + took for wait, took in zip(self.waits, self.services, strict=True)]


class Notebook:
    """See cluster.world.Watcher."""

    def __init__(self, desks: int) -> None:
        self.books = [Book() for _ in range(desks)]

    def watches(self) -> Mapping[type, Callable[[int, Any], None]]:
        """See cluster.world.Watcher."""
        return {
            LockAsked: self.asked,
            LockWaited: self.waited,
            LockLeft: self.leaves,
            Passed: self.passed,
        }

    def asked(self, now: int, fact: LockAsked) -> None:
        book = self.books[fact.vm]
        book.came.append(now)
        book.station.join(now, fact.waits)

    def waited(self, now: int, fact: LockWaited) -> None:
        self.books[fact.vm].station.start(now, fact.wait)

    def leaves(self, now: int, fact: LockLeft) -> None:
        self.books[fact.vm].station.leave(now, fact.took)

    def passed(self, now: int, fact: Passed) -> None:
        book = self.books[fact.desk]
        book.customers.append(fact.customer)
        book.waits.append(fact.wait)
        book.services.append(fact.took)
        book.left.append(now)

    def result(self) -> int:
        """See cluster.world.Watcher; the books are read where they are."""
        return len(self.books)

    def so_far(self) -> int:
        """See cluster.world.Watcher."""
        return self.result()


def perform(
    actors: Mapping[int, Actor], first: First, costs: Sequence[Cost], desks: int, seed: int
) -> list[Book]:
    """Run it until nobody has anything left to do; the desks' books."""
    notebook = Notebook(desks)
    named = {cost.name: cost for cost in (*costs, Cost("link", LINK_NS, 0.0))}

    def build(_: bytes, hosts: Sequence[int]) -> World:
        return World(
            seed=seed,
            actors=dict.fromkeys(hosts, actors),
            first=first,
            costs=CostModel(named),
            faults=FaultPlan(seed, []),
            watchers={"notebook": notebook},
        )

    outcome = engine.run(Fleet(build, b"", 1), Executor(), lambda *_: b"", Unwatched())
    assert outcome.finished, "nothing stops it"
    return notebook.books
