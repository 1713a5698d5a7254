"""What checkpoints cost: their share of a run by interval and by the size of the state, and what a loss then costs.

One partition in this process, whose states go to a file on a disk, as the driver's do. The share is clocked inside the
run, since two runs differ by more than it. A loss costs at most what was done since the last checkpoint: told too.
"""

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import common
from cluster.drive import Totals
from cluster.keeping import SHARE
from workloads import simulate
from workloads.scenario import Scenario

MIB = 1 << 20


class Between:
    """A listener (cluster.drive.Listener) that knows the most events from one checkpoint to the next."""

    tell_every = 0.5  # wall seconds

    def __init__(self) -> None:
        self.most = self.events = self.kept = self.checkpoints = 0

    def progress(self, totals: Totals, watched: Sequence[bytes]) -> None:
        """Twice a second: so much more than the truth it may be."""
        if totals.checkpoints > self.checkpoints:
            self.checkpoints, self.kept = totals.checkpoints, self.events
        self.events = totals.events
        self.most = max(self.most, self.events - self.kept)

    def should_stop(self) -> bool:
        """Never."""
        return False


def scenario(hosts: int, conversions: int, interval: str) -> Scenario:
    """The default scenario, 8 VMs to a host."""
    return common.scenario(
        f"fleet.hosts={hosts}",
        "fleet.vms_per_host=8",
        f"scenario.conversions={conversions}",
        f"engine.checkpoint_interval={interval}",
    )


def measured(folder: str, hosts: int, conversions: int, interval: str) -> dict[str, Any]:
    """One run."""
    listener = Between()
    path = Path(folder, "checkpoint")
    job = simulate.prepare(scenario(hosts, conversions, interval))
    totals = simulate.run(job, listener, path=path).totals
    assert not totals.checkpoint_error, totals.checkpoint_error
    return {
        "VMs": 8 * hosts,
        "interval": interval,
        "checkpoints": totals.checkpoints,
        "MiB": totals.checkpoint_bytes / MIB,
        "ms each": 1000 * totals.checkpoint_seconds / max(1, totals.checkpoints),
        "% of the time": 100 * totals.checkpoint_seconds / totals.seconds,
        "events between": listener.most if totals.checkpoints else totals.events,
        "events": totals.events,
        "seconds": totals.seconds,
    }


def main() -> None:
    parser = common.flags(__doc__)
    parser.add_argument("--hosts", type=int, nargs="+", default=[2, 20, 200], help="of 8 VMs each")
    parser.add_argument("--intervals", nargs="+", default=["100ms", "1s", "5s", "0s"])
    parser.add_argument("--conversions", type=int, default=12_000, help="of the fleet")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows: dict[str, dict[str, Any]] = {}

    def seconds(folder: str, hosts: int, interval: str) -> float:
        found = measured(folder, hosts, options.conversions, interval)
        rows[f"{hosts} {interval}"] = found
        return float(found["% of the time"])

    with tempfile.TemporaryDirectory(dir=".") as folder:
        sides: dict[str, Callable[[], float]] = {
            f"{hosts} {interval}": partial(seconds, folder, hosts, interval)
            for hosts in options.hosts
            for interval in options.intervals
        }
        shares = common.interleaved(sides, options.rounds)
    for name, found in shares.items():
        rows[name]["% of the time"], _, rows[name]["highest %"] = common.spread(found)
    common.publish(
        {"rows": [*rows.values()], "bound_percent": 100 / SHARE}, [*rows.values()], options.json
    )


if __name__ == "__main__":
    main()
