"""Trusted IO: nobody can BLOCK what the guest has accepted before it lets go; who asks first is told of it in time."""

import pytest

from actors import messages as m
from actors.address import GUEST, KVM, TDX, VMM, host_base, vm_address
from actors.contract import Fault, Reason
from actors.guest.release import Releasing
from actors.guest.td import Guest
from actors.intervals import IntervalMap
from actors.observations import (
    Decided,
    Failed,
    GuestReleased,
    HostPte,
    LeftMapped,
    Punched,
    SeamcallAnswered,
    Sept,
    VmBugged,
)
from actors.protocols import PROTOCOLS
from actors.tdx.entries import Td
from actors.tdx.module import TdxModule
from actors.tdx.states import LEVEL_4K, Call, Entry, Status
from cluster.fault_points import FAULT_POINTS
from tests.helpers import PRIVATE, SHARED, Recorder, World, runs, table
from workloads.checkers import ANOMALIES, INVARIANTS

VM = vm_address(0, 0)
START, END, PAGE = 0x1F0, 0x410, 0x300
PINNED = ("vm.td_pinned=true", "vm.start=mapped-4k", "vm.accept_level=4k")
ASKS = ("two-phase", "two-phase-refcount", "two-phase-untraced")
CANNOT_FAIL = ("undo", "undo-split-first", "in-place", "in-place-huge")
MAPPED, PENDING = Entry.MAPPED | LEVEL_4K << 3, Entry.PENDING | LEVEL_4K << 3


def pinned(protocol="two-phase", *overrides):
    """A host whose guest has trusted IO, with folios of 4 KiB where the protocol knows no others."""
    small = ("vm.page_order=0",) if protocol == "in-place" else ()
    return World(*PINNED, f"protocol.name={protocol}", *small, *overrides)


def forgets(world, page=PAGE):
    """The guest will leave this page out."""
    world.inject("guest.release", pages=(page, page + 1))


# --- the module ----------------------------------------------------------------------------------


def module(**parts):
    td = Td(table((0, 8, MAPPED)), table((0, 8, 0x100)), pins=True, **parts)
    return TdxModule({VM: td}, table((0x100, 0x108, VM))), td


def seamcall(tdx, call, context):
    tdx.on_seamcall(m.Seamcall(VM, 0, call, 0, 8, LEVEL_4K, 8, -1, 1, 0), context)
    (answer,) = context.messages()
    return answer.status, answer.index


@pytest.mark.parametrize("call", [Call.BLOCK, Call.SEPT_RD])
def test_what_the_guest_holds_is_in_use_and_what_lies_before_it_is_not(call):
    tdx, td = module()
    assert seamcall(tdx, call, Recorder()) == (Status.IN_USE, 0)
    td.sept.set(0, 5, PENDING)
    assert seamcall(tdx, call, Recorder()) == (Status.IN_USE, 5)
    td.sept.set(0, 8, PENDING)
    assert seamcall(tdx, call, Recorder()) == (Status.OK, 8)


def test_a_look_changes_no_entry():
    tdx, td = module()
    td.sept.set(0, 8, PENDING)
    seamcall(tdx, Call.SEPT_RD, Recorder())
    assert runs(td.sept) == [(0, PENDING), (8, 0)]


def test_a_release_makes_entries_pending_and_keeps_the_frames():
    tdx, td = module()
    context = Recorder()
    tdx.HANDLERS[m.Release](tdx, m.Release(VM, 7, ((2, 4), (6, 7))), context)
    assert [sent[:2] for sent in context.take()] == [
        (VM | GUEST, m.Release(VM, 7, ((2, 4), (6, 7))))
    ]
    assert [v for _, v in runs(td.sept)] == [MAPPED, PENDING, MAPPED, PENDING, MAPPED, 0]
    assert tdx.pamt.only(0x100, 0x108, VM)
    assert context.of(GuestReleased) == [GuestReleased(VM, 2, 4), GuestReleased(VM, 6, 7)]


def test_without_trusted_io_a_block_takes_what_is_mapped():
    tdx, _ = module()
    tdx.tds[VM] = Td(table((0, 8, MAPPED)), table((0, 8, 0x100)))
    assert seamcall(tdx, Call.BLOCK, Recorder()) == (Status.OK, 8)


# --- the guest -----------------------------------------------------------------------------------


def guest(*accepted):
    found = Guest(VM, 4, 2, 0, 3, "leak", IntervalMap.filled(0), releasing=Releasing())
    for start, end in accepted:
        found.accepted.set(start, end, 1)
    return found


def asked(actor, context, to=SHARED):
    actor.on_ask(m.Ask(7, START, END, to, 0, False, False), context)
    return context.take()


def test_the_guest_releases_what_it_has_accepted_and_then_asks():
    actor, context = guest((0, PAGE)), Recorder()
    (sent,) = asked(actor, context)
    assert sent[:2] == (host_base(VM) | TDX, m.Release(VM, 7, ((START, PAGE),)))
    actor.HANDLERS[m.Release](actor, m.Release(VM, 7, ((START, PAGE),)), context)
    assert [s.target for s in context.take()] == [VM | KVM]
    assert actor.accepted.only(START, END, 0) and actor.accepted.only(0, START, 1)


