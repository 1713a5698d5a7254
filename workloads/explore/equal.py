"""What may be equal in a scenario: VMs of a host, and lanes of a script. The explorer finds out whether it is."""

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import TypeVar

from actors.address import VM_SHIFT, host_of, name_of, vm_of
from actors.messages import Tick
from cluster.explore import Places, System
from cluster.explore.system import POOL

T = TypeVar("T")


def candidates(system: System) -> Iterator[Places]:
    """Every two VMs of one host that have as many actors, and every two lanes of a load."""
    yield from vms(system)
    yield from lanes(system)


def vms(system: System) -> Iterator[Places]:
    """Each actor changes places with the other VM's of its kind, each first message with the other's in its turn."""
    members: dict[tuple[int, int], list[int]] = {}
    for address in system.addresses:
        if vm_of(address) >= 0:
            members.setdefault((host_of(address), vm_of(address)), []).append(address)
    waiting = firsts(system)
    for (one, mine), (other, its) in combinations(members.items(), 2):
        shift = (other[1] - one[1]) << VM_SHIFT
        if one[0] != other[0] or [address + shift for address in mine] != its:
            continue
        actors = both(zip(mine, its, strict=True))
        pairs = [
            ((target, message), (actors[target], another))
            for target in mine
            for message, another in zip(
                waiting.get(target, ()), waiting.get(actors[target], ()), strict=False
            )
        ]
        yield Places(f"h{one[0]}/v{one[1]} and v{other[1]}", actors, both(pairs))


def lanes(system: System) -> Iterator[Places]:
    """Each lane of a load begins with a tick; whoever asks for it, and for which pages, comes of that."""
    known = system.locals.messages.known
    for load, messages in firsts(system).items():
        told = ((known[message], (load, message)) for message in messages)
        ticks = [(tick.lane, sent) for tick, sent in told if isinstance(tick, Tick)]
        for (lane, one), (another, other) in combinations(ticks, 2):
            yield Places(f"lanes {lane} and {another} of {name_of(load)}", {}, both([(one, other)]))


def firsts(system: System) -> dict[int, tuple[int, ...]]:
    """By receiver, the messages that the first state has in flight."""
    found: dict[int, tuple[int, ...]] = {}
    for lane in system.pools[system.first[POOL]]:
        found[lane.target] = (*found.get(lane.target, ()), *lane.messages)
    return found


def both(pairs: Iterable[tuple[T, T]]) -> dict[T, T]:
    """There and back."""
    there = dict(pairs)
    return there | {other: one for one, other in there.items()}
