"""Page tables of the IOMMU's domains: what of a range is mapped, entering it, clearing it, and what that takes.

A domain's number is its VM's base address | the listener of the VMM that maps into it. Entries are gfn -> level.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from actors.address import vm_base
from actors.contract import PAGES_2M, Context
from actors.observations import Dma
from actors.tdx.states import LEVEL_2M, LEVEL_4K

if TYPE_CHECKING:
    from actors.iommu.driver import Iommu

LISTENERS_MAX = 15
MAP = {LEVEL_4K: ("vfio_map_4k", 1), LEVEL_2M: ("vfio_map_2m", PAGES_2M)}
UNMAP = {LEVEL_4K: ("vfio_unmap_4k", 1), LEVEL_2M: ("vfio_unmap_2m", PAGES_2M)}

Run = tuple[int, int, int]
"""(start, end, level)"""


def domains_of(iommu: "Iommu", vm: int) -> list[int]:
    """The domains of a VM; none where it has no devices, or has them no more."""
    if vm in iommu.detached:
        return []
    return [vm | listener for listener in range(iommu.listeners) if vm | listener in iommu.domains]


def listener_of(domain: int) -> int:
    """Which of its VMM's listeners maps into a domain."""
    return domain - vm_base(domain)


def entries(iommu: "Iommu", domain: int, start: int, end: int) -> list[Run]:
    """What the page table maps of the range."""
    return [run for run in iommu.domains[domain].runs(start, end) if run[2]]


def in_use(iommu: "Iommu", domain: int, start: int, end: int) -> bool:
    """May a device reach a page of the range: by an entry, or by an IOTLB that has not confirmed its invalidation?"""
    lingering = iommu.lingering.get(domain)
    return not iommu.domains[domain].only(start, end, 0) or (
        lingering is not None and not lingering.only(start, end, 0)
    )


def first_in_use(iommu: "Iommu", vm: int, start: int, end: int) -> int:
    """The first page of the range that a device of the VM may reach, or -1."""
    found = [
        run[0]
        for domain in domains_of(iommu, vm)
        for table in (iommu.domains[domain], iommu.lingering.get(domain))
        for run in (table.runs(start, end) if table else ())
        if run[2]
    ]
    return min(found, default=-1)


def huge_part(start: int, end: int) -> tuple[int, int]:
    """The part of [start, end) that 2 MiB entries can map; empty at `start` when there is none."""
    first = -(-start // PAGES_2M) * PAGES_2M
    last = end // PAGES_2M * PAGES_2M
    return (first, last) if first < last else (start, start)


def fresh(start: int, end: int, scattered: bool) -> Iterator[Run]:
    """Entries for a range that is mapped as a whole: 2 MiB where it is aligned and has the frames, 4 KiB elsewhere."""
    first, last = (start, start) if scattered else huge_part(start, end)
    parts = ((start, first, LEVEL_4K), (first, last, LEVEL_2M), (last, end, LEVEL_4K))
    return (part for part in parts if part[0] < part[1])


def enter(iommu: "Iommu", domain: int, start: int, end: int, context: Context) -> int:
    """Map a range; the time it takes."""
    took = 0
    small, huge = 0, 0
    for first, last, level in fresh(start, end, vm_base(domain) in iommu.scattered):
        write(iommu, domain, first, last, level)
        if level == LEVEL_4K:
            small += last - first
        else:
            huge += (last - first) // PAGES_2M
    if small:
        took += context.cost("vfio_map_4k", small)
    if huge:
        took += context.cost("vfio_map_2m", huge)
    context.observe(Dma(vm_base(domain), start, end, True, listener_of(domain)))
    return took


def enter_again(iommu: "Iommu", domain: int, run: Run, context: Context) -> int:
    """An entry as it was, from a list, without memory; the time it takes."""
    start, end, level = run
    write(iommu, domain, start, end, level)
    context.observe(Dma(vm_base(domain), start, end, True, listener_of(domain)))
    name, size = MAP[level]
    return context.cost(name, (end - start) // size)


def write(iommu: "Iommu", domain: int, start: int, end: int, level: int) -> None:
    """The entries, and with them what an IOTLB may still know of the range is current again."""
    iommu.domains[domain].set(start, end, level)
    if domain in iommu.lingering:
        iommu.lingering[domain].set(start, end, 0)


def clear(iommu: "Iommu", domain: int, start: int, end: int, context: Context) -> int:
    """Clear the entries of a range; the time it takes."""
    table = iommu.domains[domain]
    counts = [
        (name, table.pages(start, end, level) // size) for level, (name, size) in UNMAP.items()
    ]
    table.set(start, end, 0)
    return sum(context.cost(name, count) for name, count in counts if count)
