"""Sizes that have to be carried: 100,000 fragments in one file, folios of 1 GiB, 256 vCPUs; 1 TiB is in test_large.py.

What must not grow is counted: events, and the items of interval maps looked at. Time is what benchmarks/sizes.py takes.
"""

from bisect import bisect_right
from math import log2

import pytest

from actors.address import GMEM, GUEST, HOST_MAP, KVM, PINS, VMM, vm_address
from actors.contract import PAGES_1G, Reason
from actors.intervals import IntervalMap
from tests.helpers import PRIVATE, SHARED, World, runs
from tests.runs import simulated

FRAGMENTS = 100_000
LARGE = ("two-phase", "undo", "in-place-huge")


# --- fragments -----------------------------------------------------------------------------------


class Counted(list[int]):
    """A list that counts the items that somebody reads or writes; what the machine moves behind them is not counted."""

    touched = 0

    def __getitem__(self, at):
        found = super().__getitem__(at)
        Counted.touched += len(found) if isinstance(at, slice) else 1
        return found

    def __setitem__(self, at, new):
        if isinstance(at, slice):
            new = list(new)
        Counted.touched += len(new) if isinstance(at, slice) else 1
        super().__setitem__(at, new)

    def __iter__(self):
        Counted.touched += len(self)
        return super().__iter__()


def counted(table):
    """The map, on lists that count."""
    table.starts, table.values = Counted(table.starts), Counted(table.values)
    return table


def touched(act):
    """How many items of counted maps it takes to do this."""
    before = Counted.touched
    act()
    return Counted.touched - before


def alternating(fragments):
    """A map whose odd pages are 1 and whose even ones are 0."""
    return IntervalMap(list(range(fragments)), [page % 2 for page in range(fragments)])


@pytest.mark.parametrize("fragments", [1_000, FRAGMENTS])
@pytest.mark.parametrize("width", [1, 10, 500])
@pytest.mark.parametrize(
    "act",
    [
        lambda table, start, end: table.get(start),
        lambda table, start, end: table.run_at(start, end),
        lambda table, start, end: table.only(start, end, 1),
        lambda table, start, end: table.runs(start, end),
        lambda table, start, end: table.pages(start, end, 1),
        lambda table, start, end: table.set(start, end, 1),
        lambda table, start, end: table.set(start, end, 2),
    ],
)
def test_an_interval_map_looks_at_what_it_must_and_no_more(act, width, fragments):
    table = counted(alternating(fragments))
    start = fragments // 2 + 1
    took = touched(lambda: act(table, start, start + width))
    assert took <= 3 * log2(fragments) + 4 * width + 10


def tables(world):
    """Every map of the VM's in actors and checkers, with the number that page 0 has there."""
    gmem, shadow = world.gmem(), world.inspector.books(vm_address(0, 0))
    kinds = (GMEM, KVM, VMM, GUEST, HOST_MAP, PINS)
    domains = [*shadow.devices.domains, shadow.devices]
    slots = [getattr(shadow, name) for name in shadow.__slots__]
    fields = [
        *(value for kind in kinds for value in states(world.actor(kind))),
        *states(world.td()),
        *world.iommu().domains.values(),
        *slots,
        *(value for domain in domains for value in vars(domain).values()),
    ]
    yield from ((found, 0) for found in fields if isinstance(found, IntervalMap))
    yield world.tdx().pamt, gmem.base_pfn
    yield from ((owners, gmem.base_pfn) for owners in world.inspector.owners.values())


def states(actor):
    """The values of its fields."""
    return [getattr(actor, name) for name in actor.__struct_fields__]


def spread(table, first, count):
    """What page 1 has and page 0 has not, the first `count` odd pages have now."""
    own, rest = table.get(first + 1), table.get(first)
    if own != rest:
        at = bisect_right(table.starts, first)
        assert table.starts[at : at + 2] == [first + 1, first + 2]
        table.starts[at : at + 2] = range(first + 1, first + 2 * count + 1)
        table.values[at : at + 2] = [own, rest] * count


