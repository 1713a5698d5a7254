"""Who is in a queue by the actors' own states: what is left of Little's law where a run has not ended drained."""

from collections.abc import Iterable, Iterator

import msgspec

from actors.contract import Actor
from actors.fleet.controller import Controller
from actors.gmem.inode import Gmem
from actors.kvm.mmu import KvmMmu
from actors.locks.lock import RwLock
from actors.vmm.kill import Life
from actors.vmm.process import IDLE, Vmm

QUEUES = ("vmm", "ilock", "mmu_lock", "requests", "admission")
PARTS = ("inside", "due", "waiting", "due_waiting")
KEYS = tuple(f"{part}.{name}" for name in QUEUES for part in PARTS)


def inside(actors: Iterable[Actor]) -> dict[str, int]:
    """By part and queue: how many are inside and when they came (ns), in all; and of those who wait."""
    found = dict.fromkeys(KEYS, 0)
    for actor in actors:
        for name, since, waits in customers(actor):
            for part in PARTS if waits else PARTS[:2]:
                found[f"{part}.{name}"] += since if part.startswith("due") else 1
    return found


def customers(actor: Actor) -> Iterator[tuple[str, int, bool]]:
    """Whoever is in a queue of this actor's: which one, when it came, and whether it waits."""
    if isinstance(actor, Gmem):
        yield from at_lock("ilock", actor.ilock)
    elif isinstance(actor, KvmMmu):
        yield from at_lock("mmu_lock", actor.lock)
    elif isinstance(actor, Controller):
        yield from (("admission", came, True) for came in actor.came.values())
    elif isinstance(actor, Vmm):
        yield from (("requests", pending.since, False) for pending in actor.pending.values())
        yield from (("vmm", actor.queued_at(number), True) for number in actor.queue)
        killed = actor.life is not msgspec.UNSET and actor.life >= Life.KILLED
        if actor.current != IDLE and not killed:
            yield "vmm", actor.queued_at(actor.current), False


def at_lock(name: str, lock: RwLock) -> Iterator[tuple[str, int, bool]]:
    """Holders, and who waits."""
    holders = [lock.writer] if lock.writer >= 0 else lock.readers
    yield from ((name, lock.since[ticket], False) for ticket in holders)
    yield from ((name, waiter.since, True) for waiter in lock.queue)
