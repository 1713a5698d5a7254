"""Memory of a VM at 10,000 of them: built, and after each has made some conversions.

Each figure comes from a fresh process: what the system adds to its resident set, and, in a slower
second one, what Python's own allocator was asked for.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.drive import fleet_of, timed
from cluster.local import LocalHandle, first_of
from cluster.partition import Partition
from cluster.placement import packed
from workloads.simulate import prepare

PAGE = os.sysconf("SC_PAGE_SIZE")
ROOT = Path(__file__).parent.parent


def resident() -> int:
    """Bytes of this process that are in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def traced() -> int:
    """Bytes that Python objects hold now."""
    return tracemalloc.get_traced_memory()[0]


def probe(options: argparse.Namespace) -> dict[str, float]:
    """In the fresh process: bytes a VM, idle and active."""
    vms = options.hosts * options.vms
    scenario = common.scenario(
        f"fleet.hosts={options.hosts}",
        f"fleet.vms_per_host={options.vms}",
        f"scenario.conversions={vms * options.conversions}",
    )
    # What the first run imports and caches is no VM's.
    small = common.scenario("fleet.hosts=1", "fleet.vms_per_host=1", "scenario.conversions=10")
    built(small, resident)
    if options.probe == "tracemalloc":
        tracemalloc.start()
        return {"vms": vms, **per_vm(built(scenario, traced), vms)}
    return {"vms": vms, **per_vm(built(scenario, resident), vms)}


def built(scenario: Any, measure: Callable[[], int]) -> dict[str, float]:
    """Bytes above the beginning: with the fleet built, and after its run; events and seconds."""
    job = prepare(scenario)
    fleet = fleet_of(job)
    gc.collect()
    before = measure()
    handle = LocalHandle(Partition(fleet.build, fleet.plan, packed(fleet.hosts, 1)))
    gc.collect()
    idle = measure()
    seconds, totals = timed([handle], first_of)
    gc.collect()
    active = measure()
    return {
        "idle": idle - before,
        "active": active - before,
        "events": totals.events,
        "seconds": seconds,
    }


def per_vm(found: dict[str, float], vms: int) -> dict[str, float]:
    """The bytes shared out."""
    shares = {f"{name} bytes/VM": found.pop(name) / vms for name in ("idle", "active")}
    return {**shares, **found}


def fresh(kind: str, arguments: list[str]) -> dict[str, Any]:
    """The figures of one kind, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", "--probe", kind, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return {"measured by": kind, **found}


def main() -> None:
    parser = common.flags(__doc__)
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--vms", type=int, default=100, help="on each host")
    parser.add_argument("--conversions", type=int, default=4, help="of each VM")
    parser.add_argument("--probe", choices=("resident set", "tracemalloc"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.probe:
        print(json.dumps(probe(options)))
        return
    arguments = [f"--{name}={getattr(options, name)}" for name in ("hosts", "vms", "conversions")]
    rows = []
    for kind in ("resident set", "tracemalloc"):
        common.say(f"{kind} of {options.hosts * options.vms:,} VMs")
        rows.append(fresh(kind, arguments))
    common.publish({"rows": rows}, rows, options.json)


if __name__ == "__main__":
    main()
