"""The reference model as the engine's hosts: digest, fault points, facts and metrics on."""

from collections.abc import Iterable, Sequence

import msgspec

from actors.address import GMEM, GUEST, HOST_MAP, IOMMU, KVM, TDX, host_address, vm_address, vm_of
from actors.contract import Actor
from benchmarks import reference_messages
from benchmarks.reference_actors import Gmem, Guest, KvmMmu, Program
from benchmarks.reference_consumers import Iommu, Tdx, Userspace
from benchmarks.reference_messages import Tick
from benchmarks.reference_model import Shape, Tally, cost_model, cycles, until_own
from cluster.batch import message_types
from cluster.faults import FaultPlan
from cluster.world import World
from workloads.meter import Meter


def build(encoded: bytes, hosts: Sequence[int]) -> World:
    """The hosts of one partition (cluster.world.Build)."""
    shape = msgspec.msgpack.decode(encoded, type=Shape)
    members = {host: host_actors(shape, host) for host in hosts}
    first = [
        (first_tick(actor), address, Tick())
        for actors in members.values()
        for address, actor in actors.items()
        if isinstance(actor, Guest)
    ]
    return World(
        seed=shape.seed,
        actors=members,
        first=first,
        costs=cost_model(),
        faults=FaultPlan(shape.seed, []),
        watchers={"meter": Meter("two-phase")},
        types=message_types(reference_messages),
        census=tally,
    )


def host_actors(shape: Shape, host: int) -> dict[int, Actor]:
    """Address -> actor."""
    base = host_address(host)
    actors: dict[int, Actor] = {base | TDX: Tdx(), base | IOMMU: Iommu()}
    for number in range(shape.vms):
        vm = vm_address(host, number)
        program = Program(shape.vms, cycles(shape.seed, vm, shape.conversions))
        actors[vm | GUEST] = Guest.of(vm, number, program)
        actors[vm | GMEM] = Gmem.of(vm, number, shape.vms)
        actors[vm | KVM] = KvmMmu.of(vm)
        actors[vm | HOST_MAP] = Userspace(vm)
    return actors


def first_tick(guest: Guest) -> int:
    """When the guest has thought for the first time."""
    think = guest.program.cycles[0].think
    return think + until_own(think, vm_of(guest.vm), guest.program.vms)


def tally(actors: Iterable[Actor]) -> dict[str, int]:
    """A partition's part of the Tally."""
    guests = [actor for actor in actors if isinstance(actor, Guest)]
    return Tally(
        sum(guest.op for guest in guests),
        sum(guest.aborted for guest in guests),
        sum(guest.completed for guest in guests),
    )._asdict()
