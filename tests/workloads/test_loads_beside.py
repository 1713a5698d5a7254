"""Loads with something beside the conversions: it happens as often as asked, meets them, and leaves nothing behind."""

from collections import Counter

import pytest

from actors import observations as o
from actors.address import vm_address
from actors.intervals import IntervalMap
from actors.kvm import memory as kvm_memory
from actors.notifier_sites import CALLERS, EXIT_MMAP
from tests.helpers import PRIVATE, SHARED, World
from tests.runs import simulated
from workloads.errors import UsageError
from workloads.loads.table import PROGRAMS
from workloads.scenario import KINDS, Boot, Trace, decode

POOL = 8 << 20
VM = vm_address(0, 0)
SMALL = ("vm.memory=64MiB", "workload.0.outstanding=3")


def played(kind, *overrides):
    """The load from start to end on one host."""
    world = World(f"workload.0.kind={kind}", *SMALL, *overrides, load=True, spread=True)
    world.run()
    return world


def at_rest(world):
    """Nothing is left to do, and whoever keeps books on the memory agrees."""
    assert world.pending() == {}
    assert world.vmm().bitmap == world.gmem().share
    assert world.gmem().share.only(0, 0x4000 - POOL // 4096, PRIVATE)
    return world.found


def test_every_kind_has_a_program():
    assert {*PROGRAMS, Trace, Boot} == {*KINDS.values()}


@pytest.mark.parametrize("kind", PROGRAMS, ids=lambda kind: kind.__name__)
def test_a_program_is_a_function_of_lane_and_step_within_memory(kind):
    first, second = (PROGRAMS[kind](kind(), 0x10000, 7, VM) for _ in range(2))
    assert 0 <= first.sides < first.lanes == second.lanes
    for lane in range(first.lanes):
        for step in range(40):
            job = first.job(lane, step)
            assert job == second.job(lane, step)
            assert job is None or (job.wait >= 0 and 0 <= job.start <= job.end <= 0x10000)


def test_another_seed_is_another_program():
    for kind, make in PROGRAMS.items():
        jobs = [[make(kind(), 0x10000, seed, VM).job(0, n) for n in range(9)] for seed in (1, 2)]
        drawn = kind.__name__ not in ("HotRange", "Script", "Shutdown", "Sweep")
        assert (jobs[0] != jobs[1]) == drawn, kind


# --- notifier-storm ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def storm():
    return played(
        "notifier-storm",
        f"workload.0.pool={POOL}B",
        "workload.0.rate=10000",
        "scenario.duration=60ms",
    )


def test_callers_come_as_often_as_asked_from_the_whole_table(storm):
    calls = storm.of(o.NotifierCalled)
    assert 600 - 4 * 25 < len(calls) < 600 + 4 * 25
    seen = Counter(fact.site for fact in calls)
    chains = [c for c in CALLERS.values() if c.mark[0] in "NK" and c.number != EXIT_MMAP]
    assert {c.label for c in chains} <= set(seen)
    assert seen["N8 exit_mmap"] == 0 < seen["__oom_reap_task_mm"]
    assert 0.4 < sum(seen[c.label] for c in chains) / len(calls) < 0.6
    assert sum(label[0] not in "NK" for label in seen) > 25


def test_they_meet_conversions_on_their_range(storm):
    conversions, met = dict[int, o.ConvertBegin](), 0
    for _, fact in storm.notebook.facts:
        if isinstance(fact, o.ConvertBegin):
            conversions[fact.op] = fact
        elif isinstance(fact, o.ConvertEnd):
            del conversions[fact.op]
        elif isinstance(fact, o.NotifierCalled):
            met += any(c.start < fact.end and fact.start < c.end for c in conversions.values())
    assert met > 20


def test_they_take_what_is_mapped_and_it_comes_back(storm):
    gone = storm.of(o.MmUnmapped)
    assert len(gone) > 40
    assert storm.host_map().ptes.pages(0, 0x4000, 1) > 0


def test_no_callback_fails_and_no_conversion_suffers(storm):
    assert storm.of(o.NotifierError) == [] == storm.of(o.Failed)
    assert at_rest(storm) == set()


def test_with_a_notifier_that_may_fail_callers_of_every_sort_are_failed():
    overrides = (f"workload.0.pool={POOL}B", "workload.0.rate=20000", "scenario.duration=60ms")
    faults = ("fault.0.point=kvm.notifier", "fault.0.probability=0.02")
    world = World("workload.0.kind=notifier-storm", *SMALL, *overrides, *faults, load=True)
    world.host_map().failable = True
    world.run()
    failed = Counter((fact.no_fail, fact.blocking) for fact in world.of(o.NotifierError))
    assert failed.keys() == {(True, True), (False, True), (False, False)}
    assert {"AN13", "I18"} <= at_rest(world) <= {"AN13", "AN14", "I18"}


@pytest.mark.parametrize("kind", ["notifier-storm", "pin-holders", "memory-pressure"])
def test_an_open_loop_asks_at_its_own_times_and_what_is_beside_it_goes_on(kind):
    overrides = (
        "workload.0.pace=open",
        "workload.0.conversion_rate=2000",
        "scenario.duration=50ms",
    )
    worlds = [played(kind, *overrides, f"protocol.name={name}") for name in ("two-phase", "undo")]
    counts = [[len(w.of(o.Requested)), len(w.of(o.NotifierCalled)), w.pins().taken] for w in worlds]
    assert 70 < counts[0][0] < 140 and counts[0][0] == counts[1][0]
    assert counts[0][1] == counts[1][1]
    assert kind != "notifier-storm" or counts[0][1] > 20
    assert kind != "pin-holders" or counts[0][2] > 10


# --- pin-holders ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pinned():
    return played(
        "pin-holders",
        f"workload.0.pool={POOL}B",
        "workload.0.pinned=0.1",
        "workload.0.hold=1ms",
        "workload.0.hold_sigma=1",
        "scenario.duration=100ms",
        "vmm.retry=backoff",
    )


def test_the_share_of_pinned_pages_is_what_was_asked_for(pinned):
    facts = [(now, fact) for now, fact in pinned.notebook.facts if isinstance(fact, o.Pinned)]
    page_ns = sum(
        (1 if not fact.held else -1) * now * (fact.end - fact.start) for now, fact in facts
    )
    until = max(now for now, fact in facts if fact.held)
    assert 0.05 < page_ns / until / (POOL // 4096) < 0.15


def test_nobody_pins_private_memory(pinned):
    share = IntervalMap.filled(PRIVATE)
    for _, fact in pinned.notebook.facts:
        if isinstance(fact, o.ShareStored):
            share.set(fact.start, fact.end, fact.to)
        elif isinstance(fact, o.Pinned) and fact.held:
            assert share.only(fact.start, fact.end, SHARED)


def test_pins_refuse_conversions_and_are_gone_in_the_end(pinned):
    refused = [fact for fact in pinned.of(o.Failed) if fact.consumer == "pins"]
    assert len(refused) > 5
    assert pinned.pins().held == {} and pinned.pins().taken > 100
    assert at_rest(pinned) <= {"AN23"}  # a vCPU may wait long for a conversion that waits for a pin


# --- memory-pressure -----------------------------------------------------------------------------


def test_hungry_processes_empty_the_pool_and_give_everything_back():
    plain = ("vm.devices=0", "scenario.duration=40ms", "fleet.spare_memory=2MiB")
    hungry = ("workload.0.rate=10000", "workload.0.take_mean=128KiB", "vmm.retry=backoff")
    world = played("memory-pressure", *plain, *hungry)
    assert {fact.reason.name for fact in world.of(o.Failed)} == {"NO_MEMORY"}
    gmem, kvm = world.gmem(), world.kvm()
    tables = kvm.tables.pages(0, 0x4000, 1) // 512 * kvm_memory.SPLIT_PAGES
    assert world.allocator().free == 512 - gmem.metadata - tables
    assert (world.pending(), world.found - {"AN15"}) == ({}, set())
    calm = played("memory-pressure", *plain, "workload.0.rate=1")
    assert calm.of(o.Failed) == []


# --- rules and digests ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (("notifier-storm", "workload.0.pool=16GiB"), "workload.0.pool: found"),
        (("notifier-storm", "workload.0.chains=0.99"), "expected at most 1 - workload.0.chains"),
        (("balloon", "workload.0.size=16GiB"), "workload.0.size: found"),
        (("shutdown", "workload.0.shared=16GiB"), "workload.0.shared: found"),
        (("sweep", "workload.0.write_size=16GiB"), "workload.0.write_size: found"),
        (("sweep", "vm.start=unaccepted"), "workload.0.writers: found 2, expected 0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(overrides, text):
    kind, rest = overrides
    with pytest.raises(UsageError) as wrong:
        decode("", "x.toml", [f"workload.0.kind={kind}", rest])
    assert text in str(wrong.value) and "\n" not in str(wrong.value)


NEW = ("notifier-storm", "pin-holders", "memory-pressure", "balloon", "sweep", "shutdown")


@pytest.mark.parametrize("kind", NEW)
def test_the_same_seed_is_the_same_run(kind):
    small = (
        f"workload.0.kind={kind}",
        "fleet.hosts=2",
        "fleet.vms_per_host=1",
        "vm.memory=128MiB",
        "scenario.duration=20ms",
        "vm.devices=1",
    )
    one, two = simulated(*small), simulated(*small, "engine.yield_after=1ms")
    assert (one.digest, one.census) == (two.digest, two.census)
    assert one.digest != simulated(*small, "scenario.seed=2").digest
    assert one.census["leaked_bytes"] == 0
