"""What a second partition can save: user time of a whole fleet against that of the slower half, interleaved.

It is what two partitions on cores of their own come to where hosts do not talk; what Ray adds is in benchmarks.model.
The fleets: hosts alike, and hosts that replay logs of different lengths.
"""

import gc
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.drive import fleet_of, timed
from benchmarks.scale import user_seconds
from cluster.local import LocalHandle, first_of
from cluster.partition import Partition
from cluster.placement import Places, packed
from workloads.simulate import Job, prepare

LINE = "kvm_convert_memory start {start:#x} size 0x1000 private_to_shared\n"


def alike(hosts: int, conversions: int) -> Job:
    """Churn on 8 VMs each."""
    return prepare(
        common.scenario(
            f"fleet.hosts={hosts}", "fleet.vms_per_host=8", f"scenario.conversions={conversions}"
        )
    )


def uneven(folder: str, hosts: int, conversions: int) -> Job:
    """One VM a host, of which each second one has a log ten times as long, and the first one a hundred times."""
    logs = []
    for host in range(hosts):
        times = 100 if host == 0 else 10 if host % 2 else 1
        count = max(1, times * conversions // (100 + 5 * hosts))
        path = Path(folder, f"{host}.log")
        path.write_text("".join(LINE.format(start=2 * n << 12) for n in range(count)))
        logs.append(str(path))
    names = ", ".join(f"'{log}'" for log in logs)
    workload = f"workload.0={{kind = 'trace', pace = 'back-to-back', log = [{names}]}}"
    return prepare(
        common.scenario(
            workload, f"fleet.hosts={hosts}", "fleet.vms_per_host=1", "scenario.duration=10h"
        )
    )


def spent(job: Job, places: Places, place: int) -> float:
    """User seconds of one partition."""
    fleet = fleet_of(job)
    handle = LocalHandle(Partition(fleet.build, fleet.plan, places, place))
    gc.collect()
    began = user_seconds()
    timed([handle], first_of, job.page)
    return user_seconds() - began


def row(name: str, job: Job, count: int, rounds: int) -> dict[str, Any]:
    """Of one fleet."""
    fleet = fleet_of(job)
    one, many = packed(fleet.hosts, 1), packed(fleet.hosts, count, fleet.weights)
    sides = {"one": partial(spent, job, one, 0)}
    sides |= {f"{place}": partial(spent, job, many, place) for place in range(count)}
    found = common.interleaved(sides, rounds)
    slowest = [max(parts) for parts in zip(*(found[f"{n}"] for n in range(count)), strict=True)]
    return {
        "fleet": name,
        "one s": min(found["one"]),
        "slowest of several s": min(slowest),
        "speed-up": common.median_ratio(found["one"], slowest),
        "of minima": min(found["one"]) / max(min(found[f"{n}"]) for n in range(count)),
    }


def main() -> None:
    parser = common.flags(__doc__)
    parser.add_argument("--hosts", type=int, default=16)
    parser.add_argument("--conversions", type=int, default=8_000, help="of the fleet")
    parser.add_argument("--partitions", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    size = (options.hosts, options.conversions)
    with tempfile.TemporaryDirectory() as folder:
        fleets = {"hosts alike": alike(*size), "hosts that differ": uneven(folder, *size)}
        rows = [row(name, job, options.partitions, options.rounds) for name, job in fleets.items()]
    common.publish({"rows": rows}, rows, options.json)


if __name__ == "__main__":
    main()
