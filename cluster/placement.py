"""Placements: which actors share a partition. They differ in this mapping alone, never in what comes of a run."""

import os
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush

import msgspec

from actors.address import (
    AGENT,
    ALLOCATOR,
    GMEM,
    GUEST,
    HOST_KINDS,
    HOST_SHIFT,
    IOMMU,
    KVM,
    PINS,
    TDX,
    VM_KINDS,
    VM_MASK,
    VMM,
    host_base,
    name_of,
    vm_base,
)

PLACEMENTS = {
    "packed": "whole hosts, equal load for each CPU or for as many as --partitions says",
    "host": "a partition for each host",
    "kind": "a partition for each kind of actor, over all hosts",
    "instance": "one for each guest_memfd, KVM MMU, TDX module, IOMMU driver, allocator, and rest of a VM",
}
WHOLE = ("packed", "host")  # those that keep hosts whole
RUNS_NAMED = 4
ALIKE = 1.1  # hosts that differ by less are not worth parting from their neighbours
LOOKAHEAD_NS_MIN = 100  # below it windows hold hardly an event
IN_VM = 0x100
ALONE = (IN_VM | GMEM, IN_VM | KVM)
REST = IN_VM
# Whoever is the first part of a fault point's name remembers what has struck there.
OWNERS = {
    "alloc": ALLOCATOR,
    "gmem": IN_VM | GMEM,
    "guest": IN_VM | GUEST,
    "iommu": IOMMU,
    "kvm": IN_VM | KVM,
    "move": AGENT,
    "pins": IN_VM | PINS,
    "tdx": TDX,
    "vmm": IN_VM | VMM,
}


class PlacementError(ValueError):
    """A placement that this fleet cannot have; the text says why in one line."""


class Places(msgspec.Struct, frozen=True, array_like=True):
    """Address -> partition: by host where hosts stay whole, else by a label of the actor's kind or instance.

    `joined` is kind -> the kind that stands for those it has to share a partition with.
    """

    count: int
    fleet: int  # hosts
    by_host: list[int] = []
    instances: bool = False
    joined: dict[int, int] = {}
    by_label: dict[int, int] = {}
    names: list[str] = []  # of the partitions, for people

    @property
    def whole(self) -> bool:
        """Are all actors of a host in one partition?"""
        return bool(self.by_host)

    def of(self, address: int) -> int:
        """The partition of an actor."""
        if self.by_host:
            return self.by_host[address >> HOST_SHIFT]
        return self.by_label[label(address, self.instances, self.joined)]

    def hosts(self, place: int) -> Sequence[int]:
        """The hosts that a partition has actors of, or may have."""
        if self.by_host:
            return [host for host, at in enumerate(self.by_host) if at == place]
        return range(self.fleet)


def kind(address: int) -> int:
    """A number for the kind of an actor."""
    return address & 0xF0 | (IN_VM if address & VM_MASK else 0)


def label(address: int, instances: bool, joined: dict[int, int]) -> int:
    """Actors with the same label share a partition."""
    own = kind(address)
    found = joined.get(own, own)
    if not instances:
        return found
    if not found & IN_VM:
        return host_base(address) | found
    if own in joined:
        return vm_base(address) | found & 0xF0
    return address if own in ALONE else vm_base(address) | REST & 0xF0


def runs(placement: str, hosts: int, wanted: int) -> int:
    """How many partitions of whole hosts there are; `wanted` 0 is what the placement takes."""
    return min(wanted or (hosts if placement == "host" else os.cpu_count() or 1), hosts)


def packed(hosts: int, count: int, weights: Sequence[int] = ()) -> Places:
    """Whole hosts: equal runs of them, or shared out by weight where hosts differ."""
    if weights and max(weights) > ALIKE * min(weights):
        by_host = shared_out(weights, count)
    else:
        by_host = [host * count // hosts for host in range(hosts)]
    members: list[list[int]] = [[] for _ in range(count)]
    for host, place in enumerate(by_host):
        members[place].append(host)
    return Places(count, hosts, by_host, names=[in_short(found) for found in members])


def shared_out(weights: Sequence[int], count: int) -> list[int]:
    """Host -> partition: the heaviest first, each to the partition with the least so far.

    No partition then has more than 4/3 of what the best way to share them out would give it (Graham 1969).
    """
    found = [0] * len(weights)
    loads = [(0, 0, place) for place in range(count)]  # weight, hosts: none is left without one
    for host in sorted(range(len(weights)), key=lambda host: (-weights[host], host)):
        weight, members, place = heappop(loads)
        found[host] = place
        heappush(loads, (weight + weights[host], members + 1, place))
    return found


def in_short(hosts: Sequence[int]) -> str:
    """Ascending hosts for people: h0..h3 h7; beyond a few runs, how many there are."""
    runs: list[list[int]] = []
    for host in hosts:
        if runs and runs[-1][1] == host - 1:
            runs[-1][1] = host
        else:
            runs.append([host, host])
    if len(runs) > RUNS_NAMED:
        return f"h{hosts[0]} and {len(hosts) - 1} more"
    return " ".join(f"h{a}" if a == b else f"h{a}..h{b}" for a, b in runs)


def split(
    hosts: int,
    addresses: Iterable[int],
    instances: bool,
    together: Iterable[Sequence[str]],
    partitions: int,
) -> Places:
    """By kind or instance. `together` are fault points whose rules remember; 0 partitions are as many as it takes."""
    joined = join(together)
    labels = sorted({label(address, instances, joined) for address in addresses})
    count = min(partitions or len(labels), len(labels))
    numbers = {found: n * count // len(labels) for n, found in enumerate(labels)}
    names = [
        " ".join(named(found, instances) for found in labels if numbers[found] == n)
        for n in range(count)
    ]
    return Places(count, hosts, [], instances, joined, numbers, names)


def named(found: int, instances: bool) -> str:
    """A label for people: h0/tdx, h0/v3/gmem, h0/v3; tdx where it is a kind's."""
    if not instances:
        return (VM_KINDS if found & IN_VM else HOST_KINDS)[found & 0xF0]
    name = name_of(found)
    return name.removesuffix("/load")


def join(together: Iterable[Sequence[str]]) -> dict[int, int]:
    """Kind -> representative, for the kinds that a rule with a memory reaches: what it remembers is in one place."""
    found: dict[int, int] = {}
    for points in together:
        kinds = {OWNERS[point.partition(".")[0]] for point in points}
        if len(kinds) == 1 and IN_VM | GMEM not in kinds:
            continue  # one actor, alone with its memory
        kinds |= {other for other, head in found.items() if head in {found.get(k) for k in kinds}}
        head = min(kinds)  # of a host rather than of a VM
        found |= dict.fromkeys(kinds, head)
    return found
