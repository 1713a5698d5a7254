"""VT1 to VT5 and VT10: what a conversion to shared takes, and what it splits."""

from collections.abc import Sequence

from workloads.analysis.line import fit
from workloads.units import SIZES
from workloads.validation.engine import Reading, Run, converts, pages, slot
from workloads.validation.rows import ABOVE, EXACT, Figure, times, within
from workloads.validation.targets import Target, absent, single

MIB, GIB = SIZES["MiB"], SIZES["GiB"]
PAGE, HUGE = SIZES["KiB"] * 4, 2 * MIB
VCPUS = 248

# The line through the published points: 23 us a page with idle vCPUs, 0.955 us more for each that runs in the guest.
IDLE_US, SLOPE_US = 23.0, 0.955
OF_LINE = (
    "on the line through two published points, 23 us a page with no vCPU in the guest and 259 us with 248, times the "
    "pages of 1 GiB: what lies between was not measured"
)
IN_GUEST = (0, 31, 62, 124, 186, 247)


def gib(busy: int, ticking: int = 0, track: str = "page") -> Run:
    """1 GiB of private memory, mapped by 4 KiB, to shared in one request."""
    keys = (
        "vm.start=mapped-4k",
        f"vm.vcpus={VCPUS}",
        f"vm.busy_vcpus={busy}",
        f"vm.ticking_vcpus={ticking}",
        f"vm.track={track}",
    )
    return Run(keys, converts((0, GIB)))


VT1 = single(
    Figure("VT1", "fit", "1 GiB to shared, vCPUs idle", "s", 6.0, within(0.1)),
    gib(0),
    lambda r: r.only,
)
VT2 = single(
    Figure("VT2", "fit", "1 GiB to shared, 248 vCPUs spin in the guest", "s", 68.0, within(0.1)),
    gib(VCPUS),
    lambda r: r.only,
)
VT3 = single(
    Figure(
        "VT3",
        "predict",
        "1 GiB to shared, 248 vCPUs tick",
        "s",
        199.0,
        within(0.2),
        "published as more than 200 s; the cost of a tick was derived from it, so it says little",
    ),
    gib(VCPUS, VCPUS),
    lambda r: r.only,
)


# --- VT4: linear in the vCPUs in the guest -------------------------------------------------------


def line(readings: Sequence[Reading]) -> list[float]:
    """Each point in seconds, then R2 and slope (us a page and vCPU) of the line through them."""
    seconds = [reading.only for reading in readings]
    found = fit(IN_GUEST, [1e6 * s / pages(GIB) for s in seconds])
    return [*seconds, found.r_squared, found.slope]


def expected(in_guest: int) -> float:
    """Seconds on the published line."""
    return pages(GIB) * (IDLE_US + SLOPE_US * in_guest) / 1e6


VT4 = Target(
    (
        *(
            Figure(
                "VT4",
                "predict",
                f"{n} of 248 vCPUs in the guest",
                "s",
                expected(n),
                within(0.1),
                OF_LINE,
            )
            for n in IN_GUEST
        ),
        Figure(
            "VT4",
            "predict",
            "R2 of a line through these",
            "",
            0.99,
            ABOVE,
            "a kick is charged by the vCPU, so that the line is straight by construction",
        ),
        Figure(
            "VT4", "predict", "its slope, a page and vCPU", "us", SLOPE_US, within(0.1), OF_LINE
        ),
    ),
    tuple(gib(n) for n in IN_GUEST),
    line,
)


# --- VT5: TRACK once for each 2 MiB --------------------------------------------------------------


def tracked(readings: Sequence[Reading]) -> list[float]:
    """Busy over idle with one TRACK a step; how many times less vCPUs add than with one a page."""
    idle_page, busy_page, idle_step, busy_step = (reading.only for reading in readings)
    return [busy_step / idle_step, (busy_page - idle_page) / (busy_step - idle_step)]


VT5 = Target(
    (
        Figure(
            "VT5",
            "predict",
            "TRACK once per 2 MiB: 248 vCPUs over idle ones",
            "",
            1.0,
            within(0.15),
        ),
        Figure(
            "VT5",
            "predict",
            "how much less vCPUs add than per page",
            "",
            512.0,
            times(2),
            "reasoned, not measured: 512 pages share one TRACK and one kick",
        ),
    ),
    (gib(0), gib(VCPUS), gib(0, track="step"), gib(VCPUS, track="step")),
    tracked,
)


# --- VT10: boundary splits -----------------------------------------------------------------------

# A file of 64 MiB in two slots. In each: unaligned at both ends; within one leaf; aligned.
SLOTS = ((0, 0), (GIB, 32 * MIB))
CUTS = ((PAGE, 8 * MIB), (10 * MIB + PAGE, PAGE), (16 * MIB, 8 * MIB))
EXPECTED_SPLITS = 2 * (2 + 1 + 0)


def split_log() -> str:
    """Slots, then conversions in both."""
    slots = [slot(n, gpa, 32 * MIB, offset) for n, (gpa, offset) in enumerate(SLOTS)]
    ranges = [(gpa + start, size) for gpa, _ in SLOTS for start, size in CUTS]
    return "".join(slots) + converts(*ranges)


def splits(readings: Sequence[Reading]) -> list[float]:
    """The most for one conversion, and all together."""
    found = readings[0].probe.split.values()
    return [max(found), sum(found)]


# One large mapping for the devices, then one page of each of its huge entries back to private.
TAKEN_BACK = 64
MAPPED = converts((0, TAKEN_BACK * HUGE)) + converts(
    *((n * HUGE + PAGE, PAGE) for n in range(TAKEN_BACK)), to="shared_to_private"
)


def entry_split(reading: Reading) -> float:
    """Mean time (us) in which the IOMMU driver prepared to give up one page of a huge entry."""
    took = [ns for phase, ns in reading.probe.iommu if phase == "prepare"][1:]
    return sum(took) / len(took) / 1000


VT10 = Target(
    (
        Figure("VT10", "predict", "most splits for one range of one binding", "", 2, EXACT),
        Figure("VT10", "predict", "splits of six ranges, cut and not", "", EXPECTED_SPLITS, EXACT),
    ),
    (Run((), split_log()),),
    splits,
)
SPLIT_2M = single(
    Figure(
        "VT10",
        "fit",
        "one 2 MiB entry split (plain EPT's figure)",
        "us",
        31.0,
        within(0.1),
        "the IOMMU's entry, whose table has the format of an EPT: shared memory has none of 2 MiB",
    ),
    Run((), MAPPED),
    entry_split,
)
SPLIT_1G = absent(
    Figure(
        "VT10", "fit", "one 1 GiB entry split (plain EPT's figure)", "us", 16_000.0, within(0.1)
    ),
    "there are no entries of 1 GiB: the shared EPT has 4 KiB, the IOMMU 2 MiB at most",
)

CONVERSION = (VT1, VT2, VT3, VT4, VT5, VT10, SPLIT_2M, SPLIT_1G)
