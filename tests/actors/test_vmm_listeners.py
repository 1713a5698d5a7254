"""VMM and devices: bitmap first, then listeners in order; pins are unmapped before the ioctl; two backends discard."""

import pytest

from actors import messages as m
from actors.address import DEVICES, HOST_MAP, IOMMU, KVM, PINS, vm_address
from actors.contract import Reason
from actors.intervals import IntervalMap
from actors.iommu.driver import NOTIFY
from actors.messages import ATTEMPT_BITS
from actors.observations import Failed, Retried, SideDiscarded
from actors.slots import Slot
from actors.vmm.listeners import WINDOW_OPS, Follow
from actors.vmm.process import Vmm
from actors.vmm.retry import Policy
from tests.helpers import COST, LINK, PRIVATE, SHARED, TIMER, Recorder, Sent, World, runs

VM = vm_address(0, 0)
SLOTS = (Slot(0, 0x800, 0, 0),)
REPORT = Policy(0, 0, 0, drop_pins=False, fatal=False)
BACKOFF = Policy(1, 1000, 3000, drop_pins=False, fatal=False)
COOPERATIVE = Policy(1, 1000, 3000, drop_pins=True, fatal=False)
FIRST = 7 << ATTEMPT_BITS
PIN, APART = Follow(pin=True), Follow(pin=True, apart=True)
ON_EAGAIN = Follow(pin=True, unmap_first=False)
YES = m.ConvertAnswer(7, Reason.NONE, -1)


def vmm(follow, shared=(), policy=REPORT):
    actor = Vmm(VM, SLOTS, policy, 1, IntervalMap.filled(0), follow=follow)
    for start, end in shared:
        actor.bitmap.set(start, end, SHARED)
    return actor


def asked(actor, start=0x10, end=0x20, to=PRIVATE):
    context = Recorder()
    actor.receive(m.ConvertRequest(7, start, end, to, 0, VM | KVM), context)
    return context


def then(actor, context, message):
    """What the VMM sends when it is told this."""
    context.take()
    actor.receive(message, context)
    return context.messages()


def ioctl(start=0x10, end=0x20, to=PRIVATE, attempt=0):
    return m.Convert(FIRST + attempt, start, end, to)


def converted(reason=Reason.NONE, offset=-1, attempt=0):
    return m.Converted(FIRST + attempt, reason, offset, False)


def mapped(reason=Reason.NONE, op=FIRST):
    return m.DmaMapped(op, reason)


def unmapped(op=FIRST):
    return m.DmaUnmapped(op, Reason.NONE)


def map_(start, end, listener=0, op=FIRST):
    return m.DmaMap(VM, op, start, end, listener)


def unmap(start, end, listener=0, op=FIRST):
    return m.DmaUnmap(VM, op, start, end, listener)


# --- several listeners ---------------------------------------------------------------------------


def test_listeners_are_told_one_after_the_other():
    actor = vmm(Follow(listeners=2))
    context = asked(actor, to=SHARED)
    assert then(actor, context, converted()) == [map_(0x10, 0x20, 0)]
    assert then(actor, context, mapped()) == [map_(0x10, 0x20, 1)]
    assert then(actor, context, mapped()) == [YES]


def test_the_second_one_fails_and_neither_bitmap_nor_first_are_rolled_back():
    actor = vmm(Follow(listeners=3))
    context = asked(actor, to=SHARED)
    then(actor, context, converted())
    then(actor, context, mapped())
    answer = then(actor, context, mapped(Reason.NO_MEMORY))
    assert answer == [m.ConvertAnswer(7, Reason.NO_MEMORY, -1)]
    assert runs(actor.bitmap) == [(0, PRIVATE), (0x10, SHARED), (0x20, PRIVATE)]
    assert runs(actor.holes) == [(0, 0), (0x10, 0b110), (0x20, 0)]


def test_only_those_that_lack_it_are_told_again():
    actor = vmm(Follow(listeners=2), shared=[(0x10, 0x20)])
    actor.holes.set(0x10, 0x18, 0b10)
    context = asked(actor, to=SHARED)
    assert then(actor, context, converted()) == [map_(0x10, 0x18, 1)]
    assert then(actor, context, mapped()) == [YES]
    assert runs(actor.holes) == [(0, 0)]


