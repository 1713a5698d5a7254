"""A VMM is killed at any instant of a conversion's life: what was begun ends, then mm, files and VM go, in order."""

import pytest

from actors import messages as m
from actors.address import GUEST, HOST_MAP, KVM, VMM, vm_address
from actors.contract import Fault, Reason
from actors.intervals import IntervalMap
from actors.messages import ATTEMPT_BITS
from actors.observations import (
    Answered,
    ConvertBegin,
    ConvertEnd,
    Decided,
    FramesFreed,
    FramesKept,
    NotifierCalled,
    ShareStored,
    VmmKilled,
    VmStopped,
)
from actors.protocols import PROTOCOLS
from actors.slots import Slot
from actors.vmm.kill import INSTANT_NS, SLICE, Life
from actors.vmm.process import Vmm
from actors.vmm.retry import Policy
from tests.helpers import LINK, PRIVATE, SHARED, TIMER, Recorder, Sent, World
from workloads.checkers.shadow import Shadow

VM = vm_address(0, 0)
START, END, PAGES = 0x1F0, 0x410, 0x800
FIRST = 7 << ATTEMPT_BITS
REPORT = Policy(0, 0, 0, drop_pins=False, fatal=False)
INSTANTS = 8  # of a life


def of_protocol(name):
    """Its own settings."""
    small = ("vm.page_order=0", "vm.start=mapped-4k") if name == "in-place" else ()
    return (f"protocol.name={name}", *small)


def ready(to, *overrides):
    """A host whose range is on the side that it is about to leave, in use there."""
    world = World(*overrides)
    if to is PRIVATE:
        world.ask(START, END, SHARED, use=True)
        world.run()
    world.killable()
    return world


def lifetime(to, overrides):
    """How long the conversion takes if nobody is killed, ns."""
    world = ready(to, *overrides)
    began = world.host.now
    world.convert(START, END, to)
    return world.host.now - began


def killed_at(to, instant, *overrides):
    """The world after a kill so long after the request, with what must hold for all of them."""
    world = ready(to, *overrides)
    number = world.request(START, END, to)
    world.post(VMM, m.Kill(), delay=max(1, instant))
    world.run()
    assert len(world.of(VmmKilled)) == 1 == len(world.of(VmStopped))
    assert len([a for a in world.answers if a.request == number]) == 1
    assert world.pending() == {}
    gone_in_order(world)
    return world


def gone_in_order(world):
    """N8 after the last conversion, the frames after N8, and all of them."""
    kinds = [type(fact) for _, fact in world.notebook.facts]
    mm = kinds.index(NotifierCalled)
    if ConvertEnd in kinds:
        assert len(kinds) - 1 - kinds[::-1].index(ConvertEnd) < mm
    assert kinds.count(ConvertBegin) == kinds.count(ConvertEnd)
    assert mm < kinds.index(FramesFreed)
    assert world.gmem().torn_down and world.vmm().life is Life.GONE
    assert not world.of(FramesKept) and world.allocator().frames.only(0, PAGES, 1)


