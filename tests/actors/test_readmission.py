"""A VM that comes after another: a TD of its own, frames that are free, memory to accept, and the load of its place."""

import pytest

from actors import messages as m
from actors import observations as o
from actors.address import ALLOCATOR, GMEM, GUEST, LOAD, VMM, host_base, vm_address
from actors.allocator import Allocator
from actors.contract import PAGES_2M, Reason, Share
from actors.fleet.admission import Admissions
from actors.gmem.frames import Tenancy, dormant, runs
from actors.gmem.inode import Gmem
from actors.guest.td import Guest
from actors.intervals import IntervalMap
from actors.observations import FramesReused, VmAdmitted
from actors.tdx import end as tdx_end
from actors.tdx import verdict as tdx_verdict
from actors.tdx.entries import Td
from actors.tdx.module import TdxModule
from actors.tdx.states import LEVEL_2M, LEVEL_4K, Call, Entry, Status
from actors.vmm.process import Vmm
from cluster.faults import FaultRule
from tests.helpers import PRIVATE, SHARED, Recorder, World, table
from tests.runs import READMITS, SMALL, simulated
from workloads.checkers.start import vm_at
from workloads.loads.load import Job, Post
from workloads.loads.tenant import BOOT_TASK, Moved, Seat, TenantLoad

VM, NEXT = vm_address(0, 0), vm_address(0, 2)
PAGES = 0x800  # of a VM of tests.helpers
QUIET = ("fleet.reuse=readmit", 'workload=[{kind="churn",pace="open",rate=1e-3}]')
MAPPED = Entry.MAPPED | LEVEL_4K << 3


def host(*overrides, vms=2):
    """Places that are taken again."""
    return World(*QUIET, f"fleet.vms_per_host={vms}", *overrides)


def actor(world, kind, number):
    """Also of a VM that comes later."""
    return world.host.cells[vm_address(0, number) | kind].actor


def kill(world, vm=0, delay=1):
    world.killable(vm)
    world.post(VMM, m.Kill(), vm, delay)


def admitted(world):
    return [(fact.vm, fact.before) for fact in world.of(VmAdmitted)]


# --- the allocator -------------------------------------------------------------------------------


def allocator(free, pages=2 * PAGES_2M, unit=PAGES_2M):
    found = Allocator(100, table(*((start, end, 1) for start, end in free)))
    found.admits = Admissions({VM: NEXT}, pages, unit, 0x4000)
    return found


def grant(actor, before=VM):
    context = Recorder()
    actor.HANDLERS[m.Reclaim](actor, m.Reclaim(before), context)
    return context


def test_free_frames_come_first_the_lowest_first_then_such_as_nobody_has_had():
    actor = allocator([(0, 0x1000)], pages=0x1200)
    context = grant(actor)
    expected = m.Admit(((0, 0x1000, 0), (0x1000, 0x1200, 0x4000)), 0x1000)
    assert context.take()[0][:2] == (NEXT | GMEM, expected)
    assert (actor.frames.pages(0, 0x4000, 1), actor.admits.fresh) == (0, 0x4200)
    assert context.of(FramesReused) == [FramesReused(0, 0, 0x1000)]


def test_a_block_of_which_a_page_is_lost_is_no_block():
    actor = allocator([(0, 0x210), (0x211, 0x600)])
    assert grant(actor).take()[0].message.frames == ((0, 0x200, 0), (0x200, 0x400, 0x400))
    assert actor.frames.only(0x211, 0x400, 1)


def test_a_grant_takes_no_more_than_the_vm_has():
    actor = allocator([(0x200, 0x2000)])
    assert grant(actor).take()[0].message == m.Admit(((0, 0x400, 0x200),), 0x400)
    assert actor.frames.only(0x600, 0x2000, 1)


def test_huge_folios_want_frames_of_their_own_size():
    size = 1 << 18
    actor = allocator([(0x200, 3 * size - 1)], pages=size, unit=size)
    assert grant(actor).take()[0].message.frames == ((0, size, size),)


def test_a_place_is_given_once_and_one_that_has_no_successor_stays_empty():
    actor = allocator([(0, 0x1000)])
    grant(actor)
    assert grant(actor).take() == [] and grant(actor, NEXT).take() == []


# --- guest_memfd, the module, the program --------------------------------------------------------


