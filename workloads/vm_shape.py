"""What a VM of a plan looks like at time 0: slots, frames, leaves, folios. Builders and checkers both start from it."""

from collections.abc import Iterator
from typing import NamedTuple

from actors.address import host_of, vm_of
from actors.contract import PAGE_BYTES, PAGES_2M
from actors.slots import Slot, Slots
from actors.tdx.states import LEVEL_2M, LEVEL_4K, Entry
from workloads.plan import Plan


class Shape(NamedTuple):
    """One VM: `frames` is guest_memfd number -> first pfn."""

    slots: Slots
    frames: dict[int, int]


def fleet_number(plan: Plan, host: int, vm: int) -> int:
    """The VM's number in the whole fleet."""
    return host * plan.scenario.fleet.vms_per_host + vm


def slots_of(plan: Plan, number: int) -> Slots:
    """The memory slots of VM `number` of the fleet: its log's, or one of vm.memory."""
    log = plan.log_of(number)
    return log.slots if log else (Slot(0, plan.scenario.vm.memory // PAGE_BYTES, 0, 0),)


def inode_pages(slots: Slots) -> dict[int, int]:
    """guest_memfd number -> pages of the file."""
    pages: dict[int, int] = {}
    for slot in slots:
        pages[slot.gmem] = max(pages.get(slot.gmem, 0), slot.index + slot.pages)
    return dict(sorted(pages.items()))


def shapes(plan: Plan, host: int) -> Iterator[Shape]:
    """The VMs of a host in order; files take their frames from the host one after the other."""
    free = 0
    align = max(PAGES_2M, 1 << plan.scenario.vm.page_order)
    for vm in range(plan.vms_of(host)):
        slots = slots_of(plan, fleet_number(plan, host, vm))
        frames = {}
        for gmem, pages in inode_pages(slots).items():
            frames[gmem] = free
            free += -(-pages // align) * align  # so that a huge folio has huge frames
        yield Shape(slots, frames)


def leaves_at_start(plan: Plan, slots: Slots) -> Iterator[tuple[int, int, int]]:
    """(start, end, level) of the leaves that are mapped at time 0 (vm.start)."""
    start = plan.scenario.vm.start
    if start != "unaccepted":
        for slot in slots:
            yield from slot_leaves(slot, start.endswith("2m"))


def entry_at_start(plan: Plan) -> Entry:
    """What their S-EPT entries are: accepted, unless KVM has only prefaulted them."""
    return Entry.PENDING if plan.scenario.vm.start == "prefaulted-2m" else Entry.MAPPED


def slot_leaves(slot: Slot, huge: bool) -> list[tuple[int, int, int]]:
    """A slot's leaves: 2 MiB where gfn and index are aligned alike, else 4 KiB."""
    first, last = slot.gfn, slot.gfn + slot.pages
    start = -(-first // PAGES_2M) * PAGES_2M
    end = last // PAGES_2M * PAGES_2M
    if not huge or (slot.gfn - slot.index) % PAGES_2M or start >= end:
        return [(first, last, LEVEL_4K)]
    parts = [(first, start, LEVEL_4K), (start, end, LEVEL_2M), (end, last, LEVEL_4K)]
    return [part for part in parts if part[0] < part[1]]


def folios_at_start(plan: Plan, pages: int) -> list[tuple[int, int, int]]:
    """(start, end, order) by index of a file of so many pages: the largest folios first, smaller ones at its end."""
    parts, start = [], 0
    for order in (18, 9, 0):
        size = 1 << order
        end = pages // size * size
        if order <= plan.scenario.vm.page_order and start < end:
            parts.append((start, end, order))
            start = end
    return parts


def number_of(plan: Plan, address: int) -> int:
    """The fleet number of the VM with this base address, or of the one whose place it has."""
    return fleet_number(plan, host_of(address), vm_of(address) % plan.scenario.fleet.vms_per_host)


def comes_later(plan: Plan, address: int) -> bool:
    """Is it one that comes after another, or that arrives?"""
    return plan.arrives or vm_of(address) >= plan.scenario.fleet.vms_per_host
