"""What size costs: user time for each event and bytes for each VM, from a thousand VMs to a hundred thousand.

Each size is a process of its own with its whole fleet in memory, 100 VMs to a host. They take turns at chunks of equal
work, so that what slows the machine for a while slows all; the tenth percentile of the chunks stands for a quiet one.
`--million` builds a million idle VMs on 1,000 hosts, once, which takes some 10 GB.
"""

import argparse
import gc
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks import common
from benchmarks.drive import fleet_of
from benchmarks.memory import ROOT, resident
from cluster.memory import peak_rss_bytes
from cluster.partition import FOREVER, Order, Partition
from cluster.placement import packed
from workloads.simulate import prepare

VMS_A_HOST = 100
MILLION = (1000, 1000)
GIB = 1 << 30
THINK = "workload.0.think=100ms"  # 50 events every 100 ms: a fleet is not a stress test
ORDER_SECONDS = 0.1


def user_seconds() -> float:
    """Of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def serve(hosts: int, vms: int, chunk: int) -> None:
    """The child: builds its fleet, then handles a chunk of events for each line that it reads."""
    built(1, 1)  # what the first fleet imports and caches is no VM's
    before = resident()
    began = time.perf_counter()
    partition = built(hosts, vms)
    tell(idle=(resident() - before) / (hosts * vms), seconds=time.perf_counter() - began)
    for _ in sys.stdin:
        spent, events = worked(partition, chunk)
        tell(us=1e6 * spent / events, events=events, active=(resident() - before) / (hosts * vms))


def tell(**found: float) -> None:
    """One line for the parent."""
    print(json.dumps({**found, "peak": peak_rss_bytes()}), flush=True)


def built(hosts: int, vms: int) -> Partition:
    """A fleet of the default scenario that does not end soon."""
    scenario = common.scenario(
        f"fleet.hosts={hosts}",
        f"fleet.vms_per_host={vms}",
        "scenario.conversions=0",
        "scenario.duration=1h",
        THINK,
    )
    fleet = fleet_of(prepare(scenario))
    found = Partition(fleet.build, fleet.plan, packed(hosts, 1))
    gc.collect()
    return found


def worked(partition: Partition, chunk: int) -> tuple[float, int]:
    """(user seconds, events) of at least so many events."""
    began, before = user_seconds(), partition.handled()
    while (done := partition.handled() - before) < chunk:
        partition.advance(Order(FOREVER, ORDER_SECONDS))
    return user_seconds() - began, done


class Child:
    """A fleet in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.start = self.answer()

    def answer(self) -> dict[str, float]:
        """Its next line."""
        assert self.process.stdout is not None
        found: dict[str, float] = json.loads(self.process.stdout.readline())
        return found

    def chunk(self) -> dict[str, float]:
        """The figures of one chunk."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.answer()


@contextmanager
def child(hosts: int, vms: int, chunk: int) -> Iterator[Child]:
    """Until the context ends."""
    arguments = ["--serve", str(hosts), str(vms), str(chunk)]
    command = [sys.executable, "-m", "benchmarks.scale", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Child(process)
        finally:
            process.kill()


def sizes(counts: Sequence[int], chunk: int, rounds: int, warm: int) -> list[dict[str, Any]]:
    """One row for each number of VMs."""
    with ExitStack() as stack:
        children = {}
        for vms in counts:
            common.say(f"{vms:,} VMs are being built")
            children[vms] = stack.enter_context(child(-(-vms // VMS_A_HOST), VMS_A_HOST, chunk))
        for vms, each in children.items():  # to where every VM has been active
            for _ in range(-(-warm * vms // chunk)):
                each.chunk()
        found: dict[int, list[dict[str, float]]] = {vms: [] for vms in counts}
        for number in range(rounds):
            for vms, each in children.items():
                found[vms].append(each.chunk())
            common.say(f"round {number + 1} of {rounds}")
        first = tenth([one["us"] for one in found[counts[0]]])
        return [row(vms, children[vms].start, found[vms], first) for vms in counts]


def row(
    vms: int, start: dict[str, float], chunks: Sequence[dict[str, float]], first: float
) -> dict[str, Any]:
    """A size's figures; the ratio is to the first size."""
    own = [one["us"] for one in chunks]
    return {
        "VMs": f"{vms:,}",
        "us/event": tenth(own),
        "ratio": tenth(own) / first,
        "median": common.spread(own)[0],
        "idle bytes/VM": start["idle"],
        "active bytes/VM": chunks[-1]["active"],
        "build s": start["seconds"],
        "peak GiB": chunks[-1]["peak"] / GIB,
    }


def tenth(values: Sequence[float]) -> float:
    """The tenth percentile."""
    return sorted(values)[len(values) // 10]


def million() -> dict[str, Any]:
    """A million VMs that idle."""
    hosts, vms = MILLION
    common.say(f"{hosts * vms:,} VMs are being built")
    with child(hosts, vms, 100_000) as found:
        ran = found.chunk()
        return {
            "VMs": f"{hosts * vms:,}",
            "idle bytes/VM": found.start["idle"],
            "build s": found.start["seconds"],
            "us/event": ran["us"],
            "events": int(ran["events"]),
            "peak GiB": ran["peak"] / GIB,
        }


def main() -> None:
    parser = common.flags(__doc__)
    parser.add_argument("--vms", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--chunk", type=int, default=50_000, help="events at a time")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--warm", type=int, default=10, help="events of each VM beforehand")
    parser.add_argument("--million", action="store_true", help="only a million VMs, idle")
    parser.add_argument("--serve", type=int, nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(*options.serve)
        return
    if options.million:
        rows = [million()]
    else:
        rows = sizes(options.vms, options.chunk, options.rounds, options.warm)
    common.publish({"rows": rows}, rows, options.json)


if __name__ == "__main__":
    main()
