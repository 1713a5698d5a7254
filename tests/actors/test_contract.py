"""The contract that all actors share: one entry point, explicit state, opportunities with names of their own."""

from itertools import product

import pytest

from actors import messages
from actors.address import host_address, vm_address
from actors.allocator import Allocator
from actors.contract import ERRNO, VM_KEY_SHIFT, Actor, Reason, opportunity, page_of
from actors.devices import Devices
from actors.fleet import messages as fleet_messages
from actors.fleet import move_messages
from actors.fleet.controller import Controller
from actors.fleet.host_agent import HostAgent
from actors.fleet.moving_agent import MovingAgent
from actors.fleet.moving_controller import MovingController
from actors.gmem.inode import Gmem
from actors.guest.td import Guest
from actors.host_map import HostMap
from actors.intervals import IntervalMap
from actors.iommu.driver import Iommu
from actors.kvm.mmu import KvmMmu
from actors.pins import Pins
from actors.tdx.module import TdxModule
from actors.vmm.process import Vmm
from cluster.batch import message_types
from tests.helpers import LINK, Recorder, Sent
from workloads.loads.arrived import ArrivedLoad
from workloads.loads.load import Load
from workloads.loads.moving import MovingLoad
from workloads.loads.tenant import TenantLoad

ACTORS = (
    Allocator,
    ArrivedLoad,
    Controller,
    Devices,
    Gmem,
    Guest,
    HostAgent,
    HostMap,
    Iommu,
    KvmMmu,
    Load,
    MovingAgent,
    MovingController,
    MovingLoad,
    Pins,
    TdxModule,
    TenantLoad,
    Vmm,
)


def test_receive_hands_the_message_to_its_handler():
    actor, context = Allocator(10, IntervalMap.filled(0)), Recorder(costs={"page_alloc": LINK})
    actor.receive(messages.Reserve(7, 1, 4), context)
    assert (actor.free, context.take()) == (6, [Sent(7, messages.Reserved(1, True), LINK)])


def test_a_message_that_an_actor_does_not_know_is_an_error():
    with pytest.raises(KeyError):
        Allocator(0, IntervalMap.filled(0)).receive(messages.Tick(0), Recorder())


def test_every_message_has_somebody_who_handles_it():
    handled = {kind for actor in ACTORS for kind in actor.HANDLERS}
    assert handled == set(message_types(messages, fleet_messages, move_messages))


def test_the_state_of_an_actor_is_its_fields():
    one, other = (Allocator(3, IntervalMap.filled(0)) for _ in range(2))
    assert one == other
    other.on_give_back(messages.GiveBack(1, 0), Recorder())
    assert one != other


@pytest.mark.parametrize("actor", ACTORS)
def test_default_state_is_not_shared_between_two_actors(actor: type[Actor]):
    mutable = [d for d in actor.__struct_defaults__ if isinstance(d, dict | list)]
    assert all(not default for default in mutable)


def test_every_failure_has_an_errno():
    assert set(ERRNO) == set(Reason) - {Reason.NONE}


def test_no_two_opportunities_share_a_key():
    vms = (vm_address(0, 0), vm_address(65_535, 65_534), host_address(1))
    ops, pages, attempts = (0, 1, (1 << 47) - 1), (0, 1, (1 << 40) - 1), (0, 1, 4095)
    keys = {opportunity(*names) for names in product(vms, ops, pages, attempts)}
    assert len(keys) == len(vms) * len(ops) * len(pages) * len(attempts)


def test_an_opportunity_tells_whose_it_is():
    key = opportunity(vm_address(2, 3), 9, 8, 7)
    assert (key >> VM_KEY_SHIFT, page_of(key)) == (vm_address(2, 3), 8)
    assert page_of(opportunity(vm_address(2, 3), 9, (1 << 40) - 1, 7)) == (1 << 40) - 1