def test_of_a_mixed_range_the_part_that_was_private_is_mapped():
    actor = vmm(Follow(), shared=[(0x14, 0x18)])
    context = asked(actor, to=SHARED)
    assert then(actor, context, converted()) == [map_(0x10, 0x14)]
    assert then(actor, context, mapped()) == [map_(0x18, 0x20)]


# --- pins ----------------------------------------------------------------------------------------


def test_pins_are_dropped_before_the_ioctl():
    actor = vmm(PIN, shared=[(0x10, 0x20)])
    context = asked(actor)
    assert context.take() == [Sent(IOMMU, unmap(0x10, 0x20), 2 * COST)]
    assert then(actor, context, unmapped()) == [ioctl()]
    assert then(actor, context, converted()) == [YES]


@pytest.mark.parametrize(("to", "shared"), [(PRIVATE, ()), (SHARED, ())])
def test_where_nothing_is_mapped_the_ioctl_comes_at_once(to, shared):
    assert asked(vmm(PIN, shared), to=to).messages() == [ioctl(to=to)]


def test_a_refused_conversion_has_its_range_mapped_again_before_the_answer():
    actor = vmm(PIN, shared=[(0x10, 0x14), (0x18, 0x20)])
    context = asked(actor)
    then(actor, context, unmapped())
    then(actor, context, unmapped())
    assert then(actor, context, converted(Reason.REFERENCES, 0x12)) == [map_(0x10, 0x14)]
    assert then(actor, context, mapped()) == [map_(0x18, 0x20)]
    assert then(actor, context, mapped()) == [m.ConvertAnswer(7, Reason.REFERENCES, 0x12)]


def test_the_map_again_may_fail_and_the_error_stays_the_first_one():
    actor = vmm(PIN, shared=[(0x10, 0x20)])
    context = asked(actor)
    then(actor, context, unmapped())
    then(actor, context, converted(Reason.BUSY))
    answer = then(actor, context, mapped(Reason.NO_MEMORY))
    assert answer == [m.ConvertAnswer(7, Reason.BUSY, -1)]
    assert [(f.phase, f.reason) for f in context.of(Failed)] == [("map_again", Reason.NO_MEMORY)]
    assert actor.holes.only(0x10, 0x20, 1)


def test_every_attempt_unmaps_and_maps():
    actor = vmm(PIN, shared=[(0x10, 0x20)], policy=BACKOFF)
    context = asked(actor)
    then(actor, context, unmapped())
    then(actor, context, converted(Reason.BUSY))
    assert then(actor, context, mapped()) == [m.Retry(7)]
    assert then(actor, context, m.Retry(7)) == [unmap(0x10, 0x20, op=FIRST + 1)]
    assert then(actor, context, unmapped(FIRST + 1)) == [ioctl(attempt=1)]


def test_a_cooperative_vmm_may_wait_until_it_is_refused():
    actor = vmm(ON_EAGAIN, shared=[(0x10, 0x20)], policy=COOPERATIVE)
    context = asked(actor)
    assert context.messages() == [ioctl()]
    for attempt, page in enumerate((0x18, 0x19)):
        op = FIRST + attempt
        refused = converted(Reason.REFERENCES, page, attempt=attempt)
        assert then(actor, context, refused) == [unmap(page, page + 1, op=op)]
        drop, retry = then(actor, context, unmapped(op))
        assert (drop, retry) == (m.DropPins(page, page + 1), m.Retry(7))
        then(actor, context, m.Retry(7))
    # Given up, as it comes no further: what was unmapped on the way comes back, in one piece.
    back = then(actor, context, converted(Reason.REFERENCES, 0x19, attempt=2))
    assert back == [map_(0x18, 0x1A, op=FIRST + 2)]
    answer = then(actor, context, mapped(op=FIRST + 2))
    assert answer == [m.ConvertAnswer(7, Reason.REFERENCES, 0x19)]


