"""VT9 and VT13: devices' mappings, and the memory that a split needs."""

from collections.abc import Sequence

from actors.contract import PAGE_BYTES
from workloads.units import SIZES
from workloads.validation.engine import SECOND_NS, Reading, Run, converts, slot
from workloads.validation.rows import Figure, within
from workloads.validation.targets import Target, single

KIB, MIB, GIB = SIZES["KiB"], SIZES["MiB"], SIZES["GiB"]
MAPPED = 16 * GIB


def map_and_unmap(readings: Sequence[Reading]) -> list[float]:
    """Seconds of the VFIO map after the conversion there, and of the unmap in the one back."""
    probe = readings[0].probe
    (mapped,) = probe.mapped
    unmapped = [took for phase, took in probe.iommu if phase == "commit"][-1]
    return [mapped / SECOND_NS, unmapped / SECOND_NS]


BY_PAGE = (
    "the published time of a page (67 ns to map, 74 ns to unmap) times the pages, in one ioctl each: the table has the "
    "same times, so it shows that no page is paid twice or left out"
)
VT9 = Target(
    (
        Figure("VT9", "predict", "VFIO maps 16 GiB by 4 KiB", "s", 0.28, within(0.05), BY_PAGE),
        Figure("VT9", "predict", "VFIO unmaps 16 GiB by 4 KiB", "s", 0.31, within(0.05), BY_PAGE),
    ),
    (
        Run(
            ("vm.start=unaccepted", "vm.page_order=0"),
            converts((0, MAPPED)) + converts((0, MAPPED), to="shared_to_private"),
        ),
    ),
    map_and_unmap,
)

# Published arithmetic: struct pages that HVO had freed, and page-cache nodes for 262,144 small folios.
VMEMMAP = 4095 * PAGE_BYTES
NODES = (4096 + 64 + 1) * 576


def reserved(reading: Reading) -> float:
    """Bytes that guest_memfd set aside for itself."""
    (found,) = reading.probe.reserved.values()
    return found * PAGE_BYTES


VT13 = single(
    Figure(
        "VT13",
        "predict",
        "memory to split 1 GiB all the way",
        "bytes",
        VMEMMAP + NODES,
        within(0.01),
        "beside it a page of stash and one of the attribute tree",
    ),
    Run(
        ("vm.page_order=18", "protocol.uniform_split=true"),
        slot(0, 0, 2 * GIB, 0) + converts((GIB // 2, 4 * KIB)),
    ),
    reserved,
)

MEMORY = (VT9, VT13)
