"""Every class of failure at every fault point: the run ends, all is answered, and no check fires that must not."""

from itertools import product

import pytest

from actors.contract import Reason
from actors.observations import Failed, PoisonSet, Spinning, VmBugged
from actors.protocols import PROTOCOLS
from cluster.fault_points import CLASSES, FAULT_POINTS
from cluster.faults import FaultPlan, FaultRule
from tests.helpers import PRIVATE, SHARED, World
from workloads.checkers import ANOMALIES, INVARIANTS

ADMITTED = {c.id for c in INVARIANTS + ANOMALIES if "two-phase" in c.admitted}
# Ranges that cut through leaves, lie within one, are whole leaves, and a page.
RANGES = ((0x1F0, 0x410), (0x10, 0x20), (0x400, 0x800), (0x300, 0x301))
# How often, for how long, and on which hosts.
SITUATIONS: dict[str, tuple[dict[str, float], tuple[str, ...]]] = {
    "always": ({"probability": 1.0}, ()),
    "often": ({"probability": 0.2}, ("vm.track=step", "vmm.retry=cooperative")),
    "now and then": ({"probability": 0.02}, ("vm.start=mapped-4k", "vm.reaction=revert")),
    "for a while": ({"probability": 0.1, "lasts": 2_000_000}, ("vm.start=unaccepted",)),
    "in turn": ({"probability": 1.0, "every": 5}, ("vm.devices=0", "vm.reaction=ignore")),
}
# A thousand tries at each access take their time.
BRIEF = {"tdx.aug_busy": {"every": 3}}
PAIRS = [*product(FAULT_POINTS, CLASSES.values())]
# Points of steps that two-phase does not have, of callbacks that may not fail under it (test_notifier.py), and of what
# is off by default (test_contention.py, test_files.py, test_moving.py, test_sept_tables.py, test_td_pinned.py).
ELSEWHERE = (
    "guest.release",
    "tdx.accept_storm",
    "tdx.accepting",
    "tdx.sept_add_busy",
    "tdx.teardown",
    "gmem.work",
    "gmem.readd",
    "gmem.undo_readd",
    "gmem.mark",
    "gmem.undo_tree",
    "gmem.undo_restructure",
    "kvm.file_split",
    "kvm.notifier",
    "move.refused",
    "move.transfer",
)
# Those that every class makes a consumer, or guest_memfd, say no.
REFUSING = (
    "alloc.pages",
    "gmem.stash",
    "gmem.tree",
    "gmem.vmemmap",
    "iommu.slots",
    "kvm.split_memory",
    "pins.long",
    "pins.private",
    "tdx.demote_busy",
    "tdx.interrupted",
)
COMMITTING = ("iommu.timeout", "tdx.bug", "tdx.remove_busy", "tdx.wbinvd_busy")


class Noting(FaultPlan):
    """Keeps the classes of what has struck."""

    def __init__(self, rule):
        super().__init__(1, [rule])
        self.struck = []

    def choose(self, *asked):
        """See cluster.faults.FaultPlan."""
        fault = super().choose(*asked)
        if fault:
            self.struck.append(fault.reason)
        return fault


def stirred(point, reason, rule, overrides):
    """Two VMs convert, use and convert again, on each other's heels, while the rule is in force."""
    world = World("fleet.vms_per_host=2", "vmm.retry=backoff", *overrides)
    world.host.faults = Noting(FaultRule(point, **rule, reason=reason))
    for vm in (0, 1) if point == "vmm.kill" else ():
        world.killable(vm)
    tasks, requests = [], []
    for vm in (0, 1):
        for turn, (start, end) in enumerate(RANGES):
            for to in (SHARED, PRIVATE):
                task = world.ask(start, end, to, True, vm, 1 + 500 * turn)
                tasks.append(task)
            tasks.append(world.touch(start, end, PRIVATE, vm, 3000 + turn))
        for to in (SHARED, PRIVATE):
            request = world.request(0x600, 0x700, to, vm, 2000 + to)
            requests.append(request)
    world.run()
    return world, tasks, requests


def held_up(point, reason, situation, **more):
    """The world afterwards, in which all is as it must be."""
    rule, overrides = SITUATIONS[situation]
    world, tasks, requests = stirred(point, reason, rule | more, overrides)
    assert sorted(task for task, _ in world.tasks) == sorted(tasks)
    assert {answer.request for answer in world.answers} >= {*requests}
    assert world.pending() == {}
    assert world.found <= ADMITTED
    return world


@pytest.mark.parametrize(("point", "reason"), PAIRS)
def test_whatever_fails_the_run_ends_and_nothing_is_left_hanging(point, reason):
    world = held_up(point, reason, "always", **BRIEF.get(point, {}))
    assert {*world.host.faults.struck} == (set() if point in ELSEWHERE else {reason})
    others = [name for name in SITUATIONS if name != "always"]
    held_up(point, reason, others[PAIRS.index((point, reason)) % len(others)])