def test_with_nothing_of_its_own_in_the_way_it_drops_pins_and_retries_at_once():
    actor = vmm(ON_EAGAIN, policy=COOPERATIVE)
    context = asked(actor)
    sent = then(actor, context, converted(Reason.REFERENCES, 0x18))
    assert sent == [m.DropPins(0x18, 0x19), m.Retry(7)]
    assert len(context.of(Retried)) == 1


def test_a_dead_vm_maps_nothing_again():
    actor = vmm(PIN, shared=[(0x10, 0x20)])
    context = asked(actor)
    then(actor, context, unmapped())
    actor.receive(m.VmDead(), context)
    assert then(actor, context, converted(Reason.DEAD)) == [m.ConvertAnswer(7, Reason.DEAD, -1)]


# --- two backends --------------------------------------------------------------------------------


def test_to_private_devices_let_go_after_the_ioctl_and_then_the_shared_side_is_discarded():
    actor = vmm(APART, shared=[(0x10, 0x20)])
    context = asked(actor)
    assert context.messages() == [ioctl()]
    assert then(actor, context, converted()) == [unmap(0x10, 0x20)]
    context.take()
    actor.receive(unmapped(), context)
    gone, timer = context.take()
    assert gone == Sent(VM | HOST_MAP, m.HostDiscard(0x10, 0x20), LINK)
    assert timer == Sent(TIMER, m.Discarded(FIRST), COST)
    assert context.of(SideDiscarded) == [SideDiscarded(VM, 0x10, 0x20, SHARED)]
    assert then(actor, context, m.Discarded(FIRST)) == [YES]


def test_to_shared_the_private_side_is_discarded_once_all_listeners_have_mapped():
    actor = vmm(APART)
    context = asked(actor, to=SHARED)
    then(actor, context, converted())
    assert then(actor, context, mapped()) == [m.Discarded(FIRST)]
    assert context.of(SideDiscarded) == [SideDiscarded(VM, 0x10, 0x20, PRIVATE)]


def test_a_listener_that_cannot_map_keeps_the_old_side_from_being_discarded():
    actor = vmm(APART)
    context = asked(actor, to=SHARED)
    then(actor, context, converted())
    answer = then(actor, context, mapped(Reason.NO_MEMORY))
    assert answer == [m.ConvertAnswer(7, Reason.NO_MEMORY, -1)]
    assert context.of(SideDiscarded) == []


def test_what_was_unmapped_for_nothing_is_no_concern_of_two_backends():
    actor = vmm(APART, shared=[(0x10, 0x20)])
    context = asked(actor)
    refused = m.ConvertAnswer(7, Reason.BUSY, -1)
    assert then(actor, context, converted(Reason.BUSY)) == [refused]


# --- windows -------------------------------------------------------------------------------------


def moved(actor, context=None):
    context = context or Recorder()
    actor.receive(m.MoveWindow(3, 0x10, 0x20, 0), context)
    return context


def test_a_window_is_unmapped_and_mapped_under_the_conversion_lock():
    actor = vmm(Follow(), shared=[(0, 0x40)])
    op = WINDOW_OPS | 1
    context = moved(actor)
    assert context.messages() == [unmap(0x10, 0x20, op=op)]
    waiting = asked(actor, 0x100, 0x110, SHARED)
    assert waiting.messages() == []
    assert then(actor, context, unmapped(op)) == [map_(0x10, 0x20, op=op)]
    back, after = then(actor, context, mapped(op=op))
    assert (back, after) == (m.WindowMoved(3), ioctl(0x100, 0x110, SHARED))


def test_a_window_waits_for_the_conversion_in_hand():
    actor = vmm(Follow(), shared=[(0x10, 0x20)])
    context = asked(actor)
    moved(actor, context)
    answer, window = then(actor, context, converted())
    # By then the range is private: there is nothing to move.
    assert (answer, window) == (YES, m.WindowMoved(3))


def test_a_window_whose_map_fails_is_a_hole_and_no_failed_conversion():
    actor = vmm(Follow(), shared=[(0, 0x40)])
    context = moved(actor)
    then(actor, context, unmapped(WINDOW_OPS | 1))
    sent = then(actor, context, mapped(Reason.NO_MEMORY, WINDOW_OPS | 1))
    assert sent == [m.WindowMoved(3)]
    assert (context.of(Failed), actor.holes.only(0x10, 0x20, 1)) == ([], True)


