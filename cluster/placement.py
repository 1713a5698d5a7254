"""Placements: which actors share a partition. They differ in this mapping alone, never in what comes of a run."""

import os
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from actors.address import (
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
    "packed": "whole hosts in runs, one run for each CPU or as many as --partitions says",
    "host": "a partition for each host",
    "kind": "a partition for each kind of actor, over all hosts",
    "instance": "one for each guest_memfd, KVM MMU, TDX module, IOMMU driver, allocator, and rest of a VM",
}
WHOLE = ("packed", "host")  # those that keep hosts whole
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


def packed(hosts: int, count: int) -> Places:
    """Whole hosts in equal runs."""
    edges = [-(-n * hosts // count) for n in range(count + 1)]  # where runs begin
    names = [f"h{a}" if a == b - 1 else f"h{a}..h{b - 1}" for a, b in pairwise(edges)]
    return Places(count, hosts, [host * count // hosts for host in range(hosts)], names=names)


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