@pytest.mark.parametrize("to", [SHARED, PRIVATE], ids=["p2s", "s2p"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_whenever_it_is_killed_no_invariant_breaks_and_no_page_is_lost(protocol, to):
    overrides = of_protocol(protocol)
    lives = lifetime(to, overrides)
    for part in range(INSTANTS + 1):
        world = killed_at(to, lives * part // INSTANTS, *overrides)
        assert world.found == set(), f"killed at {part}/{INSTANTS} of its life"


@pytest.mark.parametrize(
    "overrides",
    [
        ("vm.iommu=pin",),
        ("vm.iommu=pin", "vm.backend=two-backends"),
        ("vm.devices=0",),
        ("vmm.listeners=3",),
        ("fleet.pamt=dynamic", "vm.start=mapped-4k"),
        ("protocol.freeze_at=commit",),
        ("protocol.host_unmap=early-saved", "protocol.iommu_prepare=unmap-early"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("to", [SHARED, PRIVATE], ids=["p2s", "s2p"])
def test_whatever_the_vmm_was_in_the_middle_of_for_its_devices(overrides, to):
    lives = lifetime(to, overrides)
    for part in range(INSTANTS + 1):
        assert killed_at(to, lives * part // INSTANTS, *overrides).found == set()


def test_a_conversion_in_prepare_comes_to_its_decision_and_its_answer_goes_nowhere():
    world = ready(SHARED)
    number = world.request(START, END, SHARED)
    world.run_until(lambda: bool(world.kvm().walks))
    world.post(VMM, m.Kill())
    world.run()
    assert [fact.commit for fact in world.of(Decided)] == [True]
    assert world.of(ShareStored) and world.of(ConvertEnd)[0].reason is Reason.NONE
    assert world.answer(number) is Reason.DEAD
    assert [fact.reason for fact in world.of(Answered)] == [Reason.DEAD]
    assert (world.found, world.pending()) == (set(), {})


def test_a_refusal_in_prepare_is_an_abort_although_nobody_is_left_to_hear_of_it():
    world = ready(SHARED)
    world.inject("tdx.demote_busy")
    world.request(START, END, SHARED)
    world.run_until(lambda: bool(world.kvm().walks))
    world.post(VMM, m.Kill())
    world.run()
    assert [fact.commit for fact in world.of(Decided)] == [False]
    assert (world.found, world.pending()) == (set(), {})
    gone_in_order(world)


def test_one_that_waits_for_its_turn_or_for_another_try_is_answered_and_never_made():
    world = ready(SHARED, "vmm.retry=backoff")
    world.inject("gmem.tree")
    numbers = [world.request(START, END, SHARED), world.request(0x500, 0x510, SHARED)]
    world.run_until(lambda: world.vmm().idle and len(world.vmm().pending) == 2)
    world.heal()
    tried = len(world.of(ConvertBegin))
    world.post(VMM, m.Kill())
    world.run()
    assert [world.answer(number) for number in numbers] == [Reason.DEAD, Reason.DEAD]
    assert len(world.of(ConvertBegin)) == tried
    assert (world.found, world.pending()) == (set(), {})


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("first", ["exit", "kill"])
def test_a_process_exits_once(first, busy):
    world = ready(SHARED)
    if busy:
        world.request(START, END, SHARED)
        world.run_until(lambda: bool(world.kvm().walks))
    posts = [m.Exit(), m.Kill()] if first == "exit" else [m.Kill(), m.Exit()]
    for delay, message in enumerate(posts, start=1):
        world.post(VMM, message, delay=delay)
    world.run()
    assert len(world.of(NotifierCalled)) == 1 == len(world.of(VmStopped))
    assert (world.found, world.pending()) == (set(), {})


def test_who_exits_by_himself_waits_for_his_thread_in_the_kernel():
    world = World()
    world.request(START, END, SHARED)
    world.run_until(lambda: bool(world.kvm().walks))
    world.post(VMM, m.Exit())
    world.run()
    kinds = [type(fact) for _, fact in world.notebook.facts]
    assert kinds.index(ConvertEnd) < kinds.index(NotifierCalled) < kinds.index(VmStopped)
    assert (world.found, world.pending()) == (set(), {})


def test_a_bug_that_comes_after_the_kill_changes_nothing_about_the_order():
    world = ready(SHARED)
    world.inject("tdx.bug")
    world.request(START, END, SHARED)
    world.run_until(lambda: bool(world.of(Decided)))
    world.post(VMM, m.Kill())
    world.run()
    assert len(world.of(VmStopped)) == 1 and world.pending() == {}
    assert {i for i in world.found if i.startswith(("I", "L"))} == set()
    assert world.gmem().torn_down and world.of(FramesKept)  # the poisoned page's folio


def test_a_hole_that_is_being_punched_is_punched_and_then_the_file_goes():
    world = World()
    world.killable()
    world.post(GUEST, m.GiveUp(5, 0x200, 0x400))
    world.run_until(lambda: bool(world.gmem().punches))
    world.post(VMM, m.Kill())
    world.run()
    assert world.gmem().torn_down and world.allocator().frames.only(0, PAGES, 1)
    assert (world.found, world.pending()) == (set(), {})


# --- the fault point -----------------------------------------------------------------------------


def vmm():
    found = Vmm(VM, (Slot(0, 0x800, 0, 0),), REPORT, 0, IntervalMap.filled(0))
    found.life = Life.RUNNING
    return found


def asked(actor, context):
    actor.on_request(m.ConvertRequest(7, START, END, SHARED, 0, VM | KVM), context)


def test_each_microsecond_of_a_conversions_life_is_an_opportunity_about_its_memory():
    actor, context = vmm(), Recorder()
    asked(actor, context)
    ((point, count, _),) = context.asked
    assert (point, count, {*context.places[0]}) == ("vmm.kill", SLICE, {(START, END)})
    assert Sent(TIMER, m.LifeSlice(FIRST, 1), SLICE * INSTANT_NS) in context.take()


def test_the_next_slice_has_opportunities_of_its_own_and_none_comes_after_the_end():
    actor, context = vmm(), Recorder()
    asked(actor, context)
    context.take()
    actor.HANDLERS[m.LifeSlice](actor, m.LifeSlice(FIRST, 1), context)
    assert len({key for _, _, key in context.asked}) == 2
    assert context.take() == [Sent(TIMER, m.LifeSlice(FIRST, 2), SLICE * INSTANT_NS)]
    actor.on_converted(m.Converted(FIRST, Reason.NONE, -1, False), context)
    context.take()
    actor.HANDLERS[m.LifeSlice](actor, m.LifeSlice(FIRST, 2), context)
    assert (len(context.asked), context.take()) == (2, [])


def test_the_kill_comes_at_the_microsecond_that_strikes():
    actor, context = vmm(), Recorder({"vmm.kill": Fault(Reason.DEAD, 42)})
    asked(actor, context)
    assert Sent(TIMER, m.Kill(), 42 * INSTANT_NS) in context.take()


def test_the_vcpus_go_at_once_and_the_mm_with_the_thread_that_is_in_the_kernel():
    actor, context = vmm(), Recorder()
    asked(actor, context)
    context.take()
    actor.HANDLERS[m.Kill](actor, m.Kill(), context)
    assert [sent for sent in context.take() if type(sent.message) is not m.ConvertAnswer] == [
        Sent(VM | GUEST, m.VmDead(), LINK)
    ]
    actor.on_converted(m.Converted(FIRST, Reason.NONE, -1, False), context)
    ((target, message, _),) = context.take()
    assert (target, type(message)) == (VM | HOST_MAP, m.NotifierCall)


def test_without_the_point_in_the_fault_plan_nobody_is_asked():
    actor, context = vmm(), Recorder()
    actor.life = Vmm(VM, actor.slots, REPORT, 0, IntervalMap.filled(0)).life
    asked(actor, context)
    assert context.asked == [] and not [s for s in context.take() if s.target == TIMER]


@pytest.mark.parametrize("nth", [1, 150, 701])
def test_a_schedule_names_the_microsecond(nth):
    world = World("fault.0.point=vmm.kill", f"fault.0.nth=[{nth}]")
    world.request(START, END, SHARED)
    world.run()
    ((at, _),) = [(now, f) for now, f in world.notebook.facts if isinstance(f, VmmKilled)]
    assert at == pytest.approx((nth - 1) * INSTANT_NS, abs=10)
    assert (world.found, world.pending()) == (set(), {})


def test_kills_are_spread_evenly_over_lives():
    """By chance, over many VMs whose conversions take the same time."""
    vms = 40
    world = World(f"fleet.vms_per_host={vms}", "fault.0.point=vmm.kill", "fault.0.probability=1e-3")
    for vm in range(vms):
        world.request(START, END, SHARED, vm)
    world.run()
    ends = max(now for now, fact in world.notebook.facts if isinstance(fact, ConvertEnd))
    times = [now / ends for now, fact in world.notebook.facts if isinstance(fact, VmmKilled)]
    assert len(times) > vms // 4
    for low in (0.0, 0.25, 0.5):
        assert any(low <= at < low + 0.25 for at in times)
    assert world.found == set()


# --- no false alarm ------------------------------------------------------------------------------


def test_without_word_of_the_kill_the_bitmap_would_seem_to_diverge(monkeypatch):
    """The partner of the runs above: guest_memfd has stored, and the VMM never heard of it."""

    def found():
        world = ready(SHARED)
        world.request(START, END, SHARED)
        world.run_until(lambda: bool(world.of(ShareStored)))
        world.post(VMM, m.Kill())
        world.run()
        return world.found

    assert found() == set()
    monkeypatch.setattr(Shadow, "killed", property(lambda _: False, lambda *_: None))
    assert found() == {"AN18", "I21"}