def test_a_dead_vmm_moves_no_window():
    actor = vmm(Follow())
    actor.dead = True
    assert moved(actor).take() == []


def test_the_answer_goes_to_the_devices():
    context = moved(vmm(Follow()))
    assert context.take() == [Sent(VM | DEVICES, m.WindowMoved(3), LINK)]


# --- whole hosts ---------------------------------------------------------------------------------

PINNED = ("vm.iommu=pin",)
BACKENDS = ("vm.iommu=pin", "vm.backend=two-backends")


@pytest.mark.parametrize("overrides", [(), PINNED, BACKENDS], ids=["notify", "pin", "two backends"])
@pytest.mark.parametrize("listeners", [1, 2])
def test_there_and_back_leaves_every_domain_empty(overrides, listeners):
    world = World(*overrides, f"vmm.listeners={listeners}")
    for to in (SHARED, PRIVATE) * 2:
        world.ask(0x1F0, 0x410, to, use=True)
        world.run()
        mapped_now = [not d.only(0x1F0, 0x410, 0) for d in world.iommu().domains.values()]
        assert mapped_now == [to is SHARED] * listeners
    assert (world.found, world.pending()) == (set(), {})


def test_the_second_listeners_failure_is_an18_and_the_first_one_sees_the_range():
    world = World("vmm.listeners=2")
    world.inject("iommu.map")
    first = world.host.cells[world.address(IOMMU, -1)].handlers[m.DmaMap]

    def only_the_second(actor, message, context):
        if message.listener == 0:
            world.heal()
        first(actor, message, context)
        world.inject("iommu.map")

    world.replace(IOMMU, m.DmaMap, only_the_second, vm=-1)
    assert world.convert(0x10, 0x20, SHARED) is Reason.NO_MEMORY
    one, two = world.iommu().domains.values()
    assert (one.only(0x10, 0x20, 1), two.only(0x10, 0x20, 0)) == (True, True)
    assert world.found == {"AN18"}


def there_and_back_untold():
    """Nobody tells devices of conversions: VFIO has mapped all of the shared side when the VM started."""
    return World(*BACKENDS, "vmm.listeners=0")


def test_devices_that_nobody_tells_see_all_of_the_shared_side_whatever_is_converted():
    world = there_and_back_untold()
    (domain,) = world.iommu().domains.values()
    before = runs(domain)
    for to in (SHARED, PRIVATE):
        world.ask(0x1F0, 0x410, to, use=True)
        world.run()
        assert runs(domain) == before
    assert world.found == {"AN18"}


def test_a_driver_that_unmaps_for_them_what_is_no_affair_of_guest_memfds_breaks_i21():
    world = there_and_back_untold()
    world.iommu().mode = NOTIFY
    world.convert(0x10, 0x20, SHARED)
    assert world.found == set()
    world.convert(0x10, 0x20, PRIVATE)
    assert world.found == {"I21"}


@pytest.mark.parametrize("overrides", [PINNED, (*PINNED, "vmm.retry=backoff")])
def test_a_refused_conversion_of_pinned_memory_leaves_it_mapped(overrides):
    world = World(*overrides)
    world.convert(0x10, 0x20, SHARED)
    before = runs(world.iommu().domains[VM])
    world.post(PINS, m.TakePin(0x10, 0x11, 10**12))
    number = world.request(0x10, 0x20, PRIVATE)
    world.run(world.host.now + 10**11)
    assert world.answer(number) is Reason.REFERENCES
    assert (runs(world.iommu().domains[VM]), world.found) == (before, set())


def test_whoever_waits_until_it_is_refused_unmaps_page_by_page_and_succeeds():
    world = World(*PINNED, "vmm.retry=cooperative", "vmm.unmap=on-eagain")
    world.convert(0x10, 0x20, SHARED)
    assert world.convert(0x10, 0x20, PRIVATE) is Reason.NONE
    assert [fact.attempt for fact in world.of(Retried)] == list(range(1, 17))
    assert (world.found, world.pending()) == (set(), {})
