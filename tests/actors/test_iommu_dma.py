"""DMA at the IOMMU: done, done by a translation on its way out, or a DMAR fault at the first page without an entry."""

import pytest

from actors import messages as m
from actors.address import GMEM, VMM, vm_address
from actors.contract import Consumer, Fault, Reason
from actors.iommu.driver import APART, PIN, Iommu
from actors.observations import Dma, DmaDone, DmarFault
from actors.tdx.states import LEVEL_2M, LEVEL_4K
from tests.helpers import COST, LINK, PRIVATE, Recorder, Sent, runs, table

VM, OTHER = vm_address(0, 0), vm_address(0, 1)
FILE, OP, TIMEOUT = VM | GMEM, 3, 1_000_000
SMALL = (0, 0x100, LEVEL_4K)
STRIKES = {"iommu.timeout": Fault(Reason.TIMEOUT, 0)}


def unit(*mapped, **fields):
    found = Iommu(0, TIMEOUT, {VM: table(*mapped), OTHER: table(*mapped)}, streams=True)
    for name, value in fields.items():
        setattr(found, name, value)
    return found


def dma(actor, start, end, context=None, listener=0, write=False):
    context = context or Recorder()
    actor.receive(m.DmaAccess(VM, start, end, listener, write), context)
    return context.facts


def unmap(actor, start, end, context=None, listener=0, now=0):
    context = context or Recorder()
    context.now = now
    actor.receive(m.DmaUnmap(VM, OP, start, end, listener), context)
    return context


def done(start, end, stale=False, listener=0, write=False):
    return DmaDone(VM, start, end, listener, write, stale)


def fault(start, end, listener=0):
    return DmarFault(0, VM, start, end, listener, False)


def test_what_is_mapped_is_read_and_written():
    actor = unit((0, 0x200, LEVEL_2M))
    assert dma(actor, 0x10, 0x20, write=True) == [done(0x10, 0x20, write=True)]


@pytest.mark.parametrize(
    ("start", "end", "missing"),
    [(0x200, 0x210, (0x200, 0x210)), (0xF0, 0x110, (0x100, 0x110)), (0x100, 0x101, (0x100, 0x101))],
)
def test_a_fault_is_at_the_first_page_without_an_entry(start, end, missing):
    assert dma(unit(SMALL), start, end) == [fault(*missing)]


def test_a_device_whose_vm_is_gone_does_no_dma():
    actor = unit(SMALL)
    actor.receive(m.Detach(VM), Recorder())
    assert dma(actor, 0, 1) == []


def test_every_listener_has_a_domain_of_its_own():
    actor = unit(SMALL, listeners=2)
    actor.domains[VM | 1] = table()
    assert dma(actor, 0, 1) == [done(0, 1)]
    assert dma(actor, 0, 1, listener=1) == [fault(0, 1, 1)]


# --- unmaps --------------------------------------------------------------------------------------


def test_an_unmap_of_the_vmms_clears_invalidates_and_waits():
    actor = unit(SMALL)
    context = unmap(actor, 0x10, 0x20)
    assert context.take() == [Sent(VM | VMM, m.DmaUnmapped(OP, Reason.NONE), 2 * COST)]
    assert context.of(Dma) == [Dma(VM, 0x10, 0x20, False)]
    assert dma(actor, 0x30, 0x40) == [done(0x30, 0x40)]


def test_an_unmap_of_nothing_asks_nothing_of_the_queue():
    actor = unit(SMALL)
    assert unmap(actor, 0x200, 0x210).take()[0].delay == LINK
    assert actor.free_at == 0


def test_while_an_unmap_is_under_way_the_iotlb_may_still_know_the_page():
    actor, context = unit(SMALL), Recorder()
    unmap(actor, 0x10, 0x20)
    context.now = 2 * COST - 1
    assert dma(actor, 0x10, 0x20, context) == [done(0x10, 0x20, stale=True)]
    context.now = 2 * COST
    assert dma(actor, 0x10, 0x20, context)[1:] == [fault(0x10, 0x20)]


def test_without_streams_nobody_remembers_what_is_under_way():
    actor = unit(SMALL, streams=False)
    unmap(actor, 0x10, 0x20)
    assert actor.closing == []


def test_an_invalidation_that_was_given_up_leaves_the_device_its_translation():
    actor = unit(SMALL)
    context = unmap(actor, 0x10, 0x20, Recorder(STRIKES))
    assert context.take() == [Sent(VM | VMM, m.DmaUnmapped(OP, Reason.TIMEOUT), TIMEOUT)]
    assert (context.of(Dma), dma(actor, 0x10, 0x20)) == ([], [done(0x10, 0x20, stale=True)])


def test_a_later_invalidation_that_completes_confirms_the_ones_before_it():
    actor = unit(SMALL)
    unmap(actor, 0x10, 0x20, Recorder(STRIKES))
    context = unmap(actor, 0x30, 0x40, now=TIMEOUT)
    assert context.of(Dma) == [Dma(VM, 0x10, 0x20, False), Dma(VM, 0x30, 0x40, False)]
    assert actor.lingering == {}


def test_what_lingers_is_unmapped_again_when_it_is_asked_for():
    actor = unit(SMALL)
    unmap(actor, 0x10, 0x20, Recorder(STRIKES))
    context = unmap(actor, 0x10, 0x20, now=TIMEOUT)
    assert context.of(Dma)[0] == Dma(VM, 0x10, 0x20, False)


