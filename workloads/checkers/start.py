"""The books at time 0: what a plan says of VMs and hosts before anything has happened."""

from actors.address import host_of, vm_address, vm_of
from actors.contract import PAGES_2M
from actors.intervals import IntervalMap
from actors.protocols.marks import MARKS
from actors.slots import Slots, slot_of
from actors.tdx.pamt import PAIR
from actors.tdx.states import LEVEL_4K, Entry
from workloads.checkers.dma import Backing, DeviceBooks
from workloads.checkers.pool import PoolBooks
from workloads.checkers.shadow import Shadow
from workloads.plan import Plan
from workloads.scenario import Scenario
from workloads.vm_shape import (
    comes_later,
    entry_at_start,
    folios_at_start,
    inode_pages,
    leaves_at_start,
    number_of,
    shapes,
    slots_of,
)

# A frame's place in a secure EPT as one number: the VM, and how far the gfn is from the pfn.
PLACE_BITS = 40


def place_of(vm: int, shift: int) -> int:
    """VM (its base address) and gfn minus pfn; 0 is nobody's."""
    return vm << PLACE_BITS | shift % (1 << PLACE_BITS)


def vm_at(place: int) -> int:
    """And back: whose secure EPT it is."""
    return place >> PLACE_BITS


def first_owners(plan: Plan, host: int) -> IntervalMap:
    """pfn -> the place that the frame has in a secure EPT."""
    owners = IntervalMap.filled(0)
    for number, shape in enumerate(shapes(plan, host)):
        for start, end, _ in leaves_at_start(plan, shape.slots):
            slot = slot_of(shape.slots, start)
            pfn = shape.frames[slot.gmem] + slot.index + start - slot.gfn
            place = place_of(vm_address(host, number), start - pfn)
            owners.set(pfn, pfn + end - start, place)
    return owners


def small_leaves(plan: Plan, host: int) -> IntervalMap:
    """pfn -> 1 where somebody's secure EPT has a leaf of 4 KiB."""
    leaves = IntervalMap.filled(0)
    for shape in shapes(plan, host):
        for start, end, level in leaves_at_start(plan, shape.slots):
            slot = slot_of(shape.slots, start)
            pfn = shape.frames[slot.gmem] + slot.index + start - slot.gfn
            if level == LEVEL_4K:
                leaves.set(pfn, pfn + end - start, 1)
    return leaves


def new_shadow(plan: Plan, vm: int) -> Shadow:
    """The books of a VM."""
    slots = slots_of(plan, number_of(plan, vm))
    sept, leaves = (IntervalMap.filled(value) for value in (Entry.FREE, 0))
    for start, end, level in () if comes_later(plan, vm) else leaves_at_start(plan, slots):
        sept.set(start, end, entry_at_start(plan))
        leaves.set(start, end, level)
    order, huge = folios(plan, slots)
    devices = DeviceBooks(backing(plan.scenario, slots))
    found = Shadow(vm, sept, leaves, order, huge, devices)
    found.trusted_io = plan.scenario.vm.td_pinned
    found.mark = MARKS.get(plan.scenario.protocol.mark, found.mark)
    if plan.scenario.fleet.pamt == "dynamic" and not comes_later(plan, vm):
        found.pool = PoolBooks(PAIR * small_regions(plan, vm))
    return found


def small_regions(plan: Plan, vm: int) -> int:
    """How many regions of 2 MiB have leaves of 4 KiB of this VM's; nobody else's are there."""
    regions = IntervalMap.filled(0)
    shape = list(shapes(plan, host_of(vm)))[vm_of(vm)]
    for start, end, level in leaves_at_start(plan, shape.slots):
        slot = slot_of(shape.slots, start)
        shift = shape.frames[slot.gmem] + slot.index - slot.gfn
        if level == LEVEL_4K:
            regions.set((start + shift) // PAGES_2M, -(-(end + shift) // PAGES_2M), 1)
    return regions.pages(0, regions.starts[-1] + 1, 1)


def backing(scenario: Scenario, slots: Slots) -> Backing:
    """How the devices of a VM see its memory."""
    apart = scenario.vm.backend == "two-backends"
    listeners = scenario.vmm.listeners if scenario.vm.devices else 0
    told = not scenario.vm.devices or listeners or not apart
    before = 0 if told else max(slot.gfn + slot.pages for slot in slots)
    pins, patience = scenario.vm.iommu == "pin", scenario.protocol.prepare_timeout
    return Backing(listeners, apart, before, pins, patience)


def folios(plan: Plan, slots: Slots) -> tuple[IntervalMap, IntervalMap]:
    """gfn -> order of the folio behind it, -1 for none; and where that is the files' own size, which is above 4 KiB."""
    order, huge = (IntervalMap.filled(value) for value in (-1, 0))
    pages = inode_pages(slots)
    for slot in slots:
        for first, last, size in folios_at_start(plan, pages[slot.gmem]):
            start, end = max(first, slot.index), min(last, slot.index + slot.pages)
            if start < end:
                shift = slot.gfn - slot.index
                order.set(start + shift, end + shift, size)
                if size == plan.scenario.vm.page_order:
                    huge.set(start + shift, end + shift, size)
    return order, huge