def fragmented(protocol, fragments):
    """A VM that has converted every other page of a part of its memory: page 1 indeed, the others by its example."""
    world = World(
        f"protocol.name={protocol}", "vm.memory=512MiB", "vm.page_order=0", "vm.start=mapped-4k"
    )
    assert world.convert(1, 2, SHARED) is Reason.NONE
    for table, first in tables(world):
        spread(table, first, fragments // 2)
        counted(table)
    assert world.gmem().share.fragments == fragments + 1
    return world


def costs(world, *ranges):
    """(events, items of maps) of conversions there and back; no check may find anything."""
    events = world.host.handled

    def convert():
        for start, end, to in ranges:
            assert world.convert(start, end, to) is Reason.NONE
            assert world.convert(start, end, PRIVATE if to is SHARED else SHARED) is Reason.NONE

    items = touched(convert)
    assert (world.found, world.pending()) == (set(), {})
    return world.host.handled - events, items


@pytest.mark.parametrize("protocol", LARGE)
def test_a_conversion_costs_the_same_among_a_hundred_thousand_fragments(protocol):
    few, many = fragmented(protocol, 1_000), fragmented(protocol, FRAGMENTS)
    ranges = [(301, 302, PRIVATE), (500, 501, SHARED), (777, 778, PRIVATE)]
    (events, items), (events_many, items_many) = (costs(world, *ranges) for world in (few, many))
    far = [(start + FRAGMENTS // 2, end + FRAGMENTS // 2, to) for start, end, to in ranges]
    assert (events, events) == (events_many, costs(many, *far)[0])
    assert items_many <= items * log2(FRAGMENTS) / log2(1_000)
    assert many.gmem().share.fragments == FRAGMENTS + 1


@pytest.mark.parametrize("protocol", LARGE)
def test_a_request_over_many_fragments_costs_so_many_times_one(protocol):
    def took(fragments):
        world = fragmented(protocol, FRAGMENTS)
        return [cost / fragments for cost in costs(world, (0, fragments, SHARED))]

    (events, items), (events_more, items_more) = took(64), took(512)
    assert events_more <= events
    assert items_more <= 1.1 * items


# --- folios of 1 GiB -----------------------------------------------------------------------------

PAGE = PAGES_1G // 2 + 5
VMEMMAP, NODES = 4096, -(-4161 * 576 // 4096)  # pages; of the first a 1 GiB folio keeps one
WHOLE, HALVES = [(0, 18), (2 * PAGES_1G, -1)], (0x20000, 0x20200)


def giant(protocol, uniform):
    """A VM with two folios of 1 GiB."""
    return World(
        f"protocol.name={protocol}",
        f"protocol.uniform_split={str(uniform).lower()}",
        "vm.page_order=18",
        "vm.memory=2GiB",
    )


@pytest.mark.parametrize("protocol", LARGE)
@pytest.mark.parametrize(
    ("uniform", "folios", "pages"),
    [
        (True, [(0, 0), (PAGES_1G, 18)], VMEMMAP - 1 + NODES + 1),
        (False, [(0, 9), (HALVES[0], 0), (HALVES[1], 9), (PAGES_1G, 18)], 511 + 2 + 1 + 7 + 1),
    ],
)
def test_a_gigabyte_is_split_for_one_page_and_whole_again_after_it(
    protocol, uniform, folios, pages
):
    world = giant(protocol, uniform)
    gmem, before = world.gmem(), world.maps()
    assert world.convert(PAGE, PAGE + 1, SHARED) is Reason.NONE
    assert runs(gmem.folios) == [*folios, WHOLE[1]]
    assert gmem.metadata == pages
    assert gmem.stash.pages(0, 2 * PAGES_1G, 1) in (0, PAGES_1G)
    assert gmem.folios.pages(0, PAGES_1G, 0) == (PAGES_1G if uniform else 512)
    assert world.convert(PAGE, PAGE + 1, PRIVATE) is Reason.NONE
    after = world.maps()
    assert runs(gmem.folios) == WHOLE
    assert [after[name] for name in ("share", "folios")] == [
        before[name] for name in ("share", "folios")
    ]
    assert (runs(gmem.stash), gmem.metadata) == ([(0, 0)], 0)
    # What is gone for good is the huge mapping, whose page tables stay.
    assert before["free"] - after["free"] == 4 * world.kvm().tables.pages(0, PAGES_1G, 1) // 512
    # AN21: folios of 4 KiB lie under leaves of 2 MiB in all the rest of the gigabyte.
    assert (world.found, world.pending()) == ({"AN21"} if uniform else set(), {})


@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("to", [SHARED, PRIVATE])
def test_an_undo_brings_a_gigabyte_back(uniform, to):
    world = giant("undo", uniform)
    if to is PRIVATE:
        assert world.convert(PAGE, PAGE + 1, SHARED) is Reason.NONE
    before, gmem = world.maps(), world.gmem()
    stash, metadata = runs(gmem.stash), gmem.metadata
    world.inject("gmem.readd", nth=(1,))
    assert world.convert(PAGE, PAGE + 1, to) is Reason.NO_MEMORY
    after = world.maps()
    assert (after["share"], after["folios"]) == (before["share"], before["folios"])
    assert (runs(gmem.stash), gmem.metadata) == (stash, metadata)
    assert not world.found & {"I5", "I6", "I8", "I10", "AN4", "AN5", "AN7"}


# --- 256 vCPUs -----------------------------------------------------------------------------------


def of_all(outcome, counter):
    """A counter of the run."""
    rows = outcome.watched[0]["meter"]["counters"]
    return sum(row[-1] for row in rows if row[0] == counter)


def test_256_busy_vcpus_are_kicked_each_time_and_cost_no_event_each():
    def run(vcpus):
        return simulated(
            f"vm.vcpus={vcpus}", f"vm.busy_vcpus={vcpus}", "fleet.hosts=1", "fleet.vms_per_host=1",
            "vm.memory=256MiB", "scenario.conversions=300",
            'workload=[{kind="churn",outstanding=256}]',
        )  # fmt: skip

    one, many = run(1), run(256)
    for outcome in (one, many):
        assert outcome.watched[0]["inspector"]["counts"] == {}
        assert of_all(outcome, "conversions") == 300
    assert many.totals.events <= 1.2 * one.totals.events
    assert of_all(many, "kicks") >= 100 * of_all(one, "kicks")


def test_256_vcpus_boot_and_accept_side_by_side():
    def took(vcpus):
        keys = (
            'kind="boot"', f"accept_vcpus={vcpus}", 'accept="128MiB"', "firmware_conversions=0",
            'swiotlb_min="4MiB"', 'swiotlb_max="4MiB"',
        )  # fmt: skip
        found = simulated(
            "vm.vcpus=256", "vm.busy_vcpus=256", "fleet.hosts=1", "fleet.vms_per_host=1",
            "vm.memory=256MiB", "vm.start=unaccepted", f"workload=[{{{','.join(keys)}}}]",
        )  # fmt: skip
        assert found.watched[0]["inspector"]["counts"] == {}
        assert of_all(found, "conversions") == 2  # 4 MiB of bounce buffers
        (boot,) = [row[-1] for row in found.watched[0]["meter"]["histograms"] if row[0] == "boot"]
        return boot[1]

    assert took(256) < took(1)
