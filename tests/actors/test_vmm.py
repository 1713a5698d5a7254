"""VMM: one conversion at a time, a policy for each kind of error, bitmap first and devices second."""

import pytest

from actors import messages as m
from actors.address import GMEM, GUEST, HOST_MAP, IOMMU, KVM, PINS, VMM, vm_address
from actors.contract import Reason
from actors.intervals import IntervalMap
from actors.messages import ATTEMPT_BITS
from actors.observations import Answered, Bitmap, Failed, Retried, VmStopped
from actors.slots import Slot
from actors.vmm.process import FATAL, RETRYABLE, Vmm
from actors.vmm.retry import Policy
from tests.helpers import COST, LINK, PRIVATE, SHARED, TIMER, Recorder, Sent, World, runs

VM = vm_address(0, 0)
SLOTS = (Slot(0, 0x400, 0, 0), Slot(0x400, 0x400, 1, 0x40))
REPORT = Policy(0, 0, 0, drop_pins=False, fatal=False)
LEGACY = Policy(0, 0, 0, drop_pins=False, fatal=True)
SPIN = Policy(-1, 0, 0, drop_pins=False, fatal=False)
BACKOFF = Policy(3, 1000, 3000, drop_pins=False, fatal=False)
COOPERATIVE = Policy(3, 1000, 3000, drop_pins=True, fatal=False)
FIRST = 7 << ATTEMPT_BITS  # op of the first attempt of request 7


def vmm(policy=REPORT, devices=1):
    return Vmm(VM, SLOTS, policy, devices, IntervalMap.filled(0))


def request(actor, number=7, start=0x10, end=0x20, to=SHARED, context=None):
    context = context or Recorder()
    actor.on_request(m.ConvertRequest(number, start, end, to, 0, VM | KVM), context)
    return context


def returned(actor, context, reason=Reason.NONE, op=FIRST, redundant=False, offset=-1):
    """What the VMM sends once the ioctl is back."""
    context.take()
    actor.on_converted(m.Converted(op, reason, offset, redundant), context)
    return context.take()


def test_a_request_becomes_an_ioctl_on_the_file_behind_the_slot():
    context = request(vmm(), start=0x410, end=0x420)
    ioctl = m.Convert(FIRST, 0x50, 0x60, SHARED)
    assert context.take() == [Sent(VM | GMEM | 1, ioctl, 2 * COST)]


@pytest.mark.parametrize(("again", "number"), [(0, 0), (3, 3 << 12), (99, 15 << 12)])
def test_what_a_memory_fault_asks_for_again_is_another_opportunity(again, number):
    context = Recorder()
    vmm().on_request(m.ConvertRequest(7, 0x10, 0x20, SHARED, 0, VM | KVM, again), context)
    assert context.messages()[-1].op == FIRST | number


def test_one_conversion_at_a_time_in_the_order_of_asking():
    actor = vmm(devices=0)
    context = request(actor)
    request(actor, 8, context=context)
    request(actor, 9, context=context)
    assert (actor.current, actor.queue) == (7, [8, 9])
    sent = returned(actor, context)
    assert (actor.current, actor.queue, sent[-1].message.op >> ATTEMPT_BITS) == (8, [9], 8)


def test_after_success_the_bitmap_moves_first_and_the_devices_follow():
    actor = vmm()
    sent = returned(actor, request(actor))
    assert sent == [Sent(IOMMU, m.DmaMap(VM, FIRST, 0x10, 0x20), COST)]
    assert runs(actor.bitmap) == [(0, PRIVATE), (0x10, SHARED), (0x20, PRIVATE)]


@pytest.mark.parametrize(
    ("to", "devices", "before"),
    [(SHARED, 0, PRIVATE), (PRIVATE, 1, PRIVATE), (SHARED, 1, SHARED)],
    ids=["no devices", "to private", "seen already"],
)
def test_the_devices_are_told_of_fresh_shared_memory_only(to, devices, before):
    actor = vmm(devices=devices)
    actor.bitmap.set(0, 0x400, before)
    sent = returned(actor, request(actor, to=to), redundant=to is before)
    assert sent == [Sent(VM | KVM, m.ConvertAnswer(7, Reason.NONE, -1), LINK)]


def test_a_map_that_fails_fails_the_request_and_rolls_nothing_back():
    actor = vmm()
    context = request(actor)
    returned(actor, context)
    actor.receive(m.DmaMapped(FIRST, Reason.NO_MEMORY), context)
    assert context.messages() == [m.ConvertAnswer(7, Reason.NO_MEMORY, -1)]
    assert actor.bitmap.get(0x10) == SHARED
    assert [fact.phase for fact in context.of(Failed)] == ["map"]


# --- policies ------------------------------------------------------------------------------------


def retries(policy, reason, times):
    """The pauses before each further attempt, and the answer once there is one."""
    actor, pauses = vmm(policy), list[int]()
    context = request(actor)
    for attempt in range(times):
        sent = returned(actor, context, reason, FIRST + attempt)
        if sent[0].target != TIMER:
            return pauses, sent[0].message
        pauses.append(sent[0].delay)
        actor.on_retry(m.Retry(7), context)
    return pauses, None


@pytest.mark.parametrize("reason", sorted(RETRYABLE))
def test_report_hands_every_passing_error_to_the_guest(reason):
    assert retries(REPORT, reason, 9) == ([], m.ConvertAnswer(7, reason, -1))


def test_backoff_doubles_up_to_its_limit_and_then_reports():
    found = retries(BACKOFF, Reason.BUSY, 9)
    assert found == ([1000, 2000, 3000], m.ConvertAnswer(7, Reason.BUSY, -1))


def test_spin_never_gives_up():
    pauses, answer = retries(SPIN, Reason.BUSY, 50)
    assert (pauses, answer) == ([LINK] * 50, None)