@pytest.mark.parametrize("accepted", [(), ((0, START),)], ids=["nothing", "nothing there"])
def test_what_is_not_accepted_needs_no_release(accepted):
    assert [s.target for s in asked(guest(*accepted), Recorder())] == [VM | KVM]


def test_nothing_is_released_for_memory_that_comes_back():
    assert [s.target for s in asked(guest((0, END)), Recorder(), PRIVATE)] == [VM | KVM]


@pytest.mark.parametrize(
    ("first", "parts"),
    [
        (0, ((START + 1, END),)),
        (0x10, ((START, START + 0x10), (START + 0x11, END))),
        (END - START - 1, ((START, END - 1),)),
    ],
)
def test_a_page_that_is_forgotten_is_left_out_on_the_first_try_alone(first, parts):
    actor = guest((0, END))
    context = Recorder({"guest.release": Fault(Reason.REFERENCES, first)})
    (sent,) = asked(actor, context)
    assert sent.message.parts == parts
    assert context.places == [[(page, page + 1) for page in range(START, END)]]
    actor.HANDLERS[m.Release](actor, m.Release(VM, 7, parts), context)
    context.take()
    actor.on_map_gpa_done(m.MapGpaDone(7, Reason.REFERENCES, START), context)
    (sent,) = context.take()
    assert sent.message.parts == ((START + first, START + first + 1),)
    assert len(context.asked) == 1


def test_a_guest_that_dies_while_it_releases_asks_for_nothing():
    actor, context = guest((0, END)), Recorder()
    asked(actor, context)
    actor.on_vm_dead(m.VmDead(), context)
    context.take()
    actor.HANDLERS[m.Release](actor, m.Release(VM, 7, ((START, END),)), context)
    assert context.take() == []


# --- a host --------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_released_first_converts_there_and_back_under_every_protocol(protocol):
    world = pinned(protocol)
    for to in (SHARED, PRIVATE, SHARED):
        world.ask(START, END, to, use=True)
        world.run()
    assert {reason for _, reason in world.tasks} == {Reason.NONE}
    assert world.td().sept.only(0, START, MAPPED)
    assert (world.found - {"AN8"}, world.pending(), world.vmm().dead) == (set(), {}, False)


@pytest.mark.parametrize("protocol", ASKS)
def test_who_asks_first_is_told_of_a_forgotten_page_before_anything_is_unmapped(protocol):
    world = pinned(protocol, "vm.guest_retries=0")
    forgets(world)
    mirror = runs(world.kvm().mirror)
    world.ask(START, END, SHARED)
    world.run()
    assert [reason for _, reason in world.tasks] == [Reason.REFERENCES]
    assert runs(world.kvm().mirror) == mirror
    calls = {fact.call for fact in world.of(SeamcallAnswered)}
    assert calls == {Call.SEPT_RD}
    assert [(fact.consumer, fact.reason) for fact in world.of(Failed)] == [
        ("kvm_mmu", Reason.REFERENCES)
    ]
    assert (world.found, world.pending(), world.vmm().dead) == (set(), {}, False)


@pytest.mark.parametrize("protocol", [*ASKS, "failable-notifier"])
def test_and_the_guests_next_try_works(protocol):
    world = pinned(protocol)
    forgets(world)
    world.ask(START, END, SHARED, use=True)
    world.run()
    assert [reason for _, reason in world.tasks] == [Reason.NONE]
    assert world.gmem().share.only(START, END, SHARED) and world.of(HostPte)
    assert [fact.reason for fact in world.of(Failed)] == [Reason.REFERENCES]
    assert (world.found, world.pending(), world.vmm().dead) == (set(), {}, False)


def test_the_refusal_names_the_page():
    world = pinned()
    world.guest().accepted.set(START, PAGE, 0)
    world.td().sept.set(START, PAGE, PENDING)
    world.request(START, END, SHARED)
    world.run()
    assert [(answer.reason, answer.offset) for answer in world.answers] == [
        (Reason.REFERENCES, PAGE)
    ]


@pytest.mark.parametrize("protocol", CANNOT_FAIL)
def test_who_does_not_ask_meets_it_where_nothing_may_fail_and_the_vm_is_lost(protocol):
    world = pinned(protocol)
    forgets(world)
    world.ask(START, END, SHARED)
    world.run()
    assert [(fact.reason, fact.injected) for fact in world.of(VmBugged)] == [
        (Reason.REFERENCES, False)
    ]
    assert [(fact.start, fact.end) for fact in world.of(LeftMapped)] == [(PAGE, PAGE + 1)]
    assert "AN28" in world.found and world.vmm().dead
    assert not {i for i in world.found if i.startswith("I")}


@pytest.mark.parametrize("protocol", CANNOT_FAIL)
def test_what_was_blocked_before_a_page_that_is_held_is_tracked_and_removed(protocol):
    """The first BLOCK of this VM fails at its last page: no false alarm of I16 about those before."""
    world = pinned(protocol)
    forgets(world, 0x1F)
    world.ask(0x10, 0x20, SHARED)
    world.run()
    assert [(fact.start, fact.end) for fact in world.of(LeftMapped)] == [(0x1F, 0x20)]
    assert not {i for i in world.found if i.startswith("I")}


