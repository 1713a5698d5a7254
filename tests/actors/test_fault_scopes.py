"""Which guest memory each fault point asks about, and rules by range, schedule and duration on whole hosts."""

from collections import defaultdict

import pytest

from actors.contract import Reason
from actors.observations import ConvertEnd, Failed, PoisonSet, SeamcallAnswered, UndoFailed
from actors.tdx.states import Call, Status
from cluster.faults import Armed, FaultPlan, FaultRule
from tests.helpers import PRIVATE, SHARED, World, places_of

# Both edges cut through a leaf; between them lies a whole one.
START, END = 0x1F0, 0x410
WHOLE, FIRST, MIDDLE, LAST = (START, END), (0, 0x200), (0x200, 0x400), (0x400, 0x600)
PAGES = [(page, page + 1) for page in range(START, END)]


class Everything(dict[str, list[Armed]]):
    """Holds every point, so that all of them are asked."""

    def __contains__(self, _):
        return True


class Listening(FaultPlan):
    """Notes what each point is asked about; nothing strikes."""

    def __init__(self):
        super().__init__(1, ())
        self.armed = Everything()
        self.asked = defaultdict(list)

    def choose(self, point, count, key, now, span=1, places=None):
        """See cluster.faults.FaultPlan."""
        self.asked[point] += places_of(count, key, span, places)


def shared_world(*overrides):
    """A host on which the range is shared, used by the guest, the VMM and the devices."""
    world = World(*overrides)
    world.ask(START, END, SHARED, use=True)
    world.run()
    return world


def asked(world, act):
    """Point -> guest memory of every opportunity while `act` is done, in order."""
    world.host.faults = found = Listening()
    act(world)
    world.run()
    return found.asked


# --- what each point is asked about --------------------------------------------------------------


def test_on_the_way_to_shared_each_point_is_asked_about_its_own_memory():
    found = asked(World(), lambda world: world.request(START, END, SHARED))
    assert found["gmem.tree"] == [WHOLE]
    assert found["gmem.vmemmap"] == found["gmem.stash"] == [FIRST, MIDDLE, LAST]
    assert found["alloc.pages"] == [WHOLE, WHOLE]  # guest_memfd, then KVM
    assert found["kvm.split_memory"] == [FIRST, LAST]
    assert found["tdx.demote_busy"] == found["tdx.interrupted"] == [FIRST, LAST]
    assert found["tdx.busy"] == [FIRST, LAST, *PAGES[:16], MIDDLE, *PAGES[-16:]]
    assert found["tdx.track_busy"] == found["tdx.busy"]
    assert found["tdx.remove_busy"] == found["tdx.bug"] == found["tdx.busy"][2:]
    assert found["iommu.map"] == [WHOLE]
    assert found["pins.private"] == PAGES


def test_on_the_way_to_private_each_point_is_asked_about_its_own_memory():
    found = asked(shared_world(), lambda world: world.request(START, END, PRIVATE))
    assert found["gmem.tree"] == found["iommu.slots"] == found["iommu.timeout"] == [WHOLE]
    assert found["pins.long"] == found["pins.transient"] == PAGES
    assert found["alloc.pages"] == [WHOLE]
    assert "gmem.vmemmap" not in found and "tdx.busy" not in found


def test_a_fault_is_asked_about_the_pages_that_it_installs():
    world = shared_world()
    world.convert(START, END, PRIVATE)
    found = asked(world, lambda world: world.touch(START, END, PRIVATE))
    assert sorted(found["tdx.aug_busy"]) == [*PAGES[:16], MIDDLE, *PAGES[-16:]]


def test_an_interrupt_is_about_the_page_where_the_next_piece_begins():
    found = asked(World(), lambda world: world.ask(START, END, SHARED))
    assert found["kvm.interrupt"] == [(0x3F0, 0x3F1)]


def test_a_track_for_a_whole_step_is_about_the_whole_step():
    found = asked(World("vm.track=step"), lambda world: world.request(START, END, SHARED))
    assert found["tdx.track_busy"] == [FIRST, LAST, (START, 0x200), MIDDLE, (0x400, END)]


# --- rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [0x1F0, 0x1F5, 0x3FF, 0x405])
def test_a_bug_in_a_range_strikes_that_page_and_no_other(page):
    world = World("vm.start=mapped-4k")
    world.inject("tdx.bug", pages=(page, page + 1))
    assert world.convert(START, END, SHARED) is Reason.BUG
    assert [(fact.start, fact.end) for fact in world.of(PoisonSet)] == [(page, page + 1)]


