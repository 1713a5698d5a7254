"""Two published measurements of one conversion, run by the engine: 1 GiB to shared in one request.

Figures as in docs/domain.md section 8, VT1 and VT2: private memory mapped by 4 KiB pages, on a TD
of 248 vCPUs that are idle, or all spinning in the guest.
"""

import tempfile
from typing import Any

from benchmarks import common
from benchmarks.drive import simulate
from workloads.scenario import Scenario

GIB = 1 << 30
SECOND_NS = 1_000_000_000
VCPUS = 248
PUBLISHED = {0: 6.0, VCPUS: 68.0}


def scenario(folder: str, busy: int) -> Scenario:
    """One host, one VM, one request."""
    return common.scenario(
        *common.traced(common.one_line_log(folder, GIB)),
        "fleet.vms_per_host=1",
        "vm.start=mapped-4k",
        f"vm.vcpus={VCPUS}",
        f"vm.busy_vcpus={busy}",
    )


def point(folder: str, busy: int, published: float) -> dict[str, Any]:
    """One row."""
    driven = simulate(scenario(folder, busy))
    assert driven.counter("conversions", "two-phase", "private_to_shared", "completed") == 1
    simulated = latency(driven.watched[0])
    return {
        "busy vCPUs": busy,
        "published s": published,
        "simulated s": simulated,
        "simulated / published": simulated / published,
        "events": driven.totals.events,
        "wall ms": driven.seconds * 1000,
    }


def latency(watched: dict[str, Any]) -> float:
    """Seconds of the one completed conversion."""
    found = [row for row in watched["meter"]["histograms"] if row[0] == "conversion_latency"]
    assert len(found) == 1 and found[0][-1][0] == 1, "more than one conversion"
    total: int = found[0][-1][1]
    return total / SECOND_NS


def main() -> None:
    options = common.flags(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [point(folder, busy, published) for busy, published in PUBLISHED.items()]
    common.publish({"rows": rows}, rows, options.json)


if __name__ == "__main__":
    main()
