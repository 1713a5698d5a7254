"""Host mapping: PTEs come by faults under guest_memfd's lock and go in COMMIT."""

from actors import messages as m
from actors.address import GMEM, HOST_MAP, vm_address
from actors.contract import Consumer
from actors.host_map import Cleared, HostMap
from actors.observations import HostPte
from actors.slots import Slot
from tests.helpers import COST, LINK, PRIVATE, SHARED, Recorder, Sent, World, runs, table

VM = vm_address(0, 0)
FILE = VM | GMEM
SLOTS = (Slot(0, 0x100, 0, 0), Slot(0x100, 0x100, 1, 0x40))


def mapped(*parts):
    return HostMap(VM, SLOTS, table(*((s, e, 1) for s, e in parts)))


def test_a_touch_of_a_mapped_page_costs_nothing():
    context = Recorder()
    mapped((0, 8)).on_touch(m.HostTouch(0, 8), context)
    assert context.take() == []


def test_a_touch_faults_at_the_file_behind_the_slot():
    context = Recorder()
    mapped().on_touch(m.HostTouch(0x104, 0x108), context)
    fault = m.HostFault(VM | HOST_MAP, 1, 0x44, 0x48)
    assert context.take() == [Sent(FILE | 1, fault, LINK)]


def test_a_page_that_may_be_had_is_installed_while_the_file_waits():
    actor, context = mapped(), Recorder()
    actor.faults = {1: (2, 4)}
    actor.on_page(m.HostPage(1, True), context)
    assert (runs(actor.ptes), actor.faults) == ([(0, 0), (2, 1), (4, 0)], {})
    assert context.take() == [Sent(FILE, m.HostFaulted(1), COST)]


def test_sigbus_installs_nothing():
    actor, context = mapped(), Recorder()
    actor.faults = {1: (2, 4)}
    actor.on_page(m.HostPage(1, False), context)
    assert (runs(actor.ptes), context.take()) == ([(0, 0)], [])


def test_prepare_unmaps_nothing():
    actor, context = mapped((0, 8)), Recorder()
    actor.on_prepare(m.Prepare(FILE, 3, 0, 8, PRIVATE), context)
    assert (runs(actor.ptes), context.facts) == ([(0, 1), (8, 0)], [])
    assert context.messages() == [m.Ready(3, Consumer.HOST_MAP)]


def committed(actor, to):
    context = Recorder()
    actor.on_commit(m.Commit(FILE, 3, 2, 6, to), context)
    return context


def test_commit_to_private_clears_the_range_and_pays_for_pages_and_flush():
    actor = mapped((0, 4))
    context = committed(actor, PRIVATE)
    assert (runs(actor.ptes), actor.saved) == ([(0, 1), (2, 0)], {})
    assert context.take() == [Sent(FILE, m.Committed(3, Consumer.HOST_MAP), 2 * COST)]
    assert context.of(HostPte) == [HostPte(VM, 2, 6, False)]


def test_commit_to_shared_has_nothing_to_unmap():
    actor = mapped((0, 4))
    assert committed(actor, SHARED).take()[0].delay == LINK
    assert runs(actor.ptes) == [(0, 1), (4, 0)]


def test_an_early_unmap_keeps_a_list_from_which_abort_maps_again():
    actor, context = mapped((0, 4), (5, 8)), Recorder()
    actor.on_prepare(m.Prepare(FILE, 3, 2, 6, PRIVATE, early=True), context)
    assert (runs(actor.ptes), actor.saved) == (
        [(0, 1), (2, 0), (6, 1), (8, 0)],
        {3: Cleared(((2, 4, 1), (5, 6, 1)), told_at=2 * COST)},
    )
    actor.on_abort(m.Abort(FILE, 3), context)
    assert (runs(actor.ptes), actor.saved) == ([(0, 1), (4, 0), (5, 1), (8, 0)], {})
    assert context.messages() == [m.Ready(3, Consumer.HOST_MAP), m.Aborted(3, Consumer.HOST_MAP)]


def test_an_abort_that_overtakes_the_unmapping_is_answered_after_its_ready():
    actor, context = mapped((0, 8)), Recorder()
    actor.on_prepare(m.Prepare(FILE, 3, 2, 6, PRIVATE, early=True), context)
    context.now = LINK
    actor.on_abort(m.Abort(FILE, 3), context)
    ready, aborted = context.take()
    assert ready.delay < LINK + aborted.delay


def test_commit_after_an_early_unmap_forgets_the_list():
    actor, context = mapped((0, 8)), Recorder()
    actor.on_prepare(m.Prepare(FILE, 3, 2, 6, PRIVATE, early=True), context)
    actor.on_commit(m.Commit(FILE, 3, 2, 6, PRIVATE), context)
    assert (runs(actor.ptes), actor.saved) == ([(0, 1), (2, 0), (6, 1), (8, 0)], {})


def test_abort_forgets_even_what_was_never_prepared():
    actor, context = mapped((0, 8)), Recorder()
    actor.on_abort(m.Abort(FILE, 3), context)
    assert context.messages() == [m.Aborted(3, Consumer.HOST_MAP)]


def test_exit_clears_every_pte_and_a_late_page_only_frees_the_lock():
    actor, context = mapped((0, 8)), Recorder()
    actor.faults = {1: (20, 24)}
    actor.on_vm_dead(m.VmDead(), context)
    actor.on_page(m.HostPage(1, True), context)
    actor.on_touch(m.HostTouch(0, 8), context)
    assert (runs(actor.ptes), context.messages()) == ([(0, 0)], [m.HostFaulted(1)])


def test_a_backend_that_touches_private_memory_gets_sigbus():
    world = World()
    world.post(HOST_MAP, m.HostTouch(0, 8))
    world.run()
    assert (runs(world.host_map().ptes), world.found, world.pending()) == ([(0, 0)], set(), {})