def test_outside_its_range_a_rule_is_none():
    world = World()
    world.inject("tdx.bug", "kvm.split_memory", pages=(END, 0x800))
    assert world.convert(0, 0x3FF, SHARED) is Reason.NONE


def test_only_the_leaf_in_the_range_cannot_be_split():
    world = World()
    world.inject("kvm.split_memory", pages=MIDDLE)
    assert world.convert(START, END, SHARED) is Reason.NONE
    assert world.convert(0x600, 0x610, SHARED) is Reason.NONE
    world = World()
    world.inject("kvm.split_memory", pages=LAST)
    assert world.convert(START, END, SHARED) is Reason.NO_MEMORY


def test_the_third_demote_of_vm_7_is_interrupted_and_the_fourth_is_not():
    world = World("fleet.vms_per_host=8", "vmm.retry=backoff")
    world.inject("tdx.interrupted", nth=(3,), vms=(7,))
    numbers = [(vm, world.request(*WHOLE, SHARED, vm)) for vm in range(8)]
    numbers += [(vm, world.request(0x610, 0x620, SHARED, vm)) for vm in range(8)]
    world.run()
    assert {world.answer(number) for _, number in numbers} == {Reason.NONE}
    demotes = [f for f in world.of(SeamcallAnswered) if f.call == Call.DEMOTE]
    by_vm = {f.vm: [g.status for g in demotes if g.vm == f.vm] for f in demotes}
    *others, seventh = [by_vm[vm] for vm in sorted(by_vm)]
    assert others == [[Status.OK] * 3] * 7
    assert seventh == [Status.OK, Status.OK, Status.INTERRUPTED, Status.OK]


def test_memory_that_stays_short_fails_every_try_until_it_is_there_again():
    world = World("vmm.retry=backoff", "vmm.retry_first=1ms", "vmm.retry_max=1ms")
    world.inject("gmem.tree", nth=(1,), lasts=3_500_000)
    assert world.convert(START, END, SHARED) is Reason.NONE
    assert [fact.reason for fact in world.of(Failed)] == [Reason.NO_MEMORY] * 4
    assert world.of(ConvertEnd)[-1].reason is Reason.NONE


@pytest.mark.parametrize("also", [(), ("gmem.undo_tree",)])
def test_memory_that_stays_short_makes_the_undo_fail_too(also):
    world = World("protocol.name=undo")
    world.inject("gmem.vmemmap", nth=(1,), lasts=10**9, also=also)
    assert world.convert(START, END, SHARED) is Reason.NO_MEMORY
    assert ("AN4" in world.found, bool(world.of(UndoFailed))) == (bool(also), bool(also))
    assert world.gmem().share.only(START, END, SHARED if also else PRIVATE)


def test_a_lock_that_stays_held_makes_the_retry_fail_too():
    world = World()
    world.inject("tdx.busy", nth=(1,), lasts=10**9)
    assert world.convert(START, END, SHARED) is Reason.BUSY
    world = World()
    world.inject("tdx.busy", nth=(1,))
    assert world.convert(START, END, SHARED) is Reason.NONE


def test_a_call_that_meets_a_held_lock_is_no_opportunity():
    world = World()
    world.td().tree_exclusive_until = 10**15
    world.inject("tdx.busy", nth=(1,))
    assert world.convert(START, END, SHARED) is Reason.BUSY
    assert world.host.faults.snapshot() == []


@pytest.mark.parametrize(("busy", "bug"), [(0x1F8, 0x1F4), (0x1F4, 0x1F8)])
def test_of_two_points_of_a_call_the_one_at_the_earlier_page_strikes_first(busy, bug):
    world = World("vm.start=mapped-4k")
    rules = [FaultRule("tdx.remove_busy", pages=(busy, busy + 1), nth=(1,))]
    rules += [FaultRule("tdx.bug", pages=(bug, bug + 1))]
    world.host.faults = FaultPlan(1, rules)
    assert world.convert(START, END, SHARED) is Reason.BUG
    assert [fact.start for fact in world.of(PoisonSet)] == [bug]
    statuses = [f.status for f in world.of(SeamcallAnswered) if f.call == Call.REMOVE]
    before = [Status.BUSY, Status.OK] if busy < bug else []
    rest = [Status.OK] * 3  # of this step and of two others: the walk goes on
    assert statuses == [*before, Status.BUG, *rest]
