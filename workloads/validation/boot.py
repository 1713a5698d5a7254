"""VT6 to VT8, VT11, VT12 and VT16: what a TD's boot takes, and what accepting its memory does."""

import math
from collections.abc import Sequence

from cluster.draws import UNITS, block, key_of, normal_quantiles
from workloads.units import SIZES
from workloads.validation.engine import SECOND_NS, Reading, Run, converts, pages
from workloads.validation.rows import ABOVE, BELOW, NONE, Figure, inside, times, within
from workloads.validation.targets import Target, single

KIB, MIB, GIB = SIZES["KiB"], SIZES["MiB"], SIZES["GiB"]
VCPUS = 248
ACCEPTED = 13 * GIB


def boot(memory: int, *keys: str, **load: str | int) -> Run:
    """A TD that boots from memory nobody accepted; `load` has keys of the workload."""
    told = {"firmware_conversions": 0, **load}
    texts = [f"workload.0.{key}={value}" for key, value in told.items()]
    return Run(
        ("workload.0.kind=boot", *texts, f"vm.memory={memory}B", "vm.start=unaccepted", *keys)
    )


def measured(vcpus: int, *keys: str) -> Run:
    """The TD of the study (DS): its vCPUs spin in the firmware, then all are up and tick while memory is accepted."""
    return boot(
        32 * GIB,
        f"vm.vcpus={vcpus}",
        f"vm.busy_vcpus={vcpus}",
        *keys,
        accept=f"{ACCEPTED}B",
        ticking_vcpus=vcpus,
    )


SMALL_FOLIOS = "vm.page_order=0"  # its host had no huge pages for TDs


def accepting(reading: Reading) -> float:
    """Seconds in which the guest accepted the most memory at once."""
    return max(reading.probe.touched)[1] / SECOND_NS


def booted(reading: Reading) -> float:
    """Seconds of the one boot."""
    (took,) = reading.probe.booted
    return took / SECOND_NS


BAND = (575.0, 680.0)
VT6 = Target(
    (
        Figure(
            "VT6",
            "predict",
            "boot: 248 vCPUs, 32 GiB, 13 GiB accepted at 4 KiB",
            "s",
            sum(BAND) / 2,
            inside(*BAND, 0.15),
            "all 13 GiB at the storm's rate; swiotlb while the vCPUs spin, before they tick",
            BAND,
        ),
        Figure("VT8", "predict", "share of that boot that is accepting", "", 0.5, ABOVE),
    ),
    (measured(VCPUS, SMALL_FOLIOS),),
    lambda readings: [booted(readings[0]), accepting(readings[0]) / booted(readings[0])],
)

UNPUBLISHED = "memory, and how much of it was accepted at 4 KiB, were not published: here as in VT6"
BY_PAGE = "the published time of a page (8 us, 153 us while 248 vCPUs tick) times the pages"
VT7 = Target(
    (
        Figure("VT7", "report", "boot: 64 vCPUs, 4 KiB", "s", 50.0, NONE, UNPUBLISHED),
        Figure("VT7", "report", "boot: 64 vCPUs, 2 MiB", "s", 50.0, NONE, UNPUBLISHED),
    ),
    (measured(64, SMALL_FOLIOS), measured(64)),
    lambda readings: [booted(reading) for reading in readings],
)


def accept(memory: int, vcpus: int, ticking: int, level: str) -> Run:
    """So much accepted by so many vCPUs side by side, and nothing else that takes long."""
    return boot(
        memory + 2 * MIB,
        f"vm.vcpus={max(vcpus, ticking)}",
        f"vm.busy_vcpus={max(vcpus, ticking)}",
        f"vm.accept_level={level}",
        swiotlb_min="2MiB",
        swiotlb_max="2MiB",
        accept=f"{memory}B",
        accept_vcpus=vcpus,
        ticking_vcpus=ticking,
    )


