"""A sweep of many points on Ray and in one process: wall time of each, and the speed-up.

Both run the same points from nothing. Ray's time has its start in it, and that of its workers, told apart as well.
"""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import common
from workloads.experiment import decode
from workloads.experiment.drive import Drive
from workloads.experiment.pursuit import Pursuits
from workloads.experiment.store import Store
from workloads.pool import pool

TEXT = """
[experiment]
question = "How long do so many points take?"
prediction = "On n CPUs an n-th of the time of one process, and Ray's start."

[base]
"fleet.hosts" = 1
"fleet.vms_per_host" = 4
"scenario.conversions" = {conversions}

[[axis]]
name = "seed"
key = "scenario.seed"
values = {seeds}
"""


def swept(executor: str, workers: int, text: str) -> tuple[float, float]:
    """Wall seconds of all points, and of what came before the first one could be handed in."""
    experiment = decode(text, "benchmark.toml")
    pursuits = Pursuits(experiment)
    began = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        pool(executor, None, workers, lambda: False) as runs,
    ):
        ready = time.perf_counter()
        drive = Drive(experiment, 1, Store(Path(folder)), lambda _: None)
        drive.run(pursuits.all(), runs, lambda: False)
        assert drive.counts.done == drive.counts.points, "points are missing"
        return time.perf_counter() - began, ready - began


def row(name: str, points: int, found: tuple[float, float]) -> dict[str, Any]:
    """Of one side."""
    wall, start = found
    return {
        "executor": name,
        "points": points,
        "wall s": wall,
        "of it start s": start,
        "points/s": points / wall,
    }


def main() -> None:
    parser = common.flags(__doc__)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--conversions", type=int, default=500, help="of each point")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="on Ray")
    options = parser.parse_args()
    text = TEXT.format(conversions=options.conversions, seeds=[*range(1, options.points + 1)])
    found = {}
    for name, executor in (("one process", "local"), (f"Ray, {options.workers} workers", "ray")):
        found[name] = swept(executor, options.workers, text)
        common.say(f"{name}: {found[name][0]:.1f} s")
    rows = [row(name, options.points, one) for name, one in found.items()]
    one, many = found.values()
    result = {"speed-up": one[0] / many[0], "without the start": one[0] / (many[0] - many[1])}
    common.publish({"rows": rows, **result}, rows, options.json)
    if not options.json:
        print(
            f"\nspeed-up {result['speed-up']:.2f}, without Ray's start {result['without the start']:.2f}"
        )


if __name__ == "__main__":
    main()
