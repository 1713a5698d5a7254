"""VT14 and VT15: what holds without any tolerance."""

from collections.abc import Sequence

from actors.contract import PAGES_2M, Share
from workloads.loads.programs import HOT_RANGES
from workloads.validation.engine import Reading, Run
from workloads.validation.rows import EXACT, Figure
from workloads.validation.targets import Target, single

REGION = PAGES_2M + 1  # pages that a vCPU of KVM's selftest converts


# --- VT14: nothing injected, nothing broken ------------------------------------------------------

CONVERSIONS = 2000
STALL = "AN23"  # bystanders that wait are no damage


def damage(reading: Reading) -> float:
    """Failed requests, and anomalies and broken invariants but for stalls."""
    (watched,) = reading.outcome.watched
    counts: dict[str, int] = watched["inspector"]["counts"]
    return reading.probe.failed + sum(n for name, n in counts.items() if name != STALL)


def calm(protocol: str, *keys: str) -> Target:
    """Churn under a protocol, with no fault plan."""
    return single(
        Figure("VT14", "predict", f"failures and anomalies, {protocol}, no faults", "", 0, EXACT),
        Run((f"protocol.name={protocol}", f"scenario.conversions={CONVERSIONS}", *keys)),
        damage,
    )


# --- VT15: KVM's conversion selftest -------------------------------------------------------------


def parity(offset: int, size: int) -> list[Share]:
    """The region after a range of it went to private and its odd pages came back: worked out page by page."""
    private = range(offset, min(offset + size, REGION))
    return [
        Share.PRIVATE if page in private and page % 2 == 0 else Share.SHARED
        for page in range(REGION)
    ]


def requests_until(number: int) -> int:
    """Requests (pieces of 2 MiB) from the start until the odd pages of range `number` are back."""
    done = 0
    for offset, size in HOT_RANGES[: number + 1]:
        end = min(offset + size, REGION)
        odd = sum(page % 2 for page in range(offset, end))
        done += 2 + 1 + odd  # the whole region to shared is two pieces
    return done


def selftest(number: int) -> Run:
    """One vCPU, stopped when its region has the pattern."""
    keys = ("workload.0.kind=hot-range", "workload.0.vcpus=1", "workload.0.rounds=1")
    stop = f"scenario.conversions={requests_until(number)}"
    return Run((*keys, stop, "vm.memory=64MiB", "vm.interrupt_probability=0"))


def agreeing(readings: Sequence[Reading]) -> list[float]:
    """Pages whose side is what the pattern says."""
    found = 0
    for reading, (offset, size) in zip(readings, HOT_RANGES, strict=True):
        (shared,) = reading.probe.shared.values()
        wanted = parity(offset, size)
        found += sum(shared.get(page) == side for page, side in enumerate(wanted))
    return [found]


VT15 = Target(
    (
        Figure(
            "VT15",
            "predict",
            "selftest: pages on the side that parity says",
            "",
            len(HOT_RANGES) * REGION,
            EXACT,
        ),
    ),
    tuple(selftest(number) for number in range(len(HOT_RANGES))),
    agreeing,
)

EXACTLY = (calm("two-phase"), calm("in-place", "vm.page_order=0", "vm.start=mapped-4k"), VT15)