def test_cooperative_drops_the_pins_of_the_page_at_the_offset_and_no_others():
    actor = vmm(COOPERATIVE)
    context = request(actor, start=0x410, end=0x420)
    drop, timer = returned(actor, context, Reason.REFERENCES, offset=0x55)
    assert drop == Sent(VM | PINS, m.DropPins(0x415, 0x416), LINK)
    assert (timer.message, [fact.attempt for fact in context.of(Retried)]) == (m.Retry(7), [1])


@pytest.mark.parametrize("reason", sorted(RETRYABLE - {Reason.REFERENCES}))
def test_cooperative_drops_no_pins_for_what_is_not_a_pins_fault(reason):
    actor = vmm(COOPERATIVE)
    sent = returned(actor, request(actor), reason, offset=0x18)
    assert [each.message for each in sent] == [m.Retry(7)]


def test_cooperative_goes_on_as_long_as_the_next_refusal_is_further_on():
    actor = vmm(COOPERATIVE)
    context, pauses = request(actor, start=0x410, end=0x420), []
    for attempt, page in enumerate((0x50, 0x51, 0x52, 0x53, 0x54, 0x54, 0x54, 0x54)):
        sent = returned(actor, context, Reason.REFERENCES, FIRST + attempt, offset=page)
        pauses += [each.delay for each in sent if each.target == TIMER]
        actor.on_retry(m.Retry(7), context)
    assert pauses == [1000] * 5 + [2000, 3000]
    assert sent[-1].message == m.ConvertAnswer(7, Reason.REFERENCES, 0x414)


@pytest.mark.parametrize("reason", sorted(RETRYABLE))
def test_legacy_stops_the_vm_at_any_error(reason):
    actor = vmm(LEGACY)
    returned(actor, request(actor), reason)
    assert actor.dead


@pytest.mark.parametrize("policy", [REPORT, SPIN, BACKOFF, COOPERATIVE])
@pytest.mark.parametrize("reason", sorted(FATAL))
def test_a_dead_vm_is_stopped_under_every_policy(policy, reason):
    actor = vmm(policy)
    sent = returned(actor, request(actor), reason)
    assert actor.dead
    assert m.ConvertAnswer(7, reason, -1) in [each.message for each in sent]


@pytest.mark.parametrize("policy", [REPORT, LEGACY, SPIN, BACKOFF, COOPERATIVE])
def test_poison_is_never_tried_again_and_kills_nobody(policy):
    actor = vmm(policy)
    sent = returned(actor, request(actor), Reason.POISONED, offset=0x18)
    assert sent == [Sent(VM | KVM, m.ConvertAnswer(7, Reason.POISONED, 0x18), LINK)]
    assert not actor.dead


def test_while_one_request_waits_to_retry_the_next_has_its_turn():
    actor = vmm(BACKOFF)
    context = request(actor)
    request(actor, 8, context=context)
    sent = returned(actor, context, Reason.BUSY)
    assert (actor.current, sent[-1].message.op >> ATTEMPT_BITS) == (8, 8)
    actor.on_retry(m.Retry(7), context)
    assert actor.queue == [7]


def test_an_attempt_has_a_number_of_its_own():
    actor = vmm(BACKOFF)
    context = request(actor)
    returned(actor, context, Reason.BUSY)
    actor.on_retry(m.Retry(7), context)
    assert context.messages()[-1].op == FIRST + 1


# --- the end -------------------------------------------------------------------------------------


def test_the_end_tells_everybody_and_closes_every_file():
    actor, context = vmm(), Recorder()
    actor.on_vm_dead(m.VmDead(), context)
    sent = context.take()
    told = [VM | peer for peer in (GUEST, KVM, HOST_MAP, PINS)]
    assert [each.target for each in sent] == [*told, IOMMU, VM | GMEM, VM | GMEM | 1]
    assert sent[-1].message == m.ReleaseFile()
    assert context.of(VmStopped) == [VmStopped(VM)]


def test_a_second_death_is_nothing_new():
    actor, context = vmm(), Recorder()
    for _ in range(2):
        actor.on_vm_dead(m.VmDead(), context)
    assert len(context.of(VmStopped)) == 1


def test_who_waits_is_told_eio_and_the_ioctl_under_way_is_waited_for():
    actor = vmm()
    context = request(actor)
    request(actor, 8, context=context)
    context.take()
    actor.on_vm_dead(m.VmDead(), context)
    assert context.messages()[0] == m.ConvertAnswer(8, Reason.DEAD, -1)
    assert list(actor.pending) == [7]


def test_who_comes_later_is_told_eio_at_once():
    actor = vmm()
    actor.dead = True
    context = request(actor)
    assert context.messages() == [m.ConvertAnswer(7, Reason.DEAD, -1)]
    assert [fact.reason for fact in context.of(Answered)] == [Reason.DEAD]


@pytest.mark.parametrize("point", ["alloc.pages", "gmem.tree"])
def test_a_request_that_is_tried_again_after_the_end_is_answered(point):
    world = World("vmm.retry=backoff")
    world.inject(point)
    number = world.request(0, 1, SHARED)
    world.run_until(lambda: bool(world.gmem().conversions))
    world.post(VMM, m.VmDead())
    world.run()
    assert (world.answer(number), world.pending(), world.found) == (Reason.DEAD, {}, set())


def test_the_bitmap_is_the_vmms_own():
    world = World()
    world.convert(0x10, 0x20, SHARED)
    world.convert(0x10, 0x18, PRIVATE)
    assert [(f.start, f.end, f.to) for f in world.of(Bitmap)] == [
        (0x10, 0x20, SHARED),
        (0x10, 0x18, PRIVATE),
    ]