def test_a_map_makes_what_lingers_current():
    actor = unit(SMALL)
    unmap(actor, 0x10, 0x20, Recorder(STRIKES))
    actor.receive(m.DmaMap(VM, OP, 0x10, 0x18), Recorder())
    assert runs(actor.lingering[VM]) == [(0, 0), (0x18, 1), (0x20, 0)]


def test_the_end_of_a_vm_flushes_what_lingers():
    actor, context = unit((0, 4, LEVEL_4K)), Recorder()
    unmap(actor, 0, 2, Recorder(STRIKES))
    actor.receive(m.Detach(VM), context)
    assert context.of(Dma) == [Dma(VM, 2, 4, False), Dma(VM, 0, 2, False)]


# --- pins, and memory of another file -------------------------------------------------------------


def asked(actor, to=PRIVATE, verb=m.Prepare):
    context = Recorder()
    actor.receive(verb(FILE, OP, 0x10, 0x20, to), context)
    return context.messages()


@pytest.mark.parametrize("verb", [m.Prepare, m.Invalidate])
def test_with_pins_what_is_mapped_is_refused_at_its_first_page(verb):
    actor = unit((0x18, 0x100, LEVEL_4K), mode=PIN)
    assert asked(actor, verb=verb) == [m.Refused(OP, Consumer.IOMMU, Reason.REFERENCES, 0x18)]
    assert (actor.slots, actor.unmaps, actor.tickets) == (0, {}, {})


def test_with_pins_there_is_nothing_to_do_once_the_vmm_has_unmapped():
    actor = unit(SMALL, mode=PIN)
    unmap(actor, 0x10, 0x20)
    assert asked(actor) == [m.Ready(OP, Consumer.IOMMU)]
    assert asked(actor, verb=m.Commit) == [m.Committed(OP, Consumer.IOMMU)]


def test_a_pin_is_kept_until_the_invalidation_is_confirmed():
    actor = unit(SMALL, mode=PIN)
    unmap(actor, 0x12, 0x20, Recorder(STRIKES))
    assert asked(actor)[0].offset == 0x10
    unmap(actor, 0x10, 0x12, Recorder(STRIKES), now=TIMEOUT)
    assert asked(actor)[0].reason is Reason.REFERENCES
    unmap(actor, 0x10, 0x20, now=2 * TIMEOUT)
    assert asked(actor) == [m.Ready(OP, Consumer.IOMMU)]


def test_what_maps_another_file_is_no_affair_of_guest_memfd():
    actor = unit(SMALL, mode=APART)
    assert asked(actor) == [m.Ready(OP, Consumer.IOMMU)]
    assert asked(actor, verb=m.Commit) == [m.Committed(OP, Consumer.IOMMU)]
    assert runs(actor.domains[VM]) == [(0, LEVEL_4K), (0x100, 0)]


# --- several listeners ---------------------------------------------------------------------------


def test_a_conversion_unmaps_from_every_domain_and_abort_maps_them_again():
    actor = unit(SMALL, listeners=2)
    actor.domains[VM | 1] = table((0x10, 0x18, LEVEL_4K))
    context = Recorder()
    actor.receive(m.Prepare(FILE, OP, 0x10, 0x20, PRIVATE, early=True), context)
    assert context.of(Dma) == [Dma(VM, 0x10, 0x20, False), Dma(VM, 0x10, 0x20, False, 1)]
    actor.receive(m.Abort(FILE, OP), context)
    assert runs(actor.domains[VM]) == [(0, LEVEL_4K), (0x100, 0)]
    assert runs(actor.domains[VM | 1]) == [(0, 0), (0x10, LEVEL_4K), (0x18, 0)]


# --- a device that holds an invalidation up -------------------------------------------------------


def committed(choices, **fields):
    actor = unit(SMALL, **fields)
    context = Recorder(choices, {"iommu_hang": 30_000_000, "iotlb_outlier": 12_000_000})
    for verb in (m.Prepare, m.Commit):
        actor.receive(verb(FILE, OP, 0x10, 0x20, PRIVATE), context)
    return actor, context.take()[1:]


def test_a_driver_without_a_timeout_holds_the_queue_and_its_caller_and_then_succeeds():
    actor, sent = committed(STRIKES, hangs=True)
    assert sent == [Sent(FILE, m.Committed(OP, Consumer.IOMMU), 30_000_000 + 2 * COST)]
    assert actor.free_at == 30_000_000 + 2 * COST


def test_who_stands_behind_it_waits_as_long():
    actor, _ = committed(STRIKES, hangs=True)
    context = Recorder()
    actor.receive(m.DmaUnmap(OTHER, OP, 0, 1, 0), context)
    assert context.take()[0].delay > 30_000_000


@pytest.mark.parametrize(("hangs", "reason"), [(False, m.Poison), (True, m.Committed)])
def test_an_outlier_is_an_error_for_those_who_give_up_before_it(hangs, reason):
    actor, sent = committed({"iommu.outlier": Fault(Reason.TIMEOUT, 0)}, hangs=hangs)
    assert isinstance(sent[0].message, reason)
    assert actor.free_at == 12_000_000 + 2 * COST
