"""A small fleet in one process, every host of it, for tests of what goes on between hosts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from actors.contract import Message
from cluster.cell import Cell
from cluster.costs import Cost, CostModel, floor_of
from cluster.partition import Order, Partition
from cluster.placement import packed
from cluster.world import World as Built
from tests.helpers import Notebook, Of, plan_of
from workloads.checkers import Inspector
from workloads.fleet import build
from workloads.plan import ENCODER

# Six VMs come to three hosts at once and stay; host 1 is emptied at 10 ms.
MOVING = (
    "fleet.hosts=3",
    "fleet.vms_per_host=4",
    "fleet.reuse=readmit",
    "fleet.generations=4",
    "vm.start=unaccepted",
    "vm.memory=8MiB",
    "vm.vcpus=4",
    "vm.busy_vcpus=2",
    "arrivals.kind=closed",
    "arrivals.population=6",
    "arrivals.lifetime=10s",
    "arrivals.pause=1ms",
    "moves.kind=evacuate",
    "moves.hosts=1",
    "moves.at=10ms",
    "moves.away=5ms",
    "moves.pause=2ms",
    "scenario.duration=60ms",
    'workload=[{kind="churn",think="300us",size_mean="256KiB"}]',
    'costs.override={"boot_fixed"="1ms","hkid_reclaim"="300us"}',
)

# What a VM of 8 MiB can be asked for, a little of each kind.
LOADS = {
    "churn": "think='3ms'",
    "boot": "swiotlb_min='2MiB',firmware_conversions=20,accept='4MiB'",
    "hot-range": "vcpus=2,pace='open',rate=200",
    "hostile": "pause='3ms',think='3ms'",
    "dma-storm": "pool='2MiB',dma_rate=2000,think='3ms'",
    "notifier-storm": "pool='4MiB',rate=200,think='3ms'",
    "pin-holders": "pool='4MiB',think='3ms'",
    "memory-pressure": "pace='open',conversion_rate=200",
    "memory-failure": "pace='open',conversion_rate=200,rate=1",
    "balloon": "size='4MiB',pace='open',rate=300,rounds=6,conversion_rate=200",
    "sweep": "passes=200,window='2MiB',writers=1,write_rate=500",
    "shutdown": "shared='2MiB',uptime='300ms'",
    "script": f"lanes=['{', '.join(['use 0B+4KiB', 'private 0B+4KiB'] * 100)}'],pace='open',rate=200",
}
# A script names addresses, where others may have their memory.
ALL_KINDS = ",".join(
    f"{{kind='{kind}',{keys}}}" for kind, keys in LOADS.items() if kind != "script"
)
MIXED = (
    *MOVING,
    f"workload=[{ALL_KINDS}]",
    "vm.devices=1",
    "moves.kind=poisson",
    "moves.rate=200",
    "arrivals.population=9",
    "arrivals.lifetime=50ms",
    "fleet.generations=16",
)

Seen = Callable[[int, int, int, Message], None]
"""Told of every message when it is handled: time, sender, receiver, message."""


class Fleet:
    """All hosts in one partition, as in a run on one worker. Durations are their means without `spread`."""

    def __init__(self, *overrides: str, spread: bool = True) -> None:
        self.plan = plan_of(overrides)
        self.notebook = Notebook()

        def built(encoded: bytes, hosts: Any) -> Built:
            world = build(encoded, hosts)
            world.watchers = {"notebook": self.notebook, **world.watchers}
            if not spread:
                flat = (Cost(cost.name, cost.mean, 0.0) for cost in self.plan.costs)
                world.costs = CostModel({cost.name: cost for cost in flat})
            return world

        hosts = self.plan.scenario.fleet.hosts
        self.partition = Partition(built, ENCODER.encode(self.plan), packed(hosts, 1))
        self.lookahead = floor_of({cost.name: cost for cost in self.plan.costs}, "network")
        inspector = self.partition.world.watchers["inspector"]
        assert isinstance(inspector, Inspector)
        self.inspector = inspector

    def run(self) -> None:
        """To the end, window by window."""
        hosts = self.partition.hosts.values()
        while due := [at for host in hosts if (at := host.next_time()) is not None]:
            self.partition.advance(Order(min(due) + self.lookahead, 1e9))

    def actor(self, address: int) -> Any:
        """By address."""
        for host in self.partition.hosts.values():
            if address in host.cells:
                return host.cells[address].actor
        raise KeyError(address)

    def actors(self, kind: type[Of]) -> list[Of]:
        """All of one kind."""
        hosts = self.partition.hosts.values()
        cells = (cell for host in hosts for cell in host.cells.values())
        return [cell.actor for cell in cells if isinstance(cell.actor, kind)]

    def of(self, kind: type[Of]) -> list[Of]:
        """Every fact of one kind, in order of time."""
        facts = sorted(self.notebook.facts, key=lambda told: told[0])
        return [fact for _, fact in facts if isinstance(fact, kind)]

    @property
    def found(self) -> set[str]:
        """Ids of the checks that fired, and of those that do if nothing more happens."""
        return {*self.inspector.counts, *(finding[1] for finding in self.inspector.open())}

    @contextmanager
    def followed(self, seen: Seen) -> Iterator[None]:
        """Meanwhile `seen` is told of every message, after it is handled."""
        senders: dict[
            int, tuple[int, Message]
        ] = {}  # with the message, or its id could be another's
        own = Cell.send

        def send(cell: Cell, target: int, message: Message, delay: int) -> None:
            senders[id(message)] = (cell.address, message)
            own(cell, target, message, delay)

        for host in self.partition.hosts.values():
            for cell in host.cells.values():
                cell.handlers = {
                    kind: telling(handler, senders, seen) for kind, handler in cell.handlers.items()
                }
        Cell.send = send  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            Cell.send = own  # type: ignore[method-assign]


def telling(own: Any, senders: dict[int, tuple[int, Message]], seen: Seen) -> Any:
    """A handler that tells of the message; who has sent it, unless it is a timer, is known by then."""

    def handle(actor: Any, message: Message, cell: Cell) -> None:
        sender, known = senders.get(id(message), (cell.address, message))
        own(actor, message, cell)
        seen(cell.now, sender if known is message else cell.address, cell.address, message)

    return handle
