"""Devices: streams of DMA at their own times, held up while the VMM moves their window, silent before and after."""

import pytest

from actors import messages as m
from actors.address import IOMMU, VMM, vm_address
from actors.devices import NEVER, Devices, Dma, Window
from actors.observations import DmaHeld
from tests.helpers import LINK, TIMER, Recorder, Sent

VM, ELSEWHERE = vm_address(0, 0), vm_address(1, 0)


class Two:
    """Two streams, of DMAs every 100 ns and windows every 1000 ns."""

    streams = 2

    def __init__(self, windows=True):
        self.windows = windows

    def dma(self, stream, number):
        return Dma(100, stream * 16, stream * 16 + number + 1, number % 2 == 1)

    def window(self, stream, number):
        return Window(1000 if self.windows else NEVER, stream * 16, stream * 16 + 8)


def started(listeners=1, windows=True):
    actor, context = Devices.of(VM, Two(windows), listeners), Recorder()
    actor.on_start(m.StartDma(), context)
    return actor, context


def due(actor, context, stream=0):
    context.take()
    actor.on_due(m.DmaDue(stream, actor.numbers[stream]), context)
    return context.take()


def test_nothing_happens_before_the_pool_is_there():
    actor, context = Devices.of(VM, Two(), 1), Recorder()
    actor.on_due(m.DmaDue(0), context)
    actor.on_window_due(m.WindowDue(0), context)
    assert context.take() == []


def test_every_stream_has_its_own_timers():
    _, context = started()
    assert context.take() == [
        Sent(TIMER, m.DmaDue(0), 100),
        Sent(TIMER, m.WindowDue(0), 1000),
        Sent(TIMER, m.DmaDue(1), 100),
        Sent(TIMER, m.WindowDue(1), 1000),
    ]


def test_without_windows_there_is_no_timer_for_them():
    _, context = started(windows=False)
    assert context.messages() == [m.DmaDue(0), m.DmaDue(1)]


def test_one_dma_after_the_other_reads_and_writes():
    actor, context = started()
    found = [due(actor, context, 1)[0] for _ in range(2)]
    assert found == [
        Sent(IOMMU, m.DmaAccess(VM, 16, 17, 0, False), LINK),
        Sent(IOMMU, m.DmaAccess(VM, 16, 18, 0, True), LINK),
    ]


def test_streams_are_dealt_out_to_the_listeners():
    actor, context = started(listeners=2)
    found = [due(actor, context, stream)[0].message.listener for stream in (0, 1)]
    assert found == [0, 1]


def test_a_stream_stands_still_while_its_window_moves_and_then_makes_up_for_one():
    actor, context = started()
    context.take()
    actor.on_window_due(m.WindowDue(0), context)
    assert context.take() == [Sent(VM | VMM, m.MoveWindow(0, 0, 8, 0), LINK)]
    assert due(actor, context) == []
    assert len(due(actor, context, 1)) == 2  # the other one goes on
    context.now = 700
    actor.on_window_moved(m.WindowMoved(0), context)
    window, dma, timer = context.messages()
    assert (window, type(dma), timer) == (m.WindowDue(0, 1), m.DmaAccess, m.DmaDue(0, 1))
    assert context.of(DmaHeld) == [DmaHeld(VM, 700)]


def test_a_stream_that_was_not_due_meanwhile_makes_up_for_nothing():
    actor, context = started()
    actor.on_window_due(m.WindowDue(0), context)
    context.take()
    actor.on_window_moved(m.WindowMoved(0), context)
    assert context.messages() == [m.WindowDue(0, 1)]


def test_devices_that_go_on_have_one_chain_of_timers_each():
    actor, context = started()
    actor.on_stop(m.StopDma(), context)
    actor.on_start(m.StartDma(again=True), context)
    context.take()
    actor.on_due(m.DmaDue(0, 0), context)  # from before
    actor.on_window_due(m.WindowDue(0, 0), context)
    assert context.take() == []
    actor.on_due(m.DmaDue(0, 1), context)
    assert len(context.take()) == 2


def test_devices_of_a_vm_that_has_moved_do_what_they_did_where_it_was():
    actor, context = Devices.of(VM, Two(), 1), Recorder()
    other = Two(windows=False)
    actor.programs = lambda origin: other if origin == ELSEWHERE else Two()
    actor.on_start(m.StartDma(origin=ELSEWHERE), context)
    assert actor.program is other and context.messages() == [m.DmaDue(0), m.DmaDue(1)]


@pytest.mark.parametrize("message", [m.DmaDue(0), m.WindowDue(0)])
def test_once_stopped_nothing_is_begun(message):
    actor, context = started()
    actor.on_stop(m.StopDma(), context)
    context.take()
    actor.receive(message, context)
    assert context.take() == []


def test_a_window_that_comes_back_after_the_end_is_the_last():
    actor, context = started()
    actor.on_window_due(m.WindowDue(0), context)
    actor.on_stop(m.StopDma(), context)
    context.take()
    actor.on_window_moved(m.WindowMoved(0), context)
    assert (context.take(), actor.since) == ([], [NEVER, NEVER])
