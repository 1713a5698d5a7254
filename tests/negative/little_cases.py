"""Slips in a queue, or in what is told of it: each breaks Little's law there, by customers or by nanoseconds."""

from collections.abc import Callable
from typing import NamedTuple

from pytest import MonkeyPatch

from actors.fleet import controller
from actors.iommu import queue as iommu_queue
from actors.locks import lock as locks
from actors.locks.lock import RwLock, Waiter
from actors.locks.observations import LockLeft, LockWaited
from actors.observations import TlbFlushed
from actors.tdx import module as tdx_module
from actors.vmm import process as vmm
from cluster.cell import Cell
from tests.negative.fleet_cases import ARRIVING

Patch = MonkeyPatch


def told_otherwise(patch: Patch, module, name: str, **changes) -> None:
    """The module's facts of this kind have other values than they should."""
    kind = getattr(module, name)

    def tell(*fields):
        fact = kind(*fields)
        values = {field: getattr(fact, field) for field in kind.__struct_fields__}
        return kind(**{**values, **{field: change(values) for field, change in changes.items()}})

    patch.setattr(module, name, tell)


def lose_a_waiter(patch: Patch) -> None:
    """The queue of a lock forgets the last one in it, once."""
    drop, lost = RwLock.drop, list[Waiter]()

    def forget(lock: RwLock, ticket: int) -> list[Waiter]:
        if lock.queue and not lost:
            lost.append(lock.queue.pop())
        return drop(lock, ticket)

    patch.setattr(RwLock, "drop", forget)


def wait_told_twice(patch: Patch) -> None:
    """Every wait at a lock is reported twice."""
    observe = Cell.observe

    def twice(cell: Cell, fact) -> None:
        observe(cell, fact)
        if isinstance(fact, LockWaited) and fact.lock == "ilock":
            observe(cell, fact)

    patch.setattr(Cell, "observe", twice)


def wait_counted_twice(patch: Patch) -> None:
    """A wait is reported as twice as long."""
    told_otherwise(patch, locks, "LockWaited", wait=lambda f: 2 * f["wait"])


def wrong_start(patch: Patch) -> None:
    """Who waits is noted a nanosecond too early."""
    patch.setattr(
        "actors.locks.lock.Waiter",
        lambda ticket, exclusive, now: Waiter(ticket, exclusive, now - 1),
    )


def holder_since_it_was_granted(patch: Patch) -> None:
    """Who is granted the lock is taken to have asked for it then: its wait is forgotten."""
    grant = RwLock._grant

    def late(lock: RwLock, ticket: int, exclusive: bool, since: int) -> None:
        grant(lock, ticket, exclusive, max(since, 1_000_000))

    patch.setattr(RwLock, "_grant", late)


def dropped_untold(patch: Patch) -> None:
    """mmu_lock is given back and nobody hears of it, once in a run."""
    once: list[int] = []

    def tell(vm: int, lock: str, op: int, took: int):
        if lock == "mmu_lock" and not once:
            once.append(vm)
            return TlbFlushed(vm, -1)
        return LockLeft(vm, lock, op, took)

    patch.setattr(locks, "LockLeft", tell)


def queue_of_the_dead(patch: Patch) -> None:
    """A VMM that dies does not say that its queue is gone."""
    told_otherwise(patch, vmm, "LockLeft", took=lambda f: f["took"] + f["waits"])


def killed_with_the_lock(patch: Patch) -> None:
    """The lock that a killed VMM had is told to have been held a nanosecond longer."""
    asked = vmm.Vmm.queued_at

    def earlier(self: vmm.Vmm, number: int) -> int:
        return asked(self, number) - (number == self.current)

    patch.setattr(vmm.Vmm, "queued_at", earlier)


def late_request(patch: Patch) -> None:
    """A request's latency runs from another time than it was due."""
    told_otherwise(patch, vmm, "Requested", late=lambda f: f["late"] + 1)


def iotlb_waits_longer(patch: Patch) -> None:
    """An invalidation says that it waits for somebody who is not there."""
    told_otherwise(patch, iommu_queue, "IotlbQueued", wait=lambda f: f["wait"] + 1)


def iotlb_overtakes(patch: Patch) -> None:
    """The unit is taken to be free while it is still busy."""
    told_otherwise(patch, iommu_queue, "IotlbQueued", busy=lambda f: f["busy"] + 10_000)


def aug_does_not_wait(patch: Patch) -> None:
    """An AUG says that nobody is before it."""
    told_otherwise(patch, tdx_module, "AugQueued", wait=lambda _: 0)


def placed_later(patch: Patch) -> None:
    """The controller forgets a nanosecond of a request's wait."""
    told_otherwise(patch, controller, "RequestMoved", since=lambda f: max(f["since"] - 1, 0))


CHURN = ("scenario.conversions=120", "fleet.hosts=1", "fleet.vms_per_host=3")
BOOT = (
    *("fleet.hosts=1", "fleet.vms_per_host=1", "vm.memory=64MiB", "vm.start=unaccepted"),
    'workload=[{kind="boot",swiotlb_min="4MiB",swiotlb_max="4MiB",accept="8MiB",accept_vcpus=4,'
    "firmware_conversions=5}]",
    *("vm.accept_level=4k", "vm.vcpus=8"),
)
KILLS = (*CHURN, 'fault=[{point="vmm.kill",probability=2e-4}]')
ARRIVE = (
    *(*ARRIVING, "vm.memory=8MiB", "fleet.hosts=2", "fleet.generations=16"),
    *("arrivals.kind=poisson", "arrivals.rate=1000", "arrivals.boots=2"),
)


class Case(NamedTuple):
    """What is broken where, by what, in which run."""

    queue: str
    bug: Callable[[Patch], None]
    keys: tuple[str, ...] = CHURN
    ids: str = "L12"


CASES = [
    Case("mmu_lock", lose_a_waiter),
    Case("ilock", wait_told_twice),
    Case("ilock", wait_counted_twice),
    Case("ilock", wrong_start),
    Case("ilock", holder_since_it_was_granted),
    Case("mmu_lock", dropped_untold),
    Case("vmm", queue_of_the_dead, KILLS),
    Case("vmm", killed_with_the_lock, KILLS),
    Case("requests", late_request),
    Case("iommu_queue", iotlb_waits_longer),
    Case("iommu_queue", iotlb_overtakes),
    Case("tdx_aug", aug_does_not_wait, BOOT),
    Case("admission", placed_later, ARRIVE),
]