def test_a_file_knows_the_frames_behind_it_run_by_run():
    gmem = host().gmem(1)
    assert list(runs(gmem, 0, 8)) == [(0, 8, PAGES)] and not dormant(gmem)
    gmem.tenancy = Tenancy()
    assert dormant(gmem)
    gmem.HANDLERS[m.Admit](gmem, m.Admit(((0, 4, 100), (4, 8, 50)), 4), Recorder())
    assert list(runs(gmem, 2, 6)) == [(2, 4, 102), (4, 6, 50)]
    assert not dormant(gmem)


@pytest.mark.parametrize(("owners", "index"), [((), 8), (((0x103, 0x104, 5),), 3)])
def test_the_pamt_says_whose_a_frame_is_where_tds_come_after_others(owners, index):
    td = Td(IntervalMap.filled(0), IntervalMap.filled(0))
    tdx = TdxModule({VM: td}, table(*owners), readmits=True)
    context = Recorder()
    tdx.on_seamcall(m.Seamcall(VM, 0, Call.AUG, 0, 8, LEVEL_4K, 8, 0x100, 1, 0), context)
    (answer,) = context.messages()
    assert (answer.status, answer.index) == (Status.OWNED if owners else Status.OK, index)
    assert td.sept.only(0, index, Entry.PENDING | LEVEL_4K << 3)


def test_the_module_tells_of_a_reclaimed_hkid_only_where_somebody_waits_for_one():
    for readmits in (False, True):
        tdx = TdxModule({VM: Td(IntervalMap.filled(0), IntervalMap.filled(0))}, table())
        if readmits:
            tdx.readmits = True
        context = Recorder()
        tdx_end.on_reclaim(tdx, m.Reclaim(VM), context)
        told = [(s.target, s.message) for s in context.take()]
        assert told == ([(host_base(VM) | ALLOCATOR, m.Reclaim(VM))] if readmits else [])


class Posting:
    """A program that posts to its VM, and for it to its host."""

    lanes = sides = 1
    timed = one_sequence = boots = False

    def job(self, lane, step):
        posts = (
            Post(VM | VMM, m.Exit()),
            Post(host_base(VM) | ALLOCATOR, m.Reserve(VM | LOAD, 1, PAGES, VM)),
            None,
        )
        return Job(step, 0, 1, SHARED, post=posts[step])


def test_what_a_place_posts_goes_to_the_vm_that_has_it_and_to_its_host():
    away = vm_address(3, 1)
    exits, takes, nothing = (Moved(Posting(), VM, away).job(0, step) for step in range(3))
    assert exits and exits.post == Post(away | VMM, m.Exit())
    ours = m.Reserve(away | LOAD, 1, PAGES, away)
    assert takes and takes.post == Post(host_base(away) | ALLOCATOR, ours)
    assert nothing and nothing.post is None


def tenant(vm=NEXT, before=VM, seat=Seat.EMPTY):
    return TenantLoad(vm, Posting(), 0, 0, 0, [0], {}, {}, 0, 0, before, PAGES, 4, seat)


def told(load, message):
    context = Recorder()
    load.HANDLERS[type(message)](load, message, context)
    return [(sent.target, sent.message) for sent in context.take()]


def test_a_boot_accepts_all_memory_then_asks_for_the_place():
    load = tenant()
    parts = told(load, m.Admit((), 0))
    assert {target for target, _ in parts} == {NEXT | GUEST}
    assert [(p.start, p.end, p.share) for _, p in parts] == [
        (start, start + PAGES_2M, PRIVATE) for start in range(0, PAGES, PAGES_2M)
    ]
    assert len({p.task for _, p in parts}) == 4
    done = [told(load, m.TaskDone(part.task, Reason.NONE)) for _, part in parts]
    assert done == [[], [], [], [(VM, m.HandOver(NEXT))]]


def test_the_one_before_leaves_with_what_it_has_come_to_and_asks_no_more():
    load = tenant(VM, 0, Seat.TAKEN)
    load.steps, load.requests = [7], 30
    assert told(load, m.HandOver(NEXT)) == [(NEXT, m.HandOver(0, (7,), 30))]
    assert (load.seat, load.requests) == (Seat.LEFT, 0)
    assert told(load, m.Tick(0)) == []


