"""What a conversion costs among many fragments, with folios of 1 GiB, and with many vCPUs: ratios, not rates.

Each side is one VM that first converts every other page of a part of its memory. What is timed comes after that: pages
taken back and shared again, here and there. It is processor time of this process.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from actors.observations import Requested
from benchmarks import common
from benchmarks.drive import fleet_of, timed
from cluster.local import LocalHandle, first_of
from cluster.partition import Partition
from cluster.placement import packed
from cluster.world import in_turn
from workloads.simulate import prepare

PAGE = 4096
LINE = "kvm_convert_memory start {start:#x} size {size:#x} {way}\n"
SHARED, PRIVATE = "private_to_shared", "shared_to_private"
STRIDE = 7919  # a prime: the places of what is timed look random


class Side(NamedTuple):
    """A VM: what it has converted before, in pages, and how often it converts one page there and back then."""

    name: str
    fragments: int = 2
    times: int = 1000
    keys: tuple[str, ...] = ()


def fragments(most: int) -> list[Side]:
    """One file in more and more runs."""
    counts = [each for each in (1_000, 10_000, 100_000) if each <= most]
    return [Side(f"{count:,} fragments", count) for count in counts]


GIGABYTE = (
    Side("folios of 2 MiB", times=2000),
    Side("1 GiB, touched parts", times=2000, keys=("vm.page_order=18",)),
    Side(
        "1 GiB, uniform_split",
        times=2000,
        keys=("vm.page_order=18", "protocol.uniform_split=true"),
    ),
)
VCPUS = tuple(
    Side(f"{count} busy vCPUs", times=2000, keys=(f"vm.vcpus={count}", f"vm.busy_vcpus={count}"))
    for count in (1, 16, 256)
)


def lines(side: Side) -> list[str]:
    """The log of a VM that shares every other page, and then takes some back and shares them again."""
    shared = side.fragments // 2
    found = [LINE.format(start=(2 * n + 1) * PAGE, size=PAGE, way=SHARED) for n in range(shared)]
    for turn in range(side.times):
        start = (2 * (turn * STRIDE % shared) + 1) * PAGE
        found += [LINE.format(start=start, size=PAGE, way=way) for way in (PRIVATE, SHARED)]
    return found


class Stopwatch:
    """Starts with the request that comes after so many others."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.began = 0.0

    def requested(self, _: int, __: Requested) -> None:
        """A watcher's function (cluster.world.Watcher)."""
        if not self.left:
            self.began = time.process_time()
        self.left -= 1


def micros(folder: str, side: Side) -> Callable[[], float]:
    """A run of that log: us for each conversion that is timed."""
    path = Path(folder, f"{side.name}.log")
    path.write_text("".join(lines(side)))
    scenario = common.scenario(
        *common.traced(str(path)),
        "workload.0.outstanding=1",
        "fleet.vms_per_host=1",
        "fleet.spare_memory=1GiB",
        "scenario.duration=10h",
        "vm.memory=2GiB",
        *side.keys,
    )

    def run() -> float:
        job = prepare(scenario)
        fleet = fleet_of(job)
        handle = LocalHandle(Partition(fleet.build, fleet.plan, packed(1, 1)))
        (host,) = handle.partition.hosts.values()
        watch = Stopwatch(side.fragments // 2)
        others = host.watchers[Requested]
        host.watchers = {**host.watchers, Requested: in_turn(others, watch.requested)}
        timed([handle], first_of, job.page)
        return 1e6 * (time.process_time() - watch.began) / (2 * side.times)

    return run


def compared(folder: str, sides: Sequence[Side], rounds: int) -> list[dict[str, Any]]:
    """One row a side; ratios are to the first."""
    own = common.interleaved({side.name: micros(folder, side) for side in sides}, rounds)
    first = own[sides[0].name]
    return [row(side.name, own[side.name], first) for side in sides]


def row(name: str, own: Sequence[float], first: Sequence[float]) -> dict[str, Any]:
    """A side's figures."""
    middle, low, high = common.spread(own)
    ratio = common.median_ratio(own, first)
    return {"side": name, "us/conversion": middle, "lowest": low, "highest": high, "ratio": ratio}


def main() -> None:
    parser = common.flags(__doc__)
    parser.add_argument("--fragments", type=int, default=100_000, help="at most")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    parts = {"fragments": fragments(options.fragments), "gigabyte": GIGABYTE, "vcpus": VCPUS}
    with tempfile.TemporaryDirectory() as folder:
        result = {name: compared(folder, sides, options.rounds) for name, sides in parts.items()}
    rows, *others = result.values()
    common.publish(result, rows, options.json)
    if not options.json:
        for more in others:
            print(f"\n{common.table(more)}")


if __name__ == "__main__":
    main()
