"""A boot: firmware's buffers, swiotlb, then memory accepted by one vCPU or by many."""

import msgspec
import pytest

from actors import messages as m
from actors.address import GUEST, vm_address
from actors.contract import PAGES_2M, Reason
from actors.names import access_number, access_task, part_task
from actors.observations import Booted, MemoryTouched
from tests.helpers import PRIVATE, SHARED, Recorder, World
from workloads.loads.load import Job, Load, parts_of
from workloads.loads.programs import BootProgram
from workloads.scenario import Boot

VM = vm_address(0, 0)
MIB = 1 << 20
PAGES = 64 * PAGES_2M
SMALL = Boot(firmware_conversions=0, swiotlb_min=4 * MIB, swiotlb_max=4 * MIB, accept=8 * MIB)


def jobs(load, accept=True, pages=PAGES):
    program = BootProgram(load, pages, accept, 1, VM)
    found: list[Job] = []
    while (job := program.job(0, len(found))) is not None:
        found.append(job)
    return found


def shapes(load, **more):
    return [(job.start, job.end, job.to, job.convert) for job in jobs(load, **more)]


# --- the program ---------------------------------------------------------------------------------


def test_swiotlb_is_accepted_converted_and_only_then_the_rest_accepted():
    top = PAGES - 2 * PAGES_2M
    assert shapes(SMALL) == [
        (top, PAGES, PRIVATE, False),
        (top, PAGES, SHARED, True),
        (0, 4 * PAGES_2M, PRIVATE, False),
    ]


def test_memory_that_is_accepted_already_is_not_accepted_again():
    assert shapes(SMALL, accept=False) == [(PAGES - 2 * PAGES_2M, PAGES, SHARED, True)]


def test_the_guest_that_accepts_has_its_vcpus_up():
    (*early, last) = jobs(msgspec.structs.replace(SMALL, accept_vcpus=4, ticking_vcpus=7))
    assert [job.ticking for job in early] == [-1, -1]
    assert (last.parts, last.ticking) == (4, 7)


def test_firmwares_buffers_lie_close_together_below_swiotlb():
    load = msgspec.structs.replace(SMALL, firmware_conversions=500, firmware_range=20 * MIB)
    buffers = jobs(load)[:1000]
    top = PAGES - 2 * PAGES_2M
    assert min(job.start for job in buffers) >= top - 10 * PAGES_2M
    assert max(job.end for job in buffers) <= top
    assert len({job.start // PAGES_2M for job in buffers}) == 10


@pytest.mark.parametrize("pages", [PAGES_2M, 2 * PAGES_2M])
def test_a_small_vm_boots_within_its_memory(pages):
    load = msgspec.structs.replace(SMALL, firmware_conversions=50)
    assert all(0 <= job.start < job.end <= pages for job in jobs(load, pages=pages))


# --- the load ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pages", "parts", "expected"),
    [
        (8, 1, [(0, 8)]),
        (8, 4, [(0, 8)]),
        (PAGES_2M + 8, 2, [(0, PAGES_2M), (PAGES_2M, PAGES_2M + 8)]),
        (3 * PAGES_2M, 2, [(0, PAGES_2M), (PAGES_2M, 3 * PAGES_2M)]),
    ],
)
def test_parts_are_whole_huge_pages(pages, parts, expected):
    assert parts_of(Job(0, 0, pages, PRIVATE, convert=False, parts=parts)) == expected


class Once:
    """One job in one lane."""

    lanes, sides, timed, one_sequence, boots = 1, 0, False, False, True

    def __init__(self, job):
        self.only = job

    def job(self, lane, step):
        return None if step else self.only


def test_a_job_in_parts_is_done_when_its_last_part_is():
    job = Job(0, 0, 3 * PAGES_2M, PRIVATE, convert=False, parts=3, ticking=5)
    load, context = Load(VM, Once(job), 0, 10**9, 0, [0]), Recorder()
    load.on_tick(m.Tick(0), context)
    sent = context.take()
    assert {one.target for one in sent} == {VM | GUEST}
    assert sent[0].message == m.Online(5)
    first, second, third = (one.message.task for one in sent[1:])
    assert [first, second, third] == [part_task(1, part) for part in range(3)]
    context.now = 700
    for task in (second, first):
        load.on_done(m.TaskDone(task, Reason.NONE), context)
        assert (context.take(), context.of(MemoryTouched)) == ([], [])
    load.on_done(m.TaskDone(third, Reason.NONE), context)
    assert context.messages() == [m.Tick(0)]
    assert context.of(MemoryTouched) == [MemoryTouched(VM, 0, 3 * PAGES_2M, PRIVATE, 700)]
    assert (load.tasks, load.touching) == ({}, {})


def test_the_parts_of_a_job_are_told_apart_in_their_accesses_too():
    parts = [part_task(77, part) for part in range(1024)]
    assert [access_task(access_number(task, 0, 5 * PAGES_2M)) for task in parts] == parts
    assert len(set(parts)) == 1024


# --- with everybody ------------------------------------------------------------------------------

BOOT = ("vm.memory=64MiB", "vm.start=unaccepted", "vm.vcpus=8", "vm.busy_vcpus=8")


def boot(*keys, **load):
    small = {"firmware_conversions": 0, "swiotlb_min": "4MiB", "swiotlb_max": "4MiB"}
    texts = [f"workload.0.{name}={value}" for name, value in {**small, **load}.items()]
    world = World(
        "workload.0.kind=boot", *texts, *BOOT, *keys, "fleet.spare_memory=1GiB", load=True
    )
    world.run()
    assert len(world.of(Booted)) == 1
    assert (world.found, world.pending()) == (set(), {})
    return world.of(MemoryTouched)[-1].took


def test_vcpus_that_tick_slow_the_accepting_down():
    calm, storm = (boot("vm.accept_level=4k", accept="8MiB", ticking_vcpus=n) for n in (0, 8))
    assert storm / calm == pytest.approx((8 + 145 * 8 / 248) / 8, rel=0.01)


def test_vcpus_side_by_side_are_faster_up_to_what_is_serial():
    alone, two, many = (
        boot("vm.accept_level=4k", accept="32MiB", accept_vcpus=n) for n in (1, 2, 8)
    )
    assert alone / two == pytest.approx(2, rel=0.05)
    assert alone / many == pytest.approx(8 / 3.4, rel=0.1)


def test_huge_pages_are_accepted_side_by_side():
    alone, many = (boot(accept="32MiB", accept_vcpus=n) for n in (1, 8))
    assert alone / many == pytest.approx(8, rel=0.05)
