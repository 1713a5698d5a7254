"""Who may map or hold frames of a closed file: guest_memfd hears of it once he has let go."""

import pytest

from actors import messages as m
from actors.address import GMEM, vm_address
from actors.host_map import HostMap
from actors.intervals import IntervalMap
from actors.iommu.driver import Iommu
from actors.pins import Pins
from actors.slots import Slot
from tests.helpers import Recorder

VM, OTHER = vm_address(0, 0), vm_address(0, 1)
FILE, SECOND = VM | GMEM, VM | GMEM | 1
TOLD = [(FILE, m.TornDown()), (SECOND, m.TornDown())]


def holder(kind):
    """With a page of the VM, and the message that has it let go."""
    page = IntervalMap.filled(0)
    page.set(0, 1, 1)
    if kind is Pins:
        return Pins(VM, 0, 1, held={1: (0, 1)}), m.VmDead()
    if kind is HostMap:
        return HostMap(VM, (Slot(0, 512, 0, 0),), page), m.VmDead()
    return Iommu(0, 1, {VM: page}), m.Detach(VM)


@pytest.mark.parametrize("kind", [Pins, HostMap, Iommu])
def test_a_holder_answers_once_it_has_let_go(kind):
    actor, end = holder(kind)
    context = Recorder()
    for file in (FILE, SECOND):
        actor.receive(m.Teardown(file), context)
    assert answers(context) == []
    actor.receive(end, context)
    assert answers(context) == TOLD
    assert answers(context) == []


@pytest.mark.parametrize("kind", [Pins, HostMap, Iommu])
def test_a_holder_that_has_let_go_answers_at_once(kind):
    actor, end = holder(kind)
    context = Recorder()
    actor.receive(end, context)
    for file in (FILE, SECOND):
        actor.receive(m.Teardown(file), context)
    assert answers(context) == TOLD


def test_the_iommu_keeps_nobody_waiting_for_another_vms_devices():
    actor, _ = holder(Iommu)
    context = Recorder()
    actor.receive(m.Teardown(FILE), context)
    actor.receive(m.Teardown(OTHER | GMEM), context)  # has no devices
    actor.domains[OTHER] = IntervalMap.filled(0)
    actor.receive(m.Detach(OTHER), context)
    assert answers(context) == [(OTHER | GMEM, m.TornDown())]


def answers(context):
    return [sent[:2] for sent in context.take() if sent.message == m.TornDown()]
