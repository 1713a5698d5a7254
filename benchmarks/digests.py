"""One digest for every way to execute a scenario: placements, partitions, nodes, with and without losses.

A row is a run: local first, then Ray clusters of one and of three nodes on this machine. Where it says workers,
processes that hold partitions are killed (SIGKILL) after three and six tenths of the events; where it says a node, one
of the nodes. Every digest must be the local one, or the program fails.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from itertools import islice
from sys import stderr
from typing import Any, NamedTuple

import ray
from ray.cluster_utils import Cluster
from ray.util.state import list_actors

from benchmarks import common
from cluster.drive import Totals
from workloads import scenario as scenarios
from workloads import simulate

ALONE = ("fleet.hosts=6", "fleet.vms_per_host=2")
# Hosts that talk: VMs arrive, boot, convert and depart.
TALKING = ("scenario.duration=2min", "workload.0.think=2s")
PIECES = ("fleet.hosts=1", "fleet.vms_per_host=8")
FAULTS = (
    'fault=[{point="pins.transient",probability=0.05},{point="tdx.busy",probability=0.02},'
    '{point="kvm.split_memory",probability=0.05},{point="tdx.bug",probability=0.002}]'
)


class Side(NamedTuple):
    """One run: scenario, placement, partitions (0: what the placement takes), nodes, what is lost."""

    fleet: str
    placement: str = "local"
    partitions: int = 0
    nodes: int = 0
    losses: str = "none"


SIDES = [
    Side("alone"),
    *(Side("alone", "packed", count, 1) for count in (1, 2, 3)),
    *(Side("alone", "packed", 3, 1, losses) for losses in ("a worker", "2 workers")),
    Side("alone", "host", 0, 1),
    Side("alone", "host", 0, 1, "2 workers"),
    *(Side("alone", "packed", count, 3) for count in (3, 4)),
    *(Side("alone", "packed", 3, 3, losses) for losses in ("2 workers", "a node")),
    Side("alone", "host", 0, 3, "a node"),
    Side("talking"),
    *(Side("talking", "packed", 2, 1, losses) for losses in ("none", "2 workers")),
    *(Side("talking", "host", 0, 3, losses) for losses in ("none", "2 workers", "a node")),
    Side("pieces"),
    *(Side("pieces", "kind", 0, 1, losses) for losses in ("none", "2 workers")),
    *(Side("pieces", "kind", 3, 3, losses) for losses in ("none", "a node")),
    *(Side("pieces", "instance", 0, 1, losses) for losses in ("none", "2 workers")),
    *(Side("pieces", "instance", 9, 3, losses) for losses in ("none", "a node")),
]


class Losing:
    """A listener (cluster.drive.Listener) that lets `lose` strike after each of these parts of the events."""

    tell_every = 0.5  # wall seconds

    def __init__(self, events: int, parts: Sequence[float], lose: Callable[[], None]) -> None:
        self.due = iter([*(int(part * events) for part in parts), events])
        self.next = next(self.due)
        self.lose = lose
        self.totals = Totals()

    def progress(self, totals: Totals, watched: Sequence[bytes]) -> None:
        """Twice a second."""
        self.totals = totals

    def should_stop(self) -> bool:
        """After each report, or each window."""
        if self.totals.events >= self.next:
            self.next = next(self.due, 1 << 62)
            self.lose()
        return False


class Nodes:
    """A Ray cluster of nodes on this machine."""

    def __init__(self, count: int) -> None:
        head = {"num_cpus": 1, "include_dashboard": True}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.others = [self.cluster.add_node(num_cpus=1) for _ in range(count - 1)]
        self.cluster.wait_for_nodes()

    def lose(self) -> None:
        """One of them, with all its processes; another takes its place, as in a cluster that is looked after."""
        self.cluster.remove_node(self.others.pop(0), allow_graceful=False)
        while sum(node["Alive"] for node in ray.nodes()) > len(self.others) + 1:
            time.sleep(0.1)
        self.others.append(self.cluster.add_node(num_cpus=1))


@contextmanager
def nodes(count: int) -> Iterator[Nodes]:
    """For several runs."""
    found = Nodes(count)
    with redirect_stdout(stderr):  # Ray tells of each loss there
        ray.init(found.cluster.address, logging_level="ERROR", log_to_driver=False)
        try:
            yield found
        finally:
            ray.shutdown()
            found.cluster.shutdown()


def kill(count: int) -> None:
    """So many processes that hold partitions, from the middle of their list."""
    here = ray.get_runtime_context().gcs_address
    alive = list_actors(here, filters=[("state", "=", "ALIVE"), ("class_name", "=", "Worker")])
    alive.sort(key=lambda one: one.name)
    for one in islice(alive, len(alive) // 2, len(alive) // 2 + count):
        with suppress(ProcessLookupError):
            os.kill(one.pid, signal.SIGKILL)


def scenario_of(side: Side, conversions: int) -> scenarios.Scenario:
    """As `gmemsim run` would have it."""
    engine = ["engine.yield_after=50ms", "engine.checkpoint_interval=500ms"]
    if side.nodes:
        engine += ["engine.executor=ray", f"engine.placement={side.placement}"]
        engine += [f"engine.partitions={side.partitions}"]
    if side.fleet == "talking":
        return scenarios.load("fleet-arrivals", (*TALKING, *engine))
    # Parts of hosts take a thousand times as long, so they are given less to do.
    fleet, count = (PIECES, conversions // 20) if side.fleet == "pieces" else (ALONE, conversions)
    return common.scenario(f"scenario.conversions={count}", *fleet, FAULTS, *engine)


def row(side: Side, conversions: int, there: Nodes | None, events: int, digest: str) -> Any:
    """Run it: (what came of it, its row)."""
    deeds: dict[str, Callable[[], None]] = {
        "none": lambda: None,
        "a worker": lambda: kill(1),
        "2 workers": lambda: kill(2),
        "a node": there.lose if there else lambda: None,
    }
    listener = Losing(events, (0.3, 0.6), deeds[side.losses])
    outcome = simulate.run(simulate.prepare(scenario_of(side, conversions)), listener)
    same = outcome.digest == (digest or outcome.digest)
    totals = outcome.totals
    common.say(f"{' '.join(map(str, side))}: {outcome.digest}, {totals.recoveries} recoveries")
    return outcome, {
        "fleet": side.fleet,
        "placement": side.placement,
        "partitions": outcome.partitions,
        "nodes": outcome.nodes,
        "lost twice": side.losses,
        "recoveries": totals.recoveries,
        "redone": totals.events_redone,
        "events": totals.events,
        "windows": totals.windows,
        "wall s": outcome.wall_seconds,
        "same digest": "yes" if same else "NO",
    }


def rows_of(sides: Sequence[Side], conversions: int) -> list[dict[str, Any]]:
    """In the order of SIDES, though each cluster is started once."""
    first: dict[str, Any] = {}
    found: dict[Side, dict[str, Any]] = {}
    for side in sides:
        if not side.nodes:
            first[side.fleet], found[side] = row(side, conversions, None, 1 << 62, "")
    for count in sorted({side.nodes for side in sides} - {0}):
        with nodes(count) as there:
            for side in sides:
                if side.nodes == count:
                    local = first[side.fleet]
                    found[side] = row(side, conversions, there, local.totals.events, local.digest)[
                        1
                    ]
    return [found[side] for side in sides]


def main() -> None:
    parser = common.flags(__doc__)
    parser.add_argument("--conversions", type=int, default=12_000, help="of whole hosts")
    fleets = ("alone", "talking", "pieces")
    parser.add_argument("--fleets", nargs="+", choices=fleets, default=fleets)
    options = parser.parse_args()
    rows = rows_of([side for side in SIDES if side.fleet in options.fleets], options.conversions)
    common.publish({"rows": rows}, rows, options.json)
    different = [found for found in rows if found["same digest"] != "yes"]
    assert not different, f"{len(different)} of {len(rows)} runs came to another digest"


if __name__ == "__main__":
    main()
