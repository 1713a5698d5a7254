"""dma-storm: the pool first, then devices and conversions side by side; DMAR faults where a failure left a hole."""

import pytest

from actors import messages as m
from actors import observations as o
from actors.address import vm_address
from actors.contract import Reason, Share
from actors.devices import NEVER
from actors.fleet.move_messages import Pause
from tests.helpers import PRIVATE, SHARED, Recorder, World
from workloads.errors import UsageError
from workloads.loads.arrived import ArrivedLoad
from workloads.loads.dma import DmaStormProgram, DmaStreams
from workloads.loads.moving import MovingLoad
from workloads.loads.tenant import Seat
from workloads.scenario import DmaStorm, decode

MIB = 1 << 20
PAGES = 0x2000  # of the VM
POOL = 0x800


def program(**keys):
    return DmaStormProgram(DmaStorm(**keys), PAGES, 1, 0)


def streams(**keys):
    return DmaStreams(DmaStorm(**keys), 1, 0)


def jobs(found, lane, count=400):
    return [found.job(lane, step) for step in range(count)]


# --- the program ---------------------------------------------------------------------------------


def test_the_first_lane_shares_the_pool():
    pool = program().job(0, 0)
    assert (pool.start, pool.end, pool.to) == (0, POOL, SHARED)