@pytest.mark.nightly
@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize(("point", "reason"), PAIRS)
def test_whatever_fails_in_any_situation(point, reason, situation):
    held_up(point, reason, situation)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_protocol_breaks_over_any_class_at_any_point(protocol):
    small = ("vm.page_order=0", "vm.start=mapped-4k") if protocol == "in-place" else ()
    struck = set()
    for turn, point in enumerate(FAULT_POINTS):
        reason = [*CLASSES.values()][turn % len(CLASSES)]
        overrides = (f"protocol.name={protocol}", *small)
        world, tasks, _ = stirred(point, reason, {"probability": 0.2}, overrides)
        # A wait for references may have no end (AN9).
        assert len(world.tasks) == len(tasks) or world.of(Spinning)
        struck |= {point for why in world.host.faults.struck if why is reason}
    assert len(struck) >= 10


def before(to):
    """A host that uses the range on the side which it is to leave."""
    world = World()
    if to is PRIVATE:
        world.ask(0x1F0, 0x410, SHARED, use=True)
        world.run()
    return world


def failed(world):
    """Phase and reason of each failure."""
    return [(fact.phase, fact.reason) for fact in world.of(Failed)]


@pytest.mark.parametrize(("point", "reason"), [*product(REFUSING, CLASSES.values())])
def test_before_the_decision_a_failure_is_a_no_of_its_class(point, reason):
    to = PRIVATE if point in ("iommu.slots", "pins.long") else SHARED
    world = before(to)
    maps = world.maps()
    world.inject(point, reason=reason)
    assert world.convert(0x1F0, 0x410, to) is reason
    ((phase, why),) = failed(world)
    assert (phase in ("reserving", "preparing"), why) == (True, reason)
    assert (world.vmm().dead, world.found) == (reason is Reason.BUG, set())
    assert world.vmm().dead or world.maps() == maps


@pytest.mark.parametrize(("point", "reason"), [*product(COMMITTING, CLASSES.values())])
def test_after_the_decision_a_failure_is_poison_and_an_anomaly_unless_it_is_a_bug(point, reason):
    to = PRIVATE if point == "iommu.timeout" else SHARED
    world = before(to)
    world.inject(point, reason=reason)
    assert world.convert(0x1F0, 0x410, to) is Reason.BUG
    assert failed(world) == [("committing", reason)]
    assert [(f.reason, f.injected) for f in world.of(VmBugged)] == [(reason, True)]
    assert world.of(PoisonSet)
    late = set() if reason is Reason.BUG else {"AN28"}
    contention = {"AN24"} if reason is Reason.BUSY else set()
    assert world.found - {"AN15"} == late | contention


@pytest.mark.parametrize("reason", CLASSES.values())
def test_a_mapping_for_the_devices_fails_with_its_class_and_the_memory_is_shared(reason):
    world = World()
    world.inject("iommu.map", reason=reason)
    assert world.convert(0x1F0, 0x410, SHARED) is reason
    assert world.gmem().share.only(0x1F0, 0x410, SHARED)
    assert (world.found, world.vmm().dead) == ({"AN18"}, False)


@pytest.mark.parametrize(("point", "to"), [("tdx.aug_busy", PRIVATE), ("kvm.interrupt", SHARED)])
@pytest.mark.parametrize("reason", CLASSES.values())
def test_beside_a_conversion_a_failure_costs_a_detour_and_a_bug_the_vm(point, to, reason):
    world = before(to)
    world.inject(point, reason=reason, every=3)
    task = world.ask(0x1F0, 0x410, to) if to is PRIVATE else world.ask(0, 0x800, to)
    world.run()
    bugs = [(f.reason, f.injected) for f in world.of(VmBugged)]
    if reason is Reason.BUG:
        assert (world.tasks[-1], bugs) == ((task, Reason.DEAD), [(reason, True)])
    else:
        assert (world.tasks[-1], bugs) == ((task, Reason.NONE), [])
    assert (world.found, world.pending()) == (set(), {})


def test_the_class_of_a_pin_that_is_none_names_the_page_and_pins_nothing():
    world = before(PRIVATE)
    world.inject("pins.long", reason=Reason.NO_MEMORY, pages=(0x300, 0x301))
    number = world.request(0x1F0, 0x410, PRIVATE)
    world.run()
    (answer,) = [found for found in world.answers if found.request == number]
    assert (answer.reason, answer.offset) == (Reason.NO_MEMORY, 0x300)
    assert world.pins().held == {}


def test_an_invalidation_that_fails_does_not_hold_the_queue_for_others():
    world = before(PRIVATE)
    world.inject("iommu.timeout", reason=Reason.BUG)
    world.convert(0x1F0, 0x410, PRIVATE)
    assert world.iommu().free_at < world.iommu().timeout