def test_the_new_one_goes_on_with_the_next_step_of_each_lane():
    load = tenant(seat=Seat.BOOTING)
    ((_, tick),) = told(load, m.HandOver(0, (2,), 30))
    assert (tick, load.steps, load.requests, load.seat) == (m.Tick(0), [2], 30, Seat.TAKEN)


@pytest.mark.parametrize("seat", [Seat.BOOTING, Seat.LOST, Seat.EMPTY])
def test_one_that_has_never_had_the_place_sends_the_next_one_on(seat):
    later = vm_address(0, 4)
    assert told(tenant(seat=seat), m.HandOver(later)) == [(VM, m.HandOver(later))]


def test_a_boot_that_fails_asks_for_nothing():
    load = tenant()
    parts = told(load, m.Admit((), 0))
    for number, (_, part) in enumerate(parts):
        reason = Reason.DEAD if number == 1 else Reason.NONE
        assert told(load, m.TaskDone(part.task, reason)) == []
    assert load.seat is Seat.LOST and parts[0][1].task % (1 << 20) == BOOT_TASK


# --- a host --------------------------------------------------------------------------------------


def test_the_place_of_a_vm_that_is_gone_is_taken_once_its_hkid_is_reclaimed():
    world = host()
    kill(world)
    world.run()
    assert admitted(world) == [(NEXT, VM)]
    ((at, _),) = [(now, f) for now, f in world.notebook.facts if isinstance(f, VmAdmitted)]
    freed = max(now for now, f in world.notebook.facts if isinstance(f, o.FramesFreed))
    assert at - freed == pytest.approx(10_000_000, abs=10_000)
    guest, gmem, vmm = (actor(world, kind, 2) for kind in (GUEST, GMEM, VMM))
    assert isinstance(guest, Guest) and isinstance(gmem, Gmem) and isinstance(vmm, Vmm)
    assert guest.accepted.only(0, PAGES, 1) and not vmm.dead
    assert list(runs(gmem, 0, PAGES)) == [(0, PAGES, 0)]  # those that VM 0 had
    assert world.tdx().tds[NEXT].sept.only(0, PAGES, Entry.MAPPED | LEVEL_2M << 3)
    assert world.tdx().pamt.only(0, PAGES, NEXT)
    assert actor(world, LOAD, 2).seat is Seat.TAKEN
    assert actor(world, LOAD, 0).seat is Seat.LEFT
    assert (world.found, world.pending()) == (set(), {})


def test_it_converts_as_any_other_does():
    world = host()
    kill(world)
    world.run()
    for to in (SHARED, PRIVATE, SHARED):
        task = m.Ask(500 + to, 0x1F0, 0x410, to, world.host.now, False, True)
        world.host.cells[NEXT | GUEST].now = world.host.now
        world.host.cells[NEXT | GUEST].after(1, task)
        world.replace(LOAD, m.TaskDone, lambda *_: None, 2)
        world.run()
    assert actor(world, GMEM, 2).share.only(0x1F0, 0x410, Share.SHARED)
    assert world.found == set()
    assert {fact.gmem for fact in world.of(o.ShareStored)} == {NEXT | GMEM}


def test_a_place_is_taken_as_often_as_the_scenario_says():
    world = host("fleet.generations=3", vms=1)
    for number in range(3):
        kill(world, number)
        world.run()
    assert admitted(world) == [(vm_address(0, 1), VM), (vm_address(0, 2), vm_address(0, 1))]
    assert world.allocator().frames.only(0, PAGES, 1) and world.found == set()


def test_by_default_nobody_comes_after():
    world = World("fleet.vms_per_host=2")
    kill(world)
    world.run()
    assert admitted(world) == [] and world.of(FramesReused)
    assert NEXT | GUEST not in world.host.cells


def test_with_nobody_the_frames_stay_free():
    world = World("fleet.reuse=nobody")
    kill(world)
    world.run()
    assert not world.of(FramesReused) and world.allocator().frames.only(0, PAGES, 1)


# --- AN11 strikes somebody -----------------------------------------------------------------------

UNTRACED = {
    "two-phase-untraced": (),
    "undo": ("protocol.mark=none",),
    "failable-notifier": ("protocol.mark=none",),
    "in-place": ("vm.page_order=0", "vm.start=mapped-4k"),
    "in-place-huge": (),
}
TRACED = {"two-phase": (), "two-phase-refcount": (), "undo-split-first": ()}