VT8 = Target(
    (
        Figure("VT8", "predict", "13 GiB accepted, nobody ticks", "s", 27.0, within(0.1), BY_PAGE),
        Figure(
            "VT8", "predict", "13 GiB accepted, 248 vCPUs tick", "s", 521.0, within(0.1), BY_PAGE
        ),
    ),
    (accept(ACCEPTED, 1, 0, "4k"), accept(ACCEPTED, 1, VCPUS, "4k")),
    lambda readings: [accepting(reading) for reading in readings],
)
VT11 = Target(
    (
        Figure("VT11", "fit", "64 GiB accepted by 64 vCPUs at 4 KiB", "s", 57.0, within(0.2)),
        Figure(
            "VT11",
            "fit",
            "64 GiB accepted by 64 vCPUs at 2 MiB",
            "s",
            1.0,
            BELOW,
            "published as less than this",
        ),
    ),
    (accept(64 * GIB, 64, 0, "4k"), accept(64 * GIB, 64, 0, "2m")),
    lambda readings: [accepting(reading) for reading in readings],
)


# --- VT12: firmware's churn ----------------------------------------------------------------------

CHURN = 5000
WINDOW = 20 * MIB
FIXED_US = 3.85 + 6 + 5  # an exit, the VMM, the ioctl
TO_SHARED_US, ACCEPT_US = 23.0, 8.0  # a page


def churn_sizes() -> list[int]:
    """Pages of each buffer: lognormal about 8 KiB with sigma 1, 32 KiB at most."""
    quantiles, key = normal_quantiles(), key_of(0, "VT12")
    draws = (block(key, number)[0] for number in range(CHURN))
    return [min(8, max(1, round(2 * math.exp(quantiles[draw] - 0.5)))) for draw in draws]


def churn_log() -> str:
    """Each buffer to shared and back, within the few MiB that firmware uses."""
    lines, key = [], key_of(1, "VT12")
    for number, size in enumerate(churn_sizes()):
        room = pages(WINDOW) - size + 1
        start = block(key, number)[0] * room // UNITS * 4 * KIB
        lines += [
            converts((start, size * 4 * KIB), to=to)
            for to in ("private_to_shared", "shared_to_private")
        ]
    return "".join(lines)


def churn_seconds() -> float:
    """By hand: what is fixed each way, 23 us a page to shared, 8 us a page accepted again."""
    each = 2 * CHURN * FIXED_US + sum(churn_sizes()) * (TO_SHARED_US + ACCEPT_US)
    return each / 1e6


VT12 = single(
    Figure(
        "VT12",
        "predict",
        "5,000 small conversions there and back",
        "s",
        churn_seconds(),
        within(0.25),
        "only their number is published; the time is worked out by hand from the costs of a page",
    ),
    Run(("vm.start=mapped-4k", "vm.page_order=0", "vm.busy_vcpus=0"), churn_log()),
    lambda reading: reading.seconds,
)


# --- VT16: takes of mmu_lock for writing ---------------------------------------------------------


def takes(readings: Sequence[Reading]) -> list[float]:
    """For the level of an ACCEPT."""
    return [reading.probe.write_locks for reading in readings]


def early(inhibit: str) -> Run:
    """The TD of the mail: 4 GiB, 8 vCPUs. Only its first vCPU runs so early."""
    return boot(
        4 * GIB,
        "vm.vcpus=8",
        "vm.busy_vcpus=1",
        f"vm.guest_inhibit={inhibit}",
        firmware_conversions=CHURN,
    )


VT16 = Target(
    (
        Figure(
            "VT16",
            "predict",
            "mmu_lock for writing, taken at each 4 KiB ACCEPT",
            "",
            17_626,
            times(3),
            "one for each page that firmware accepts again; published without the boot behind it",
        ),
        Figure(
            "VT16",
            "predict",
            "the same, after a look at the range's mark",
            "",
            11,
            times(3),
            "one for each 2 MiB that firmware's buffers lie in; 20 MiB from the mail's list of gfns",
        ),
    ),
    (early("each"), early("tested")),
    takes,
)

BOOT = (VT6, VT7, VT8, VT11, VT12, VT16)