@pytest.mark.parametrize("lane", range(4))
def test_each_lane_goes_there_and_back_in_parts_of_its_own(lane):
    found = jobs(program(pool_hits=0.5), lane, 401)[lane == 0 :][:400]
    part = (PAGES - POOL) // 4
    for there, back in zip(found[::2], found[1::2], strict=True):
        in_pool = there.start < POOL
        assert (there.to, back.to) == ((PRIVATE, SHARED) if in_pool else (SHARED, PRIVATE))
        assert (there.start, there.end) == (back.start, back.end)
        first = lane * POOL // 4 if in_pool else POOL + lane * part
        assert first <= there.start < there.end <= first + (POOL // 4 if in_pool else part)


@pytest.mark.parametrize("hits", [0.0, 0.25, 1.0])
def test_so_many_conversions_hit_the_pool(hits):
    found = jobs(program(pool_hits=hits), 1, 4000)[::2]
    share = sum(job.start < POOL for job in found) / len(found)
    assert abs(share - hits) < 0.03


def test_streams_keep_to_their_parts_and_to_their_rate():
    found = streams(dma_rate=1e5)
    for stream in range(4):
        dmas = [found.dma(stream, number) for number in range(2000)]
        assert all(stream * 0x200 <= d.start < d.end <= (stream + 1) * 0x200 for d in dmas)
        assert abs(sum(d.wait for d in dmas) / len(dmas) / 10_000 - 1) < 0.1
        assert 0.4 < sum(d.write for d in dmas) / len(dmas) < 0.6


def test_windows_have_lengths_between_their_limits():
    found = streams(windows=10.0, window_min=64 << 10, window_max=MIB)
    sizes = {w.end - w.start for w in (found.window(0, number) for number in range(500))}
    assert (min(sizes), max(sizes)) == (16, 256)


def test_a_part_that_is_too_short_cuts_them():
    found = streams(pool=2 * MIB, streams=64)
    assert {found.window(0, n).end - found.window(0, n).start for n in range(50)} == {8}
    assert found.window(0, 0).wait != NEVER
    assert streams(windows=0.0).window(0, 0).wait == NEVER


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[vm]\ndevices = 0", "vm.devices: found 0, expected 1 or more: workload.0 is dma-storm"),
        (
            "[vm]\nmemory = '8MiB'",
            'workload.0.pool: found "8MiB", expected less than vm.memory (8MiB)',
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(text, error):
    with pytest.raises(UsageError) as raised:
        decode(f"[[workload]]\nkind = 'dma-storm'\n{text}", "a.toml")
    assert str(raised.value) == f"a.toml: {error}"


# --- runs ----------------------------------------------------------------------------------------

RUN = (
    "scenario.conversions=120",
    "vm.memory=32MiB",
    "workload.0.kind=dma-storm",
    "workload.0.pool=2MiB",
    "workload.0.dma_rate=400000",
    "workload.0.windows=2000",
    "workload.0.pool_hits=0.5",
)


def played(*overrides):
    world = World(*RUN, *overrides, load=True, spread=True)
    world.run()
    return world


def faults_of_shared_memory(world):
    """DMAR faults at memory that was shared just then."""
    shared, found = set[int](), 0
    for _, fact in world.notebook.facts:
        if isinstance(fact, o.ShareStored):
            pages = set(range(fact.start, fact.end))
            shared = shared | pages if fact.to is Share.SHARED else shared - pages
        elif isinstance(fact, o.DmarFault):
            found += fact.start in shared
    return found


def test_a_healthy_storm_has_no_findings_and_ends():
    world = played()
    assert (world.found, world.pending()) == (set(), {})
    assert len(world.of(o.DmaDone)) > 1000
    assert world.of(o.DmaHeld)
    # Devices that use what the guest takes away under them: not the host's doing.
    assert world.of(o.DmarFault)


def test_dma_does_not_begin_once_all_conversions_have_ended():
    world = World(
        *RUN,
        "workload.0.pace=open",
        "workload.0.rate=20000",
        "scenario.duration=100us",
        "vm.page_order=0",
        "vm.start=mapped-4k",
        load=True,
        spread=True,
    )
    world.run()
    assert (world.of(o.DmaDone), world.pending()) == ([], {})


@pytest.mark.parametrize(
    ("kind", "state", "begins"),
    [
        (ArrivedLoad, {}, True),
        (ArrivedLoad, {"seat": Seat.LEFT}, False),
        (MovingLoad, {}, True),
        (MovingLoad, {"going": Pause(7, vm_address(1, 0))}, False),
    ],
    ids=["at home", "gone", "at home, movable", "about to move"],
)
def test_dma_does_not_begin_where_nobody_will_stop_it(kind, state, begins):
    storm = program(pool=4 << 20, outstanding=1)
    actor, context = kind(vm_address(0, 0), storm, 0, 1000, 0, [1]), Recorder()
    for name, value in state.items():
        setattr(actor, name, value)
    shared = actor.task(0, 0)
    actor.tasks = {shared: 0}
    actor.receive(m.TaskDone(shared, Reason.NONE), context)
    assert (m.StartDma() in context.messages()) is begins


def test_dma_meets_unmaps_that_are_under_way():
    world = played("costs.override.iotlb_invalidate=100us")
    assert {fact.stale for fact in world.of(o.DmaDone)} == {False, True}
    assert world.found == set()


def test_without_the_storm_there_is_no_dma():
    world = World("scenario.conversions=20", load=True)
    world.run()
    assert not world.of(o.DmaDone) and not world.of(o.DmarFault)


@pytest.mark.parametrize(
    "overrides",
    [
        ("protocol.name=failable-notifier",),
        ("protocol.name=undo", "protocol.swallow_enomem=false"),
        ("vm.iommu=pin",),
        ("protocol.iommu_prepare=unmap-early",),
    ],
    ids=["failable-notifier", "undo", "two-phase with pins", "two-phase, unmap early"],
)
def test_an2_is_reached_where_a_failed_conversion_has_unmapped(overrides):
    points = {"gmem.tree": 0.2, "pins.transient": 0.05}
    faults = [
        text
        for n, (point, probability) in enumerate(points.items())
        for text in (f"fault.{n}.point={point}", f"fault.{n}.probability={probability}")
    ]
    world = played(
        *overrides,
        *faults,
        "vmm.retry=report",
        "vm.guest_retries=0",
        "costs.override.transient_ref=1ms",
    )
    assert "AN2" in world.found
    assert faults_of_shared_memory(world)


def test_under_two_phase_as_the_mail_has_it_no_refusal_takes_a_mapping_away():
    world = played(
        "fault.0.point=pins.long",
        "fault.0.probability=0.02",
        "vmm.retry=report",
        "vm.guest_retries=0",
    )
    assert {fact.reason.name for fact in world.of(o.Failed)} == {"REFERENCES"}
    assert world.found == set()