def reused_too_soon(protocol, *overrides):
    """VM 1 is killed; before its place is free, a bug ends VM 0, whose frames are the lowest."""
    late = 'costs.override={"hkid_reclaim"="30ms"}'
    world = host(f"protocol.name={protocol}", "protocol.bug_on=yes", late, *overrides)
    kill(world, 1)
    world.run(until=1_000_000)
    world.inject("tdx.bug", vms=(0,))
    world.ask(0x10, 0x20, SHARED)
    world.run(until=29_000_000)
    assert world.vmm(0).dead and admitted(world) == []
    world.heal()
    world.run()
    return world


@pytest.mark.parametrize(("protocol", "overrides"), UNTRACED.items())
def test_a_frame_that_nobody_marked_kills_the_vm_that_gets_it(protocol, overrides):
    world = reused_too_soon(protocol, *overrides)
    victim = vm_address(0, 3)
    assert admitted(world)[0] == (victim, vm_address(0, 1))
    bugs = [(fact.vm, fact.site, fact.injected) for fact in world.of(o.VmBugged)]
    assert bugs[-1] == (victim, "fault", False)
    assert {"AN11", "I4"} <= world.found and "I3" not in world.found


@pytest.mark.parametrize(("protocol", "overrides"), TRACED.items())
def test_where_the_page_is_kept_back_everybody_lives(protocol, overrides):
    world = reused_too_soon(protocol, *overrides)
    assert [fact.vm for fact in world.of(o.VmBugged)] == [VM]
    assert not {"AN11", "I3", "I4"} & world.found
    assert not actor(world, VMM, 3).dead and actor(world, LOAD, 3).seat is Seat.TAKEN


def test_a_place_whose_new_vm_dies_while_it_boots_goes_to_the_next_one():
    world = reused_too_soon("two-phase-untraced")
    assert actor(world, LOAD, 3).seat is Seat.LOST
    assert actor(world, LOAD, 5).seat is Seat.TAKEN
    assert actor(world, LOAD, 1).seat is Seat.LEFT


def test_a_module_that_does_not_look_at_the_pamt_is_found(monkeypatch):
    """The planted bug: the books of the host, which outlive a TD, know whose the frame is."""
    monkeypatch.setattr(tdx_verdict, "unowned", lambda _, __, message: message.count)
    world = reused_too_soon("two-phase-untraced")
    assert {"AN11", "I3", "I4"} <= world.found


# --- no false alarm ------------------------------------------------------------------------------


def test_books_begin_anew_for_each_vm_and_keep_the_frames_of_the_host():
    world = host()
    kill(world)
    world.run()
    old, new = world.inspector.books(VM), world.inspector.books(NEXT)
    assert old.dead and not new.dead and new is not old
    assert new.accepted.only(0, PAGES, 1)
    owners = world.inspector.owners_of(VM).runs(0, PAGES)
    assert {vm_at(place) for _, _, place in owners} == {NEXT}


# --- whole runs ----------------------------------------------------------------------------------


def test_what_is_asked_of_a_place_does_not_depend_on_who_has_it():
    asked, lost = set(), {}
    for name in ("two-phase", "two-phase-untraced", "undo-split-first"):
        outcome = simulated(
            *SMALL[1:], *READMITS, "scenario.duration=100ms", f"protocol.name={name}"
        )
        counters = [dict(map(split_off, word["meter"]["counters"])) for word in outcome.watched]
        asked.add(outcome.census["asked_requests"])
        lost[name] = sum(found["vms_admitted",] for found in counters)
        assert sum(found["requested",] for found in counters) == outcome.census["asked_requests"]
    assert len(asked) == 1 and min(lost.values()) > 2


def split_off(row):
    """A counter's labels and its value."""
    *labels, count = row
    return tuple(labels), count


def test_frames_that_go_from_hand_to_hand_are_counted_once():
    kills = 'fault=[{point="vmm.kill",probability=1e-4}]'
    outcome = simulated(*SMALL[1:], *READMITS, "scenario.duration=100ms", kills)
    assert outcome.census["leaked_bytes"] == 0
    held = outcome.census["private_bytes"] + outcome.census["shared_bytes"]
    assert held > 0 and held % (32 << 20) == 0


def test_a_faults_vms_are_places():
    rule = FaultRule("tdx.bug", vms=(1,), places=2)
    assert [n for n in range(6) if rule.covers(0, vm_address(0, n))] == [1, 3, 5]