def test_a_refusal_half_way_leaves_the_page_as_it_was_and_the_rest_unmapped():
    world = pinned("failable-notifier", "vm.guest_retries=0")
    forgets(world)
    world.ask(START, END, SHARED)
    world.run()
    assert world.kvm().mirror.only(START, PAGE, 0) and world.kvm().mirror.get(PAGE) == LEVEL_4K
    assert world.td().sept.get(PAGE) == MAPPED
    assert (world.of(LeftMapped), world.vmm().dead, world.pending()) == ([], False, {})


def test_a_guest_that_accepts_again_behind_the_look_ends_its_own_vm_and_no_other():
    world = pinned("two-phase", "fleet.vms_per_host=2")
    world.ask(START, END, SHARED)
    world.run_until(lambda: bool(world.of(Decided)))
    world.post(GUEST, m.UseAlias(99, PAGE, PAGE + 1, True), delay=1)
    world.run()
    assert [(fact.vm, fact.reason) for fact in world.of(VmBugged)] == [(VM, Reason.REFERENCES)]
    assert world.found == {"AN28"} and not world.vmm(1).dead
    assert world.pending() == {}


def test_a_killed_vmm_does_not_matter_to_a_look():
    world = pinned()
    world.killable()
    world.ask(START, END, SHARED)
    world.run_until(lambda: bool(world.kvm().walks))
    world.post(VMM, m.Kill())
    world.run()
    assert [fact.commit for fact in world.of(Decided)] == [True]
    assert (world.found, world.pending()) == (set(), {})


@pytest.mark.parametrize("point", FAULT_POINTS)
def test_whatever_else_fails_beside_it_nothing_is_left_hanging(point):
    admitted = {c.id for c in INVARIANTS + ANOMALIES if "two-phase" in c.admitted}
    world = pinned("two-phase", "vmm.retry=backoff", "vm.interrupt_probability=0.2")
    world.inject("guest.release", point, probability=0.02)
    tasks = [
        world.ask(start, end, to, True, delay=1 + turn)
        for turn, (start, end) in enumerate([(START, END), (0x10, 0x20), (0x400, 0x700)])
        for to in (SHARED, PRIVATE, SHARED)
    ]
    world.run()
    assert sorted(task for task, _ in world.tasks) == sorted(tasks)
    assert (world.pending(), world.found - admitted) == ({}, set())


def test_a_look_that_is_called_off_leaves_nothing_behind():
    world = pinned()
    world.hold(START + 4, START + 5)  # pins say no while KVM still looks
    world.ask(START, END, SHARED)
    world.run()
    assert {fact.consumer for fact in world.of(Failed)} == {"pins"}
    assert (world.found - {"L7"}, world.pending()) == (set(), {})


def test_a_balloon_releases_what_it_gives_up():
    world = pinned()
    world.post(GUEST, m.GiveUp(5, 0x200, 0x400))
    world.run()
    assert [(f.start, f.end) for f in world.of(GuestReleased)] == [(0x200, 0x400)]
    assert world.of(Punched) and not world.of(VmBugged)
    world.touch(0x200, 0x400, PRIVATE)
    world.run()
    assert world.td().sept.only(0x200, 0x400, MAPPED)
    assert (world.found, world.pending()) == (set(), {})


def test_memory_that_the_host_takes_by_itself_ends_the_vm():
    world = pinned()
    gmem = world.gmem()
    world.host.cells[gmem.address].now = world.host.now
    world.host.cells[gmem.address].after(1, m.MemoryFailure(PAGE))
    world.run()
    assert [fact.reason for fact in world.of(VmBugged)] == [Reason.REFERENCES]


def test_what_the_guest_releases_elsewhere_is_no_loss_of_a_conversion_that_is_refused():
    world = pinned("two-phase", "vm.guest_retries=0")
    forgets(world, 0x100)
    world.ask(0, 0x200, SHARED)
    world.run_until(lambda: bool(world.kvm().walks))
    world.ask(0x400, 0x480, SHARED)
    world.run_until(lambda: len(world.of(GuestReleased)) == 3)
    assert not world.of(Decided)
    world.run()
    assert sorted(reason for _, reason in world.tasks) == [Reason.NONE, Reason.REFERENCES]
    assert (world.found, world.pending()) == (set(), {})


def test_a_mapping_that_a_refused_conversion_has_lost_is_still_found():
    """The partner: what is gone and was not released is a loss."""
    world = pinned("two-phase", "vm.guest_retries=0")
    forgets(world, 0x100)
    world.ask(0, 0x200, SHARED)
    world.run_until(lambda: bool(world.kvm().walks))
    lost = Sept(VM, 0x300, 0x301, Entry.FREE, 0, 0x300)
    world.host.cells[host_base(VM) | TDX].observe(lost)
    world.run()
    assert {"I11", "AN3", "L4"} <= world.found
